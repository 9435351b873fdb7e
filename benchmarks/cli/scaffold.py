"""A new paradigm's package, from the templates: one file that works, its test, and a study beside flow matching."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from ...common.errors import UserError
from ...common.files import write_text

TEMPLATES = Path(__file__).parent / "templates" / "paradigm"
FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "paradigm.py.txt": "{name}.py",
    "test.py.txt": "test_{name}.py",
    "study.yaml.txt": "study.yaml",
}


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of a paradigm called ``name`` into ``folder``; returns its files.

    Raises:
        UserError: a name that cannot be a module's or is taken, or a folder with something in it.
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
    """``my_flow`` to ``MyFlow``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _check(name: str) -> None:
    from ... import paradigms

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot name a module; use lower-case letters, digits and '_', such as my_flow")
    if name in paradigms.names():
        raise UserError(f"there is a paradigm called {name!r} already; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise UserError(f"there is a Python module called {name!r} already; choose another name")
