"""Several processes in one results folder: one run at a time, writers beside a packer, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from record_toys import a_record, files_in, study

from paradigm_bench.benchmarks.analysis.packing import pack
from paradigm_bench.benchmarks.analysis.packs import PACK
from paradigm_bench.benchmarks.analysis.records import load_records, read_items, save_record
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.common.locks import held_alone

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))


def bench(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from paradigm_bench.benchmarks.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)


def test_the_second_run_in_one_folder_ends_with_a_line_and_so_does_bench_pack(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results")]
    save_record(tmp_path / "results" / "s", a_record())
    first = bench(tmp_path, "run", *study(tmp_path, "wait"), *results)
    wait_for(tmp_path / "work" / "wait")
    before = files_in(tmp_path / "results")
    for command in (["run", str(tmp_path / "s.yaml"), "--work", str(tmp_path / "other")], ["pack"]):
        second = bench(tmp_path, *command, *results)
        lines = second.communicate(timeout=60)[1].splitlines()
        assert second.returncode == 2
        assert f"{tmp_path / 'results' / 's'} is in use by process {first.pid} on " in lines[-1]
        assert lines[-1].endswith("; wait until it has ended, or use another results folder")
        assert files_in(tmp_path / "results") == before
    (tmp_path / "work" / "go").touch()
    first.communicate(timeout=60)
    assert not (tmp_path / "results" / "s" / ".lock").exists()
    assert len(load_records(tmp_path / "results" / "s")[0]) == 2
    assert status(["pack", *results]) == 0


def test_a_killed_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results")]
    first = bench(tmp_path, "run", *study(tmp_path, "wait"), *results)
    wait_for(tmp_path / "work" / "wait")
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    (tmp_path / "work" / "go").touch()
    second = bench(tmp_path, "run", *study(tmp_path, "wait"), *results)
    assert "in use" not in second.communicate(timeout=60)[1]
    assert second.returncode == 0
    assert not (tmp_path / "results" / "s" / ".lock").exists()


def test_of_many_that_want_a_folder_one_at_a_time_has_it(tmp_path: Path) -> None:
    """Each adds 1 to a number that it reads, waits and writes: none is lost if no two overlap."""
    code = (
        "import sys, time; from pathlib import Path; from paradigm_bench.common.errors import UserError\n"
        "from paradigm_bench.common.locks import held_alone\n"
        "folder, done = Path(sys.argv[1]), 0\n"
        "while done < 5:\n"
        "    try:\n"
        "        with held_alone(folder, 'adds'):\n"
        "            number = int((folder / 'n').read_text()); time.sleep(0.01)\n"
        "            (folder / 'n').write_text(str(number + 1)); done += 1\n"
        "    except UserError:\n"
        "        time.sleep(0.005)\n"
    )
    (tmp_path / "n").write_text("0")
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    assert (tmp_path / "n").read_text() == "20"


def test_a_file_system_without_locks_or_that_is_read_only_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refused(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refused)
    with held_alone(tmp_path, "one"), held_alone(tmp_path, "two"):
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with held_alone(tmp_path / "file" / "s", "no such folder can be made"):
        pass


@pytest.mark.parametrize("scores", [True, False])
def test_writers_beside_a_packer_lose_nothing(tmp_path: Path, scores: bool) -> None:
    """Elements of a SLURM array write without a lock, also while records are packed."""
    code = (
        "import sys; from pathlib import Path; from record_toys import a_record\n"
        "from paradigm_bench.benchmarks.analysis.records import save_record\n"
        "for i in range(40):\n"
        f"    items = [{{'item': i}}] * {scores}\n"
        "    save_record(Path(sys.argv[1]), a_record(i % 3, reason=f'{sys.argv[2]}-{i}'), items)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abc"]
    while any(writer.poll() is None for writer in writers):
        pack(tmp_path)
    assert [writer.returncode for writer in writers] == [0] * 3
    assert pack(tmp_path).left == []
    records, problems = load_records(tmp_path)
    assert not problems
    assert sorted(record.reason for record in records) == sorted(f"{name}-{i}" for name in "abc" for i in range(40))
    assert len({record.stem for record in records}) == 120
    told = [[row["item"] for row in read_items(tmp_path, record)] for record in records]
    assert told == [[record.reason.partition("-")[2]] * scores for record in records]
    assert list(tmp_path.iterdir()) == [tmp_path / PACK]
