"""Writes judges.json: the outputs of the judges for one synthetic clip of four seconds.

    python -m tests.golden.make_judges

They guard the port, which equals the original packages on real clips where those are at hand (test_judges.py).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from judges_signals import RATE, music

from paradigm_bench.benchmarks.evaluators import get_evaluator


def main() -> None:
    stored = {}
    for name in ("musicnn", "logmel"):
        output = get_evaluator(name).evaluate([music(4.0)], RATE)
        stored[name] = {"embedding": output.embeddings[0].round(6).tolist()}
        if output.band_levels is not None:
            stored[name]["band_levels"] = output.band_levels[0].round(6).tolist()
        for kind, rows in output.posteriors.items():
            stored[name][kind] = rows[0].round(8).tolist()
    Path(__file__).with_name("judges.json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
