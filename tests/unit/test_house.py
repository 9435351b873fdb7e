"""The rules of the house, checked on the source: who imports whom, file sizes, docstrings, no pickle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 400
# The command line offers the cluster's commands, and loads the cluster only when one is given (tests/unit/benchmarks/cli/test_cli.py).
OFFERS_SLURM = {"benchmarks/cli/submit.py", "benchmarks/cli/jobs.py"}


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of everything imported anywhere in the file, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_downward_only() -> None:
    upward = {}
    for path in MODULES:
        above = set(FOLDERS[FOLDERS.index(path.relative_to(ROOT).parts[0]) + 1 :])
        above -= {"slurm"} if name(path) in OFFERS_SLURM else set()
        if found := imported(ast.parse(path.read_text())) & above:
            upward[name(path)] = found
    assert not upward


def test_imports_run_in_no_circle() -> None:
    """File by file, those inside functions and for types too."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    below = {module: files_below(ast.parse(path.read_text()), modules) - {module} for module, path in modules.items()}
    graphlib.TopologicalSorter(below).prepare()  # names a circle if there is one


def files_below(tree: ast.AST, modules: Collection[str]) -> set[str]:
    """The modules of ours that a file imports, or names from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in modules else node.module for module in whole}
    return found & set(modules)


def test_files_are_short() -> None:
    sizes = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {file: lines for file, lines in sizes.items() if lines > MAX_LINES}


def test_every_module_has_a_docstring() -> None:
    assert not [name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_nothing_is_unpickled() -> None:
    unsafe = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        if imported(tree) & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}:
            unsafe.append(name(path))
        unsafe += [f"{name(path)}:{node.lineno}" for node in ast.walk(tree) if unpickles(node)]
    assert not unsafe


def unpickles(node: ast.AST) -> bool:
    """A call of torch.load or numpy.load that may run what it reads."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    called = ast.unparse(node.func)
    unguarded_torch = called == "torch.load" and keywords.get("weights_only") != "True"
    return unguarded_torch or (called in ("np.load", "numpy.load") and keywords.get("allow_pickle", "False") != "False")


@pytest.mark.parametrize(
    ("code", "unsafe"),
    [
        ("torch.load(p)", True),
        ("torch.load(p, weights_only=True)", False),
        ("np.load(p, allow_pickle=True)", True),
        ("json.load(f)", False),
    ],
)
def test_the_rule_against_pickles_bites(code: str, unsafe: bool) -> None:
    assert any(unpickles(node) for node in ast.walk(ast.parse(code))) == unsafe


def test_the_folders_are_there() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} >= set(FOLDERS)
