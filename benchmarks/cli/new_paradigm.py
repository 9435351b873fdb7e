"""``bench new-paradigm``: write a package to start from, with one file that works, its test, and a study beside fm."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ...common.errors import UserError
from ...common.files import write_text
from ..analysis.locations import check_writable

TEMPLATES = Path(__file__).parent / "templates" / "paradigm"
FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "paradigm.py.txt": "{name}.py",
    "test.py.txt": "test_{name}.py",
    "study.yaml.txt": "study.yaml",
}


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
    place = check_writable(out or Path(name), "folder")
    for path in write_package(name, place):
        print(f"wrote {path}")
    print(f"""
Next:
  pip install -e {place}
  bench check {name}                        # all checks pass; run it after every change
  bench run {place / "study.yaml"}          # train and judge it beside fm, write a page of results
  bench run --axis latency --scale tiny --paradigm {name}
Without installing: PYTHONPATH={place} bench check {name}:{class_name(name)}""")


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of a paradigm called ``name`` into ``folder``; returns its files.

    Raises:
        UserError: a name that cannot be a module's or is taken, or a folder that is not empty.
    """
    _check(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already and is not overwritten; choose another --folder")
    names = {"name": name, "Class": class_name(name), "package": name.replace("_", "-")}
    written = []
    for template, target in FILES.items():
        text = Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(names)
        written.append(folder / target.format(name=name))
        write_text(written[-1], text)
    return written


def class_name(name: str) -> str:
    """The name of the class for a paradigm, e.g. ``MyFlow`` for ``my_flow``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _check(name: str) -> None:
    from ... import paradigms

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a module; use lower-case letters, digits and '_', such as my_flow")
    if name in paradigms.names():
        raise UserError(f"there is a paradigm called {name!r} already; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise UserError(f"there is a Python module called {name!r} already; choose another name")
