"""The runner on a fake axis: every way a worker can end leaves a true record, and nothing done is done again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.records import Record, load_records, read_items
from paradigm_bench.benchmarks.run.runner import plan, run, worker_environment
from paradigm_bench.benchmarks.study.axis import AXES, Context
from paradigm_bench.benchmarks.study.study import ArmChoice, Study
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.spec import TrainSpec

ROOT = Path(__file__).parents[4]
AXIS = "fake_axis:FakeAxis"


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # what is tested here is the same with GPUs; see test_gpus.py


def run_arms(folder: Path, *behaviours: str, **options: float) -> dict[str, Record]:
    arms = tuple(ArmChoice(does, options={"does": does}) for does in behaviours)
    study = Study("s", "T", AXIS, arms, train=TrainSpec(updates=200))
    cells = AXES.load(AXIS)().expand(study)
    context = Context("s", folder / "results" / "s", folder / "runs")
    records = run(cells, AXIS, context, jobs=2, command="bench run s", **options)  # type: ignore[arg-type]
    return {record.system: record for record in records}


def test_workers_have_the_threads_that_were_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert run_arms(tmp_path, "work")["work"].environment["threads"] == 3


@pytest.mark.parametrize(("own", "held"), [("", "1"), ("3", "3")])
def test_matrices_of_a_worker_use_one_thread(own: str, held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user says otherwise, however many threads torch has."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", own)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    environment = worker_environment(jobs=1, gpu=None)
    assert environment["OPENBLAS_NUM_THREADS"] == held
    assert environment["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize("where", ["link", "folder"])
def test_a_worker_finds_the_package_where_the_runner_found_it(tmp_path: Path, where: str) -> None:
    """Through a link on ``sys.path`` that is on no path of the environment, and through the current folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "paradigm_bench").symlink_to(ROOT)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        "from paradigm_bench.benchmarks.run.runner import python_path; print(python_path().get('PYTHONPATH', 'none'))"
    )
    home = str(tmp_path / "home") if where == "link" else ""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", code, home], cwd=tmp_path / "home", env=environment, capture_output=True, text=True
    )
    assert process.stdout.strip() == str(tmp_path / "home"), process.stderr


def test_an_installed_package_needs_no_path(tmp_path: Path) -> None:
    code = "from paradigm_bench.benchmarks.run.runner import python_path; print(python_path())"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert process.stdout.strip() == "{}", process.stderr


def test_every_ending_becomes_a_record_and_the_rest_goes_on(tmp_path: Path) -> None:
    records = run_arms(
        tmp_path, "work", "raise", "unsupported", "memory", "segfault", "exit", "fail to open", "user error"
    )
    assert {name: record.status for name, record in records.items()} == {
        "work": "ok", "raise": "failed", "unsupported": "unsupported", "memory": "oom", "segfault": "failed",
        "exit": "failed", "fail to open": "failed", "user error": "failed",
    }  # fmt: skip
    assert records["raise"].reason == "ValueError: the cell is broken with a second line"
    assert "ValueError" in (tmp_path / "results" / "s" / records["raise"].artefacts["traceback"]).read_text()
    assert "SIGSEGV" in records["segfault"].reason
    assert "exit status 7" in records["exit"].reason
    assert records["user error"].reason == "no such file: x.wav"
    good = records["work"]
    assert good.metrics["score"].value == 1.5
    assert good.training is not None
    assert good.environment["threads"] == max(1, (os.cpu_count() or 1) // 2)
    assert [row["score"] for row in read_items(tmp_path / "results" / "s", good)] == [0.0, 1.0, 2.0, 3.0]


def test_final_records_are_not_measured_again_but_failed_ones_are(tmp_path: Path) -> None:
    first = run_arms(tmp_path, "work", "unsupported", "once broken")
    assert first["once broken"].status == "failed"
    (tmp_path / "runs" / "mended").touch()
    second = run_arms(tmp_path, "work", "unsupported", "once broken")
    assert (second["once broken"].status, second["once broken"].attempt) == ("ok", 2)
    assert second["work"] == first["work"]
    assert len(load_records(tmp_path / "results" / "s")[0]) == 4
    assert (tmp_path / "runs" / "prepared").read_text() == "xx"
    run_arms(tmp_path, "work", "unsupported", "once broken")
    assert (tmp_path / "runs" / "prepared").read_text() == "xx"  # with nothing to do, nothing is prepared


def test_a_worker_that_takes_too_long_is_stopped_and_recorded(tmp_path: Path) -> None:
    record = run_arms(tmp_path, "sleep", timeout_s=4.0)["sleep"]
    assert (record.status, record.reason) == ("timeout", "stopped after 4 s")
    assert not _alive(int((tmp_path / "runs" / "asleep").read_text()))


def test_a_worker_that_the_kernel_kills_for_memory_is_recorded_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = itertools.count()  # the kernel's own counter, which grows with every such kill
    monkeypatch.setattr("paradigm_bench.benchmarks.run.runner.oom_kills", lambda: next(kills))
    records = run_arms(tmp_path, "killed", "work")
    assert (records["killed"].status, records["work"].status) == ("oom", "ok")
    assert records["killed"].reason == "the kernel killed the worker for memory"


def test_changing_a_default_makes_a_new_cell(tmp_path: Path) -> None:
    run_arms(tmp_path, "work")
    study = Study("s", "T", AXIS, (ArmChoice("work", options={"does": "work"}),), train=TrainSpec(lr=2e-3))
    assert len(plan(AXES.load(AXIS)().expand(study), tmp_path / "results" / "s").pending) == 1


def _heed_interrupts() -> None:
    """Jobs that a script starts in the background ignore SIGINT, and so would their children, these tests included."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_an_interrupted_run(tmp_path: Path, how: signal.Signals) -> None:
    study = tmp_path / "s.yaml"
    arms = "[{paradigm: a, options: {does: work}}, {paradigm: b, options: {does: sleep}}]"
    study.write_text(f"title: T\naxis: {AXIS}\narms: {arms}\n")
    command = [
        sys.executable,
        "-c",
        "from paradigm_bench.benchmarks.cli.main import main; main()",
        "run",
        str(study),
        "--jobs",
        "1",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts
    )  # fmt: skip
    asleep = tmp_path / "runs" / "asleep"
    _wait_for(lambda: asleep.exists() and asleep.read_text() != "")
    process.send_signal(how)
    stderr = process.communicate(timeout=30)[1]
    _wait_for(lambda: not _alive(int(asleep.read_text())))
    records, problems = load_records(tmp_path / "my_results" / "s")
    assert not problems
    assert [record.system for record in records] == ["a"]
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert "1 of 2 cells measured" in stderr


def test_trouble_in_what_all_share_stops_the_run_before_any_record(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the work folder should be")
    with pytest.raises(UserError, match="cannot write"):
        run_arms(tmp_path, "work")
    assert load_records(tmp_path / "results" / "s") == ([], [])


def _wait_for(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
