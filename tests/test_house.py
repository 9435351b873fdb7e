"""The rules of the house, checked on the source: who imports whom, file sizes, docstrings, no pickle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 400


@pytest.fixture(scope="module", params=MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of everything imported anywhere in the file, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_imports_go_downward_only(module: Path) -> None:
    own = module.relative_to(ROOT).parts[0]
    above = set(FOLDERS[FOLDERS.index(own) + 1 :])
    assert not imported(ast.parse(module.read_text())) & above


def test_files_are_short(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


def test_every_module_has_a_docstring(module: Path) -> None:
    text = module.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_nothing_is_unpickled(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert not imported(tree) & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            called = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert called != "torch.load" or keywords.get("weights_only") == "True"
            assert called not in ("np.load", "numpy.load") or keywords.get("allow_pickle", "False") == "False"


def test_the_folders_are_there() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} >= set(FOLDERS) - {"slurm"}
