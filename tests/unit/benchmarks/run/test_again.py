"""``bench run --again``: earlier results are kept aside, weights are trained anew, nothing is taken over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.packs import studies_in
from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.run.again import start_over
from paradigm_bench.benchmarks.run.runner import plan
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.locks import held_alone
from paradigm_bench.training.trained import training_folder, untuned

ROOT = Path(__file__).parents[4]
TRAINED = {"data": {}, "model": {"paradigm": "fm"}, "train": {"updates": 3}, "sampler": {"steps": 2}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def bench(name: str, *options: str, monkeypatch: pytest.MonkeyPatch) -> int:
    text = f"name: {name}\ntitle: T\naxis: fake_axis:FakeAxis\narms: [{{paradigm: work, options: {{does: work}}}}]\n"
    Path(f"{name}.yaml").write_text(text)
    command = ["run", f"{name}.yaml", *options]
    monkeypatch.setattr("sys.argv", ["bench", *command])
    return status(command)


def stems(folder: str) -> list[str]:
    return [record.stem for record in load_records(Path("my_results") / folder)[0]]


def test_what_is_measured_is_said_in_one_line_and_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench("s", monkeypatch=monkeypatch) == 0
    first = capsys.readouterr()
    assert "study s (fake_axis:FakeAxis): 1 cell to measure\n" in first.err
    assert bench("s", monkeypatch=monkeypatch) == 0
    second = capsys.readouterr()
    assert second.err.splitlines()[0] == (
        "study s: 1 cell, all measured already in my_results/s; to measure anew: bench run s.yaml --again"
    )
    assert second.out == first.out
    assert len(stems("s")) == 1


def test_again_measures_anew_and_keeps_the_earlier_results_where_nobody_lists_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s", "other"):
        assert bench(name, monkeypatch=monkeypatch) == 0
    assert load_records(Path("my_results/other"))[0][0].origin  # studies of one results folder share cells
    before = {path: path.read_bytes() for path in Path("my_results/other").rglob("*.json")}
    assert bench("other", "--again", monkeypatch=monkeypatch) == 0
    assert studies_in(Path("my_results")) == ["other", "s"]
    (record,) = load_records(Path("my_results/other"))[0]
    assert not record.origin
    (aside,) = Path("my_results/earlier").iterdir()
    assert aside.name.startswith("other-")
    assert {(aside / path.relative_to("my_results/other")).read_bytes() for path in before} == set(before.values())
    assert f"earlier results are in {aside}" in capsys.readouterr().err
    assert bench("other", monkeypatch=monkeypatch) == 0  # goes on, and finds all measured
    assert [r.created for r in load_records(Path("my_results/other"))[0]] == [record.created]


@pytest.mark.parametrize("tune", [{}, {"tune": {"reward": "r"}}])
def test_the_weights_of_its_cells_are_deleted_and_no_others(tmp_path: Path, tune: dict[str, object]) -> None:
    cell = Cell("fidelity", "fm", "paradigm", 0, 3, "g", {**TRAINED, **tune})
    own = {training_folder(cell.config), training_folder(untuned(cell.config))}
    for name in (*own, "fm-of-another-study"):
        (tmp_path / "runs" / name / "final").mkdir(parents=True)
    start_over([cell], Context("s", tmp_path / "r" / "s", tmp_path / "runs"), "bench run s --again")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["fm-of-another-study"]


def test_an_interrupted_again_goes_on_with_the_plain_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before anything is measured: the plain command has all cells to do, though another study has them."""
    for name in ("s", "other"):
        assert bench(name, monkeypatch=monkeypatch) == 0
    with monkeypatch.context() as patch:
        patch.setattr(
            "paradigm_bench.benchmarks.run.runner.run", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert bench("other", "--again", monkeypatch=monkeypatch) == 130
    assert stems("other") == []
    assert bench("other", monkeypatch=monkeypatch) == 0
    (record,) = load_records(Path("my_results/other"))[0]
    assert not record.origin


def test_a_folder_in_which_another_process_works_is_left_alone(tmp_path: Path) -> None:
    cell, results = Cell("fidelity", "fm", "paradigm", 0, 3, "g", TRAINED), tmp_path / "r" / "s"
    weights = tmp_path / "runs" / training_folder(TRAINED)
    weights.mkdir(parents=True)
    with (
        held_alone(results, "bench run s"),
        pytest.raises(UserError, match=r"is in use by process .* \(bench run s\)"),
    ):
        start_over([cell], Context("s", results, tmp_path / "runs"), "bench run s --again")
    assert weights.is_dir()
    assert plan([cell], results).pending == [cell]


@pytest.mark.parametrize("option", ["--seed", "--updates", "--jobs", "--timeout", "--threads"])
def test_negative_numbers_are_refused_in_one_line(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench("s", option, "-1", monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert f"Invalid value for '{option}'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--results", "--work"])
def test_a_wrong_folder_is_found_before_anything_is_measured(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("a file where a folder should be")
    assert bench("s", option, "file", monkeypatch=monkeypatch) == 2
    assert f"{option} file: this is a file; give the name of a folder" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["file", "s.yaml"]
