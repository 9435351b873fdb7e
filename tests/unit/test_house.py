"""The rules of the source tree: who imports whom, where imports stand, names, file sizes, docstrings, no pickle."""

from __future__ import annotations

import ast
import graphlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
# Bottom to top: a room imports only from those before it. The command line offers the cluster's commands.
ROOMS = (
    *FOLDERS[:6],
    *(f"benchmarks/{name}" for name in ("metrics", "evaluators", "study", "analysis", "run", "report", "axes")),
    "benchmarks/papers", "benchmarks/conformance", "slurm", "benchmarks/cli",
)  # fmt: skip
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in MODULES}
MAX_LINES = 400
# Scripts that run in an environment of their own know nothing of the package.
ALONE = "benchmarks/evaluators/environments/scripts/"


def room(file: str) -> str:
    """The first folder, below ``benchmarks`` the first two."""
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] == "benchmarks" and len(parts) > 2 else parts[0]


def imports(file: str, node: ast.AST) -> Iterator[str]:
    """Files of ours that an import statement names; whatever else it may be, nothing."""
    if not isinstance(node, ast.ImportFrom) or not node.level:
        return
    package = file.split("/")[:-1]
    base = "/".join([*package[: len(package) - node.level + 1], *(node.module or "").split(".")]).strip("/")
    for alias in node.names:
        names = [f"{base}/{alias.name}.py", f"{base}/{alias.name}/__init__.py", f"{base}.py", f"{base}/__init__.py"]
        yield next(name for name in names if name in TREES or name == "/__init__.py")


def below(file: str) -> set[str]:
    """The files that a file imports anywhere, inside functions too."""
    return {found for node in ast.walk(TREES[file]) for found in imports(file, node)} - {file}


@pytest.mark.parametrize("file", TREES)
def test_imports_go_downward_only(file: str) -> None:
    if room(file) in ROOMS:
        allowed = set(ROOMS[: ROOMS.index(room(file)) + 1])
        assert {found for found in below(file) if room(found) in ROOMS and room(found) not in allowed} == set()


def test_measuring_knows_no_presentation() -> None:
    """Inside the folder of an axis only its report may import ``benchmarks/report``."""
    measuring = [file for file in TREES if room(file) == "benchmarks/axes" and "/report/" not in file]
    assert {file for file in measuring if any(room(found) == "benchmarks/report" for found in below(file))} == set()


def test_every_folder_has_its_place_among_the_layers() -> None:
    assert {room(file) for file in TREES} - {"benchmarks"} == set(ROOMS)


def test_imports_run_in_no_circle() -> None:
    """File by file, those inside functions and for types too."""
    packages = {file for file in TREES if file.endswith("__init__.py")}
    graphlib.TopologicalSorter({file: below(file) - packages for file in TREES}).prepare()  # names a circle


# Packages that take long to load. `bench --help` and the reading of studies and records do without them.
HEAVY = frozenset((
    "torch", "transformers", "diffusers", "accelerate", "librosa", "matplotlib", "mir_eval", "pandas", "pyarrow",
    "scipy", "soundfile", "submitit", "torchdiffeq", "numba", "huggingface_hub",
))  # fmt: skip


def statements(tree: ast.AST, inside: bool) -> Iterator[ast.AST]:
    """The import statements of a file that run when it is loaded, or (``inside``) when a function is called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if not inside:
                yield node
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if inside:
                yield from (found for found in ast.walk(node) if isinstance(found, (ast.Import, ast.ImportFrom)))
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield from statements(node, inside)


def heavy_files() -> set[str]:
    """Files of ours that load a heavy package, themselves or through another file."""
    loaded = {file: [node for node in statements(tree, inside=False)] for file, tree in TREES.items()}
    heavy = {file for file, nodes in loaded.items() if any(imported_by(node) & HEAVY for node in nodes)}
    while True:
        more = {
            file
            for file, nodes in loaded.items()
            if any(found in heavy for node in nodes for found in imports(file, node))
        }
        if more <= heavy:
            return heavy
        heavy |= more


def imported_by(node: ast.AST) -> set[str]:
    """Top-level names of the packages of others that one statement imports."""
    return imported(ast.Module([node], []))  # type: ignore[list-item]


def test_imports_stand_at_the_top() -> None:
    """Inside functions stands only what is heavy: a heavy package, or a file of ours that loads one.

    Commands also import inside their functions what loads numpy or takes long in other ways, so that `bench --help` and
    shell completion are instant; tests/unit/benchmarks/cli/test_cli.py checks that.
    """
    heavy = heavy_files()
    light = [
        f"{file}:{node.lineno}"  # type: ignore[attr-defined]
        for file, tree in TREES.items()
        if not file.startswith((ALONE, "benchmarks/cli/"))
        for node in statements(tree, inside=True)
        if (found := set(imports(file, node))) and not found & heavy
    ]
    assert not light


def test_imports_are_relative() -> None:
    """So that no other package of the same name is taken for ours."""
    wrong = [
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in FOLDERS
    ]
    assert not wrong


def test_no_public_class_has_the_name_of_another() -> None:
    names = Counter(
        node.name
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not file.startswith(ALONE)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_sources_are_cited_by_names() -> None:
    """A reader has the papers, not the folder in which we keep them."""
    pattern = re.compile(r"papers/00\d|\bDESIGN(\.md)?\b")
    written = [*MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "benchmarks").rglob("*.yaml")]
    assert [path.name for path in written if pattern.search(path.read_text())] == []


def test_files_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert not {file: lines for file, lines in sizes.items() if lines > MAX_LINES}


def test_every_module_has_a_docstring() -> None:
    assert not [file for file, tree in TREES.items() if len(ast.get_docstring(tree) or "") < 10]


def test_nothing_is_unpickled() -> None:
    unsafe = []
    for file, tree in TREES.items():
        if imported(tree) & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}:
            unsafe.append(file)
        unsafe += [f"{file}:{node.lineno}" for node in ast.walk(tree) if unpickles(node)]
    assert not unsafe


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all packages that a file imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


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


def test_every_folder_is_there() -> None:
    assert {file.split("/")[0] for file in TREES} >= set(FOLDERS)
