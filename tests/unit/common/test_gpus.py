"""One GPU per worker: how GPUs are found and handed out, how many workers run, --device, and running out of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.run.runner import run
from paradigm_bench.benchmarks.study.axis import AXES, Context
from paradigm_bench.benchmarks.study.study import ArmChoice, EvaluationChoice, Study
from paradigm_bench.common.gpus import visible, workers
from paradigm_bench.training.spec import TrainSpec

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def run_arms(
    folder: Path, *behaviours: str, axis: str = "FakeAxis", train: TrainSpec | None = None, **options: float
) -> dict[str, Record]:
    arms = tuple(ArmChoice(does, options={"does": does}) for does in behaviours)
    study = Study(
        "s", "T", f"fake_axis:{axis}", arms, train=train or TrainSpec(), evaluation=EvaluationChoice(batch=32)
    )
    context = Context("s", folder / "results" / "s", folder / "runs")
    records = run(AXES.load(study.axis)().expand(study), study.axis, context, **options)  # type: ignore[arg-type]
    return {record.system: record for record in records}


def held(folder: Path) -> list[tuple[str, float, float]]:
    """What each worker saw, and from when to when."""
    lines = (folder / "runs" / "held").read_text().splitlines()
    return [(gpus, float(begun), float(ended)) for gpus, begun, ended in map(str.split, lines)]


@pytest.fixture(autouse=True)
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as torch finds here, unless a test says otherwise."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0", ["0"]),
        ("3, 1", ["3", "1"]),
        ("GPU-8932f937-d72c,GPU-1f2a", ["GPU-8932f937-d72c", "GPU-1f2a"]),
        ("MIG-5f6a,MIG-GPU-8932f937/1/0", ["MIG-5f6a", "MIG-GPU-8932f937/1/0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,-1,0", ["2"]),
        ("0,0", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(
    listed: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible() == expected


def test_gpus_that_are_not_there_are_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have one GPU and the variable of its host."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    for count in (0, 1, 4):
        monkeypatch.setattr("torch.cuda.device_count", lambda count=count: count)
        assert visible() == ["0", "1", "2", "3"][:count]


@pytest.mark.parametrize("count", [0, 2])
def test_without_the_variable_torch_counts(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible() == ["0", "1"][:count]


@pytest.mark.parametrize(
    ("jobs", "cpu_jobs", "groups", "gpus", "expected"),
    [
        (0, 2, 9, "", 2),
        (3, 2, 9, "", 3),
        (0, 0, 9, "", 1),
        (0, 2, 9, "0123", 4),
        (3, 2, 9, "0123", 3),
        (6, 2, 9, "0123", 4),
        (0, 2, 1, "0123", 1),
    ],
)
def test_how_many_workers_run(jobs: int, cpu_jobs: int, groups: int, gpus: str, expected: int) -> None:
    assert workers(jobs, cpu_jobs, groups, list(gpus)) == expected


def test_fewer_gpus_than_jobs_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    workers(2, 1, 9, ["0", "1"])
    assert capsys.readouterr().err == ""
    workers(4, 1, 9, ["0", "1"])
    workers(4, 1, 9, ["0"])
    assert capsys.readouterr().err.splitlines() == [
        "--jobs 4: 2 GPUs are visible, so 2 workers run at a time, one per GPU",
        "--jobs 4: 1 GPU is visible, so 1 worker runs at a time, one per GPU",
    ]


def test_no_two_workers_share_a_gpu_and_a_crash_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,MIG-b")
    records = run_arms(tmp_path, "hold long", "hold crash", "hold 1", "hold long crash", "hold 2", jobs=4)
    assert [record.status for record in records.values()] == ["ok", "failed", "ok", "failed", "ok"]
    assert records["hold 1"].environment["threads"] == max(1, (os.cpu_count() or 1) // 2)
    assert len(held(tmp_path)) == 5
    assert {gpus for gpus, *_ in held(tmp_path)} == {"GPU-a", "MIG-b"}
    for one, other in combinations(held(tmp_path), 2):
        assert one[0] != other[0] or one[2] <= other[1] or other[2] <= one[1], "two workers on one GPU"


def test_a_worker_that_is_stopped_or_fails_gives_its_gpu_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    records = run_arms(tmp_path, "sleep", "raise", "fail to open", "exit", "hold", jobs=1, timeout_s=15.0)
    assert [record.status for record in records.values()] == ["timeout", "failed", "failed", "failed", "ok"]
    assert [gpus for gpus, *_ in held(tmp_path)] == ["7"]


def test_without_a_gpu_workers_have_the_same_environment_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    run_arms(tmp_path, "hold")
    assert [gpus for gpus, *_ in held(tmp_path)] == ["unset"]


def test_gpus_are_counted_only_where_there_is_something_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run_arms(tmp_path, "work")
    monkeypatch.setattr("paradigm_bench.benchmarks.run.runner.visible", lambda: pytest.fail("counted"))
    assert run_arms(tmp_path, "work")["work"].status == "ok"


def bench(folder: Path, *options: str, arms: str = "hold 1, hold 2") -> int:
    study = folder / "s.yaml"
    listed = ", ".join(f"{{paradigm: {name}, options: {{does: {name}}}}}" for name in arms.split(", "))
    study.write_text(f"title: T\naxis: fake_axis:FakeAxis\njobs: 1\narms: [{listed}]\n")
    folders = ["--results", str(folder / "results"), "--work", str(folder / "runs")]
    return status(["run", str(study), *folders, *options])


def test_a_study_uses_every_gpu_whatever_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert bench(tmp_path) == 0
    assert {gpus for gpus, *_ in held(tmp_path)} == {"4", "5"}


def test_an_exclusive_axis_runs_one_worker_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setattr("fake_axis.FakeAxis.exclusive", True, raising=False)
    assert bench(tmp_path, "--jobs", "2") == 0
    assert [gpus for gpus, *_ in held(tmp_path)] == ["4", "4"]


def test_device_cpu_hides_the_gpus_from_workers_and_from_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert bench(tmp_path, "--device", "cpu", arms="hold") == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    line = (tmp_path / "runs" / "held").read_text()
    assert line.startswith(" ")  # an empty variable, not an unset one


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "--device cuda: torch finds no GPU here; give --device cpu, or see `bench doctor`"),
        ("gpu", "--device 'gpu' is not one of auto, cpu, cuda (did you mean 'cuda'?)"),
        ("cuda:0", "--device 'cuda:0' is not one of auto, cpu, cuda (did you mean 'cuda'?)"),
        ("CPU", "--device 'CPU' is not one of auto, cpu, cuda (did you mean 'cpu'?)"),
    ],
)
def test_a_device_that_is_not_there_is_one_line_and_writes_nothing(
    device: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert bench(tmp_path, "--device", device) == 2
    assert capsys.readouterr().err == f"bench: error: {message}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_device_cuda_runs_where_torch_finds_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert bench(tmp_path, "--device", "cuda", arms="hold") == 0
    assert [gpus for gpus, *_ in held(tmp_path)] == ["4"]


SIZES = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.06 GiB is free."
)


def test_running_out_of_gpu_memory_says_what_ran_out_and_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    train = TrainSpec(batch=256, seconds=10.0, accumulate=2)
    records = run_arms(tmp_path, "GPU memory to open", "GPU memory", "memory", axis="FakeTrainingAxis", train=train)
    assert {record.status for record in records.values()} == {"oom"}
    assert {name: record.reason for name, record in records.items()} == {
        "GPU memory to open": "training GPU memory to open ran out of GPU memory (batch 256 x 10 s, 2 micro-batches): "
        f"raise train.accumulate or set train.recompute=true; {SIZES}",
        "GPU memory": "sampling GPU memory ran out of GPU memory (32 clips at a time): lower evaluation.batch; "
        f"{SIZES}",
        "memory": "sampling memory ran out of memory (32 clips at a time): lower evaluation.batch; too much",
    }  # fmt: skip


def test_an_axis_that_trains_nothing_keeps_the_error_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    record = run_arms(tmp_path, "GPU memory")["GPU memory"]
    assert record.status == "oom"
    assert record.reason.startswith(f"OutOfMemoryError: {SIZES}")


def test_neither_runner_nor_options_load_torch_before_they_need_it() -> None:
    code = (
        "import sys; from paradigm_bench.benchmarks.run import runner; from paradigm_bench.benchmarks.cli import run; "
        "from paradigm_bench.common import gpus; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
