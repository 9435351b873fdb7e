"""Make validations part of the package, without the metrics that give no verdicts anyway.

python scripts/package_validations.py results/validations/*.json

``bench validate-metrics`` writes validations; reports look for them in the results folder and then among those that
come with the package, ``benchmarks/analysis/validations``.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from checkout import use_checkout

use_checkout()

from paradigm_bench.benchmarks.analysis.validation import PACKAGED, read_validation
from paradigm_bench.benchmarks.axes.validate import text_of
from paradigm_bench.benchmarks.metrics.catalogue import about
from paradigm_bench.common.files import write_text


def main() -> None:
    """Read, shorten, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    for file in parser.parse_args().files:
        found = read_validation(file)
        metrics = {name: ladder for name, ladder in found.metrics.items() if about(name).compared}
        text = text_of(dataclasses.replace(found, metrics=metrics, environment={}, command=""))
        write_text(PACKAGED / file.name, text)
        print(f"{PACKAGED / file.name}: {len(metrics)} metrics, {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
