"""Arrays on a real Slurm of one machine: whatever happens to an element, every cell ends with a true status.

Needs root on Debian (tests/onenode installs and starts Slurm); elsewhere these tests are skipped, and say why. With
REQUIRE_SLURM=1, as .ci/run sets it, they fail instead. There are no cgroups, so memory runs out at an address limit.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from onenode import Cluster, slurm
from training_toys import curve
from under_fire import perfect, table, under_fire

from paradigm_bench.benchmarks.analysis.records import Record, load_records
from paradigm_bench.benchmarks.cli.main import status as bench
from paradigm_bench.slurm.manifest import submissions
from paradigm_bench.slurm.status import CellStatus, status

ROOT = Path(__file__).parents[2]
SMALL = ["--mem", "0.5", "--cpus", "1"]
PATIENCE_S = 600.0  # only a failure waits that long


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        with slurm() as running:
            yield running
    except RuntimeError as error:
        if os.environ.get("REQUIRE_SLURM"):
            raise
        pytest.skip(f"no Slurm here: {error}")


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, in which workers find the fake axis; the node is up, whatever the test before it did."""
    cluster.up()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submit(*behaviours: str, options: tuple[str, ...] = ("--time", "60")) -> str:
    """Submit a study of one cell per behaviour; returns the array's job id."""
    arms = ", ".join(f"{{paradigm: {does!r}, options: {{does: {does!r}}}}}" for does in behaviours)
    Path("s.yaml").write_text(f"title: T\naxis: fake_axis:FakeAxis\narms: [{arms}]\n")
    assert bench(["submit", "s.yaml", *SMALL, *options]) == 0
    return submissions(Path("runs"), "s")[-1].manifest.job_id


def states() -> dict[str, str]:
    return {found.cell.system: found.state for found in looked()}


def looked() -> list[CellStatus]:
    return status(Path("runs"), "s")


def reasons() -> dict[str, str]:
    return {found.cell.system: found.reason for found in looked()}


def records() -> list[Record]:
    found, problems = load_records(Path("my_results/s"))
    assert not problems
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited too long; now {states()}"
        time.sleep(0.2)


def over() -> bool:
    return not set(states().values()) & {"queued", "running"}


def starts(name: str) -> int:
    """How often a waiting cell was begun."""
    marks = Path("runs") / name
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_ending_is_told_and_what_ended_badly_is_resumed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submit("work", "unsupported", "raise", "exit", "segfault", "hog", "sleep", "once broken",
           options=("--time", "60", "--timeout", "0.5"))  # fmt: skip
    until(over)
    assert states() == {
        "work": "done", "unsupported": "done", "raise": "failed", "exit": "failed", "segfault": "failed", "hog": "oom",
        "sleep": "timeout", "once broken": "failed",
    }  # fmt: skip
    assert "exit status 7" in reasons()["exit"]
    assert "SIGSEGV" in reasons()["segfault"]
    assert reasons()["sleep"] == "stopped after 30 s"
    capsys.readouterr()
    assert bench(["status", "s.yaml"]) == 1
    told = capsys.readouterr().out
    assert "8 cells: 2 done, 4 failed, 1 oom, 1 timeout" in told
    assert "bench resume s.yaml" in told
    assert (Path("runs") / "prepared").read_text() == "x"  # by one element, for all

    (Path("runs") / "mended").touch()
    assert bench(["resume", "s"]) == 0
    until(lambda: [name for name, state in states().items() if state in ("queued", "running")] == ["sleep"])
    assert states()["once broken"] == "done"
    assert bench(["cancel", "s"]) == 0
    until(over)
    assert states()["sleep"] == "lost"  # since it was resumed; its older record does not speak for the second try
    assert len(records()) == 8 + 5  # the others that were not good were tried twice
    assert {r.attempt for r in records() if r.system == "work"} == {1}


def test_cancelled_before_and_after_the_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = submit("wait a", "wait b", options=("--time", "60", "--array-parallelism", "1"))
    until(lambda: starts("wait a") == 1)
    assert states() == {"wait a": "running", "wait b": "queued"}
    assert bench(["resume", "s"]) == 0
    assert "Nothing to submit" in capsys.readouterr().out  # neither queued nor running cells are submitted twice
    ask("scancel", f"{array}_1")
    until(lambda: states()["wait b"] == "lost")
    assert states()["wait a"] == "running"
    assert bench(["cancel", "s"]) == 0
    until(over)
    assert states() == {"wait a": "lost", "wait b": "lost"}
    assert "CANCELLED" in reasons()["wait a"]
    assert not records()
    (Path("runs") / "go").touch()
    assert bench(["resume", "s"]) == 0
    until(over)
    assert states() == {"wait a": "done", "wait b": "done"}
    assert len(records()) == 2


def test_requeued_from_outside_and_the_controller_killed(
    home: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit("wait a")
    until(lambda: starts("wait a") == 1)
    ask("scontrol", "requeue", job)
    until(lambda: starts("wait a") == 2)
    begun = time.time()
    until(lambda: cluster.saved() > begun)  # what a controller had not saved, it forgets: see under_fire
    cluster.kill_controller()
    assert states() == {"wait a": "unknown"}
    assert bench(["resume", "s"]) == 2
    assert "try again when SLURM's controller is up" in capsys.readouterr().err
    cluster.up()
    until(lambda: states() == {"wait a": "running"})
    (Path("runs") / "go").touch()
    until(over)
    assert states() == {"wait a": "done"}
    assert (len(records()), starts("wait a")) == (1, 2)


def test_preempted_by_another_job(home: Path) -> None:
    submit("wait a", options=("--time", "60", "--partition", "low", "--cpus", "8", "--max-num-timeout", "0"))
    until(lambda: starts("wait a") == 1)
    ask("sbatch", "-p", "high", "-c", "8", "--mem=100", "-o", "/dev/null", "--wrap", "sleep 1")
    until(lambda: starts("wait a") == 2)
    log = submissions(Path("runs"), "s")[-1].log(0).with_suffix(".out")
    (Path("runs") / "go").touch()
    until(over)
    assert states() == {"wait a": "done"}
    assert len(records()) == 1
    assert "preempted" in log.read_text() + log.with_suffix(".err").read_text()


def test_over_its_time(home: Path) -> None:
    submit("wait a", options=("--time", "1", "--max-num-timeout", "0"))
    until(over)
    assert states() == {"wait a": "timeout"}
    assert reasons()["wait a"] == "stopped by the time limit of 1 min too many times"
    assert len(records()) == 1


def test_training_that_was_stopped_twice_is_as_if_it_had_not_been(home: Path) -> None:
    toy = Path("runs") / "toy"

    def trained() -> int:
        log = toy / "log.jsonl"
        return len(log.read_text().splitlines()) if log.exists() else 0

    job = submit("train")
    until(lambda: trained() >= 20)
    ask("scancel", "--signal=USR2", job)
    until(lambda: starts("train") >= 2 and trained() >= 80)
    ask("scontrol", "requeue", job)
    until(over)
    assert states() == {"train": "done"}
    first, *later = (Path("runs") / "train").read_text().splitlines()
    assert first == ""
    assert len(later) == 2
    assert all(session.startswith("checkpoint-") for session in later)

    calm = home / "calm"
    calm.mkdir()
    os.chdir(calm)
    assert bench(["submit", str(home / "s.yaml"), "--cluster", "debug"]) == 0
    assert curve(calm / toy) == curve(home / toy)
    weights = [(folder / toy / "final" / "model.safetensors").read_bytes() for folder in (calm, home)]
    assert weights[0] == weights[1]


def test_under_fire(home: Path, cluster: Cluster) -> None:
    """The short form of ``python tests/under_fire.py``."""
    found = under_fire(cluster, cells=8, kills=3, seed=1, parallel=4)
    assert perfect(found), table(found)
    assert found["kills"].total() >= 1
    assert found["status"] == "8 cells: 8 done"
