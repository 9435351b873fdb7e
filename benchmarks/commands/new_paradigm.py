"""``bench new-paradigm``: a package to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_paradigm(
    name: Annotated[str, typer.Argument(help="Its short name, small letters: my_flow.")],
    folder: Annotated[Path | None, typer.Option(help="Where the package goes. Default: a new folder ./NAME.")] = None,
) -> None:
    """Write a small package: one commented paradigm that works, a test, and a study that compares it with fm.

    Nothing is ever overwritten. How to go on from there: docs/new-paradigm.md.

    \b
    Examples:
      bench new-paradigm my_flow
      bench new-paradigm my_flow --folder ~/research/my_flow
    """
    from benchmarks.scaffold import class_name, write_package

    place = folder or Path(name)
    for path in write_package(name, place):
        print(f"wrote {path}")
    print(f"""
Next:
  pip install -e {place}
  bench check {name}                        # all checks pass; run it again after every change
  bench run {place / "study.yaml"}          # train it and fm alike, judge both, write REPORT.md
  bench run --axis latency --scale tiny --paradigm {name}
Without installing: PYTHONPATH={place} bench check {name}:{class_name(name)}""")
