"""``bench new-paradigm``: a package to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_paradigm(
    name: Annotated[str, typer.Argument(help="Short name of the paradigm in lower case, e.g. my_flow.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", "--folder", help="Folder to write the package to. Default: a new folder NAME."),
    ] = None,
) -> None:
    """Write a package to start a new paradigm from.

    It has one commented paradigm that works, a test, and a study that compares it with fm. No file is overwritten.
    docs/new-paradigm.md says how to go on.

    \b
    Examples:
      bench new-paradigm my_flow
      bench new-paradigm my_flow -o ~/research/my_flow
    """
    from ..analysis.locations import check_out
    from .scaffold import class_name, write_package

    place = check_out(out or Path(name), "folder")
    for path in write_package(name, place):
        print(f"wrote {path}")
    print(f"""
Next:
  pip install -e {place}
  bench check {name}                        # all checks pass; run it after every change
  bench run {place / "study.yaml"}          # train and judge it beside fm, write a page of results
  bench run --axis latency --scale tiny --paradigm {name}
Without installing: PYTHONPATH={place} bench check {name}:{class_name(name)}""")
