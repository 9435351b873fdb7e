"""Bad input around records, by the command line: each a line that says what to do, and nothing is lost."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.common.files import tempfile

ROOT = Path(__file__).parents[4]
ARMS = "[{paradigm: a, options: {does: work}}, {paradigm: b, options: {does: x}}]"
STUDY = f"title: T\naxis: 'fake_axis:FakeAxis'\narms: {ARMS}\n"


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))


def bench(folder: Path, study: str, results: Path | None = None) -> int:
    (folder / "s.yaml").write_text(study)
    where = {"results": results or folder / "results", "work": folder / "work"}
    return status(["run", str(folder / "s.yaml"), *(f"--{name}={path}" for name, path in where.items())])


def bad_study(old: str, new: str) -> str:
    assert old in STUDY
    return STUDY.replace(old, new)


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (bad_study("title: T", "title: T\nsedes: [1]"), "unknown key 'sedes' (did you mean 'seeds'?)"),
        (bad_study("does: x", "does: work"), "'a seed 0' and 'b seed 0' are the same"),
        (bad_study("paradigm: b", "paradigm: a"), "two arms are called 'a'; give one of them a label"),
        (bad_study("options: {does: x}", "optoins: {}"), "unknown key 'optoins' (did you mean 'options'?)"),
    ],
)  # fmt: skip
def test_a_bad_study_stops_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], study: str, message: str
) -> None:
    assert bench(tmp_path, study) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_bad_files_among_records_are_named_measured_again_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path, STUDY) == 0
    a, b = load_records(tmp_path / "results" / "s")[0]
    folder = tmp_path / "results" / "s" / "records"
    cut, other = folder / f"{a.stem}.json", folder / f"{b.stem}.json"
    cut.write_text(cut.read_text()[:100])
    other.write_text('{"a": 1}')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert bench(tmp_path, STUDY) == 0
    told = capsys.readouterr().err
    assert "2 cells to measure\n" in told
    line = next(line for line in told.splitlines() if line.startswith(f"left out: cannot read {cut} as JSON"))
    assert line.endswith("; restore it, or move it elsewhere and run the cell again")
    assert f"left out: {other}: not a record of this suite; move it elsewhere" in told
    assert all(path.read_bytes() == content for path, content in before.items())
    assert sorted((r.id, r.attempt) for r in load_records(tmp_path / "results" / "s")[0]) == sorted(
        [(a.id, 2), (b.id, 2)]
    )
    for command in ("report", "collect"):
        out = tmp_path / f"{command}.out.csv"
        assert status([command, f"--results={tmp_path / 'results'}", f"--out={out}"]) == 0
        told = capsys.readouterr().err
        assert told.count("left out") >= 2
        assert str(cut) in told
        assert str(other) in told


def test_a_folder_that_is_read_only_is_told_before_the_work(
    small_disk: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("home")
    assert bench(folder, STUDY, small_disk) == 0
    held = sorted(small_disk.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    capsys.readouterr()
    assert bench(folder, STUDY + "seeds: [0, 1]\n", small_disk) == 2
    told = capsys.readouterr().err.splitlines()
    (line,) = told
    assert f"--results {small_disk}: cannot write" in line
    assert "(Read-only file system); choose another place" in line
    assert sorted(small_disk.rglob("*")) == held


def test_a_disk_that_fills_during_the_run_stops_it_with_a_line(
    small_disk: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("home")
    (small_disk / "filler").write_bytes(b"0" * 4096 * 9)  # leaves room for the lock and some records with their scores
    assert bench(folder, STUDY + "seeds: [0, 1, 2]\n", small_disk) == 2
    told = capsys.readouterr().err.splitlines()
    assert "cannot write" in told[-1]
    assert "No space left on device; free space or choose another folder" in told[-1]
    records, problems = load_records(small_disk / "s")
    assert not problems
    done = len(records)
    (small_disk / "filler").unlink()
    assert bench(folder, STUDY + "seeds: [0, 1, 2]\n", small_disk) == 0
    assert f"; {done} cell" in capsys.readouterr().err or done == 0
    assert len(load_records(small_disk / "s")[0]) == 6


def test_a_folder_without_permission_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    assert bench(tmp_path, STUDY) == 2
    assert "Permission denied; free space or choose another folder" in capsys.readouterr().err
