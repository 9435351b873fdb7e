"""A new paradigm: the package that is written for it, the documented example, and both found from outside the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from paradigm_bench import paradigms
from paradigm_bench.backbones.cost import bound_seconds
from paradigm_bench.benchmarks.axes.latency.cells import LatencyConfig, expand
from paradigm_bench.benchmarks.axes.latency.model import Subject
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.cli.new_paradigm import class_name
from paradigm_bench.benchmarks.conformance import CHECKS, CheckSkipped, ConformanceCase
from paradigm_bench.benchmarks.conformance.case import some_conditions
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.masks import cosine_counts

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "docs" / "examples" / "maskgit"


@pytest.fixture(scope="module")
def example() -> Iterator[ConformanceCase]:
    """The documented paradigm, found by its folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield ConformanceCase(paradigms.find("maskgit:MaskGIT"))


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "streaming"])
def test_the_example_conforms(example: ConformanceCase, check: str) -> None:
    CHECKS[check](example)


def test_the_example_reveals_as_maskgit_does(example: ConformanceCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codebook after codebook, cosine counts stay hidden, and what is revealed is never changed."""
    model, seen = example.model(), []
    context = model.context

    def spy(codes: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(codes.clone())
        return context(codes, *rest)

    monkeypatch.setattr(model, "context", spy)
    sampler = example.sampler(guidance=1.0, iterations=5, refinements=3)
    clips = model.generate(some_conditions([2, 3]), 12, sampler, ItemRNG([1, 2]))
    plan = [cosine_counts(12, 5), cosine_counts(12, 3), cosine_counts(12, 3)]
    assert len(seen) == sum(map(len, plan))
    states = iter([*seen[1:], clips])
    for level, counts in enumerate(plan):
        for remaining in counts:
            codes = next(states)
            hidden = codes == 11
            assert hidden[:, level].sum(dim=1).tolist() == [remaining] * 2
            assert hidden[:, level + 1 :].all()
            assert not hidden[:, :level].any()
            assert torch.equal(codes[~hidden], clips[~hidden])


def test_the_doc_quotes_the_example_whole() -> None:
    """The Python blocks of the page, one after the other, are the file, but for blank lines."""
    page = (ROOT / "docs" / "new-paradigm.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    quoted = [line for block in blocks for line in block.splitlines() if line.strip()]
    code = (EXAMPLE / "maskgit.py").read_text(encoding="utf-8").splitlines()
    assert quoted == [line for line in code if line.strip()]
    assert len(code) < 150
    for name, check in CHECKS.items():
        assert f"| `{name}` | {(check.__doc__ or '').strip().splitlines()[0]} |" in page


def test_a_class_of_a_module_is_an_arm_named_by_its_class() -> None:
    study = load_study("quickstart", paradigms=["fm", "maskgit:MaskGIT"])
    assert [arm.name for arm in study.arms] == ["fm", "MaskGIT"]


def test_a_written_package_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    assert status(["new-paradigm", "toy_flow", "--folder", str(folder)]) == 0
    assert "bench check toy_flow" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [
        "pyproject.toml", "study.yaml", "test_toy_flow.py", "toy_flow.py",
    ]  # fmt: skip
    monkeypatch.syspath_prepend(str(folder))
    case = ConformanceCase(paradigms.find(f"toy_flow:{class_name('toy_flow')}"))
    skipped = []
    for name, check in CHECKS.items():
        try:
            check(case)
        except CheckSkipped:
            skipped.append(name)
    assert skipped == ["known_frames", "span_context", "streaming"]
    assert [arm.paradigm for arm in load_study(str(folder / "study.yaml")).arms] == ["fm", "toy_flow"]
    before = {path: path.read_text() for path in folder.iterdir()}
    assert status(["new-paradigm", "toy_flow", "--folder", str(folder)]) == 2
    assert {path: path.read_text() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MyFlow", "cannot name a module"),
        ("class", "cannot name a module"),
        ("fm", "there is a paradigm called 'fm' already"),
        ("json", "there is a Python module called 'json' already"),
        ("ours", "exists already and is not overwritten"),
    ],
)
def test_names_that_cannot_be(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "notes.txt").write_text("mine")
    assert status(["new-paradigm", name]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The example installed as a package of its own; the environment of processes that have it."""
    source, site = tmp_path_factory.mktemp("source") / "maskgit", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(site), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}


def bench(environment: dict[str, str], *arguments: str, cwd: Path) -> str:
    line = [sys.executable, "-m", "paradigm_bench.benchmarks.cli.main", *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_an_installed_package_is_known_by_its_entry_point(installed: dict[str, str], tmp_path: Path) -> None:
    assert bench(installed, "list", "paradigms", cwd=tmp_path).rstrip().endswith(", maskgit")
    table = bench(installed, "check", "maskgit", "--only", "declaration", "--only", "saving", cwd=tmp_path)
    assert "maskgit: 2 passed, 0 failed, 0 skipped" in table
    script = (
        "from paradigm_bench import paradigms\n"
        "cls = paradigms.find('maskgit')\n"
        "print(paradigms.reference(cls), paradigms.reference(paradigms.find('fm')), cls.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=installed, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["maskgit", "fm", "maskgit"], done.stderr


def test_the_example_is_timed_like_any_arm(example: ConformanceCase) -> None:
    study = load_study("latency", ["latency.seconds=1", "backbone.preset=tiny"], ["maskgit:MaskGIT"])
    (cell,) = expand(study)
    subject = Subject(cell.read(LatencyConfig))
    assert subject.work(subject.model.generate)().shape == (1, 4, 25)
    assert bound_seconds(subject.cost(), 1e9, 1e9) > 0
