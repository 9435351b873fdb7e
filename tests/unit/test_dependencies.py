"""Every package that the library imports is declared in pyproject.toml, and every declared one is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
ENVIRONMENTS = ROOT / "benchmarks" / "evaluators" / "environments" / "scripts"  # each states its own dependencies
IMPORTED_AS = {
    "markdown-it-py": "markdown_it", "nvidia-ml-py": "pynvml", "pillow": "PIL", "pyyaml": "yaml",
    "visqol-python": "visqol",
}  # fmt: skip
UNRESOLVABLE = {"chord_extractor"}  # pip cannot install it beside the rest; docs/control.md tells how


def imported() -> dict[str, Path]:
    """Third-party package -> a file of the library that imports it."""
    found: dict[str, Path] = {}
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py") if ENVIRONMENTS not in file.parents]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0]: file for name in names}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def declared(requirements: list[str]) -> set[str]:
    """Import names of requirements such as ``"numpy>=2"``."""
    names = [re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0] for requirement in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: declared(needs) for name, needs in project["optional-dependencies"].items() if name != "dev"}
    always, optional = declared(project["dependencies"]), set().union(*extras.values())
    found = imported()
    undeclared = {name: str(file) for name, file in found.items() if name not in always | optional | UNRESOLVABLE}
    assert not undeclared
    assert not (always | optional) - set(found)
