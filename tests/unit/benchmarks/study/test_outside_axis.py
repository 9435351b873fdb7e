"""An axis from outside gets everything by its registration: section, cells, plan, records, chapter, and its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.study.axis import AXES
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.sweep import points
from paradigm_bench.common import registry
from paradigm_bench.common.errors import UserError

TESTS = Path(__file__).parents[3]
STUDY = "title: T\naxis: loudness\narms: [fm, {paradigm: fm, label: fm2}]\ntrain: {updates: 10, warmup: 1}\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A study file on the axis of ``outside_axis``, which is registered as an installed package does it."""
    info = tmp_path / "site" / "loud-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[paradigm_bench.axis]\nloudness = outside_axis:Loudness\n")
    for folder in (info.parent, TESTS):
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(info.parent), str(TESTS)]))  # for workers
    monkeypatch.chdir(tmp_path)
    registry._plugins.cache_clear()
    path = tmp_path / "loud.yaml"
    path.write_text(STUDY + "loudness: {gain: 2}\n")
    return path.name


@pytest.fixture(autouse=True)
def _forget_plugins() -> Iterator[None]:
    yield
    registry._plugins.cache_clear()


def test_its_section_is_read_as_strictly_as_any(study: str) -> None:
    assert load_study(study).section("loudness").gain == 2.0
    assert load_study(study, ["loudness.gain=3"]).section("loudness").gain == 3.0
    swept = load_study(study, sweeps=["loudness.gain=1,2"])
    assert [point.section("loudness").gain for point, _ in points(swept)] == [1.0, 2.0]
    with pytest.raises(UserError, match=r"unknown key 'gian' \(did you mean 'gain'\?\)"):
        load_study(study, ["loudness.gian=3"])
    with pytest.raises(UserError, match=r"unknown key 'loudnes' \(did you mean 'loudness'\?\)"):
        load_study(study, ["loudnes.gain=3"])
    with pytest.raises(UserError, match=r"loudness\.gain: expected float, got 'loud'"):
        load_study(study, ["loudness.gain=loud"])
    assert load_study("smoke").section("loudness").gain == 1.0


def test_it_is_listed_planned_measured_reported_and_verified(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["list", "axes"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("samplesize, loudness")
    assert status(["run", "--axis", "loudness"]) == 2
    assert "axis 'loudness' has no default study; name one" in capsys.readouterr().err
    assert status(["plan", study, "--results", "."]) == 0
    assert "In all: " in capsys.readouterr().out
    assert status(["run", study, "--sweep", "loudness.gain=1,2", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("to do") == 4
    assert status(["run", study, "--sweep", "loudness.gain=1,2"]) == 0
    told = capsys.readouterr()
    assert "study loud (loudness): 4 cells to measure" in told.err
    assert "Which is loudest?" in told.out
    page = Path("my_results/loud/README.md").read_text()
    assert "How loud it is." in page
    assert "| fm2 | 20 dB |" in page
    records, problems = load_records(Path("my_results/loud"))
    assert not problems
    assert sorted(record.metrics["loudness"].value or 0.0 for record in records) == [10.0, 10.0, 20.0, 20.0]
    assert {record.how.label for record in records if record.how is not None} == {"gain 1", "gain 2"}
    assert status(["verify", f"my_results/loud/{records[0].stem}"]) == 0
    assert status(["report", "--results", "my_results"]) == 0
    assert "## Loudness" in Path("my_results/REPORT.md").read_text()


def test_without_its_package_its_name_is_unknown_and_its_records_are_left_out(
    study: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(["run", study]) == 0
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("site")])
    registry._plugins.cache_clear()
    assert "loudness" not in AXES.names()
    capsys.readouterr()
    assert status(["run", study]) == 2
    assert "unknown axis 'loudness'" in capsys.readouterr().err
    assert status(["report", "--results", "my_results"]) == 0
    assert "no chapter for axis 'loudness'" in capsys.readouterr().err
