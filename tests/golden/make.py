"""Make the golden numbers anew: ``python -m tests.golden.make``, with the environments named below installed.

bench evaluators install fadtk --borrow; bench evaluators install audiocraft --borrow
"""

from __future__ import annotations

from pathlib import Path

from paradigm_bench.benchmarks.evaluators.environments import get_environment
from paradigm_bench.benchmarks.evaluators.environments.environment import run
from paradigm_bench.common.files import write_json
from tests.golden import inputs

HERE = Path(__file__).parent
MUSICGEN_CHROMA = {"n_chroma": 12, "radix2_exp": 14, "argmax": True}


def frechet() -> None:
    """fadtk's Frechet distance on ``inputs.FRECHET``."""
    cases, versions = [], {}
    for case in inputs.FRECHET:
        reference, generated = inputs.frechet_arrays(case)
        reply = run(get_environment("fadtk"), "frechet", {"reference": reference, "generated": generated})
        cases.append({**case, "value": reply.facts["frechet"]})
        versions = {name: reply.versions[name] for name in ("fadtk", "numpy", "scipy")}
    write_json(HERE / "frechet_fadtk.json", {"made_with": versions, "cases": cases})


def chroma() -> None:
    """audiocraft's chroma cosine similarity, with MusicGen's settings, on ``inputs.CHROMA``."""
    env, cases, versions = get_environment("audiocraft"), [], {}
    for rate in dict.fromkeys(case["sample_rate"] for case in inputs.CHROMA):
        chosen, arrays = [case for case in inputs.CHROMA if case["sample_rate"] == rate], {}
        for i, case in enumerate(chosen):
            arrays[f"reference/{i}"], arrays[f"generated/{i}"] = inputs.chroma_pair(case)
        reply = run(env, "chroma", arrays, sample_rate=rate, options=MUSICGEN_CHROMA)
        cases += [{**case, "value": float(value)} for case, value in zip(chosen, reply.arrays["similarity"])]
        versions = {name: reply.versions[name] for name in ("audiocraft", "torch")}
    write_json(HERE / "chroma_audiocraft.json", {"made_with": versions, "settings": MUSICGEN_CHROMA, "cases": cases})


if __name__ == "__main__":
    frechet()
    chroma()
