"""Submitting without a cluster: this machine instead, the plan, the settings, and input that cannot work."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import status as bench
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.common.errors import UserError
from paradigm_bench.slurm import scheduler
from paradigm_bench.slurm.manifest import submissions
from paradigm_bench.slurm.site import SITE, Site, load_site, sbatch_parameters
from paradigm_bench.slurm.status import status
from paradigm_bench.slurm.submit import Order, directives, packed

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/sbatch").exists() else str(_without_slurm()))


def _without_slurm() -> Path:
    """A folder of programs in which there is no Slurm."""
    folder = Path("programs").resolve()
    folder.mkdir()
    for name in ("ps", "git", "bash", "sh"):
        found = next((p for p in (Path("/bin") / name, Path("/usr/bin") / name) if p.exists()), None)
        if found:
            (folder / name).symlink_to(found)
    return folder


def write_study(*behaviours: str) -> str:
    arms = ", ".join(f"{{paradigm: {does!r}, options: {{does: {does!r}}}}}" for does in behaviours)
    Path("s.yaml").write_text(f"title: T\naxis: fake_axis:FakeAxis\narms: [{arms}]\n")
    return "s.yaml"


def states() -> dict[str, str]:
    return {found.cell.system: found.state for found in status(Path("runs"), "s")}


def wait_for(wanted: dict[str, str]) -> None:
    end = time.monotonic() + 120
    while states() != wanted:
        assert time.monotonic() < end, states()
        time.sleep(0.2)


def test_here_in_the_background(capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study("work", "segfault", "wait a", "wait b")
    assert bench(["submit", study, "--cluster", "local", "--array-parallelism", "2"]) == 0
    end = time.monotonic() + 120
    while not Path("runs/wait b").exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    assert bench(["cancel", "s"]) == 0
    wait_for({"work": "done", "segfault": "failed", "wait a": "lost", "wait b": "lost"})
    Path("runs/go").touch()
    assert bench(["resume", "s"]) == 0
    wait_for({"work": "done", "segfault": "failed", "wait a": "done", "wait b": "done"})
    assert len(load_records(Path("my_results/s"))[0]) == 3 + 2
    capsys.readouterr()
    assert bench(["status", "s"]) == 1
    assert "4 cells: 3 done, 1 failed" in capsys.readouterr().out


def test_here_and_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["submit", write_study("work", "raise"), "--cluster", "debug"]) == 0
    assert states() == {"work": "done", "raise": "failed"}


def test_a_dry_run_prints_the_plan_and_submits_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["submit", write_study("work", "raise"), "--cluster", "local", "--gpus", "2", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "2 cells, 0 done, 0 queued or running, 2 to submit" in told
    assert "3 min of worker time, 0.1 GPU hours" in told
    assert not Path("runs").exists()


def test_a_dry_run_for_slurm_works_without_slurm_and_prints_its_directives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["submit", write_study("work", "raise"), "--profile", "a100", "--mem", "3", "--dry-run"]
    assert bench(command) == 0
    told = capsys.readouterr().out
    directives = {line.removeprefix("#SBATCH --") for line in told.splitlines() if line.startswith("#SBATCH")}
    expected = {"partition=a100", "gpus-per-node=1", "cpus-per-task=8", "mem=3072M", "time=1440", "array=0-1%2"}
    assert directives >= expected
    assert not Path("runs").exists()
    assert bench([*command[:3], "a10", "--dry-run"]) == 2
    assert "no profile 'a10' (did you mean 'a100'?); known: default, a100, h100" in capsys.readouterr().err


def test_the_directives_are_those_that_submitit_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run calls a private function of submitit, the one that writes the file for sbatch."""
    import submitit

    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 1))
    cells = [Cell("a", f"g{i}", "paradigm", i, None, f"g{i}", {"i": i}) for i in range(3)]
    order = Order("s", "fidelity", cells, Path("r/s"), Path("w"), "slurm", Site(partition="p", extra={"nice": "5"}))
    executor = submitit.SlurmExecutor("w/s/submissions/TIME")
    executor.update_parameters(**sbatch_parameters(order.site, False, "bench-s-TIME", ()))
    executor.parameters["map_count"] = 3
    text = executor._make_submission_file_text("command", "uid")
    assert directives(order, 3) == [line for line in text.splitlines() if line.startswith("#SBATCH")]


def test_more_groups_than_elements_share_them() -> None:
    groups = [[Cell("a", f"g{i}", "paradigm", i, None, f"g{i}", {"i": i, "j": j}) for j in range(2)] for i in range(5)]
    ids = [[cell.id for cell in group] for group in groups]
    assert packed(groups, 10) == tuple(map(tuple, ids))
    assert packed(groups, 2) == (tuple(ids[0] + ids[2] + ids[4]), tuple(ids[1] + ids[3]))


def test_options_win_over_the_profile_and_that_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("big: {partition: a100, gpus: 1, mem: 64, setup: [module load cuda], extra: {constraint: fast}}\n")
    site = load_site(file, "big", {"gpus": 4, "time": None})
    assert (site.gpus, site.time, site.mem) == (4, Site().time, 64.0)
    asked = sbatch_parameters(site, True, "name", ("export A=1",))
    assert asked["setup"] == ["export A=1", "module load cuda"]
    assert asked["additional_parameters"] == {"constraint": "fast"}
    assert (asked["partition"], asked["exclusive"], asked["mem"]) == ("a100", True, "65536M")
    assert "account" not in asked
    for profile in ("default", "a100", "h100"):  # the packaged examples can be read
        load_site(SITE, profile, {})


NO_NEGATIVE = (
    "--seed", "--updates", "--timeout", "--gpus", "--cpus", "--mem", "--time", "--array-parallelism",
    "--max-num-timeout",
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "submit s.yaml",
            "sbatch not found: SLURM is not on this machine; run this on a login node, or give --cluster",
        ),
        ("submit s.yaml --cluster slrum", "unknown cluster 'slrum' (did you mean 'slurm'?)"),
        ("submit nosuch --cluster local", "no study 'nosuch'"),
        ("submit s.yaml --cluster local --time 5", "--time has no effect on cluster local"),
        ("submit s.yaml --cluster local --array-parallelism 0", "Invalid value for '--array-parallelism'"),
        ("submit s.yaml --cluster local --profile a10", "no profile 'a10' (did you mean 'a100'?)"),
        ("submit s.yaml --cluster local --site bad.yaml", "bad.yaml: default: unknown key 'partion' (did you mean"),
        ("submit s.yaml --cluster local --site none.yaml", "cannot read none.yaml"),
        ("submit s.yaml --cluster local --results file", "--results file: this is a file"),
        ("submit s.yaml --cluster local --work file", "--work file: this is a file"),
        *((f"submit s.yaml --cluster local {option} -1", f"Invalid value for '{option}'") for option in NO_NEGATIVE),
        ("status s.yaml", "study 's' was not submitted from work folder runs; start with: bench submit s"),
        ("resume quikstart", "no study 'quikstart' (did you mean 'quickstart'?)"),
        ("cancel s.yaml", "was not submitted"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_submitted(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study("work")
    Path("bad.yaml").write_text("default: {partion: x}\n")
    Path("file").write_text("a file where a folder should be")
    assert bench(line.split()) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    with pytest.raises(UserError):
        submissions(Path("runs"), "s")


def test_an_element_that_a_node_failed_to_launch_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm holds it for ever; it is lost, taken from the queue and submitted again."""
    rows = {"33_0": ("RUNNING", "None"), "33_1": ("PENDING", scheduler.HELD), "33_2": ("PENDING", "Priority")}
    asked: list[list[str]] = []

    def answer(command: list[str]) -> str:
        asked.append(command)
        return "".join(f"{job}|{state}|{reason}\n" for job, (state, reason) in rows.items())

    monkeypatch.setattr(scheduler, "_ask", answer)
    manifest = SimpleNamespace(cluster="slurm", job_id="33", elements=(("a",), ("b",), ("c",)))
    submission: Any = SimpleNamespace(manifest=manifest, name="s")
    assert [element.state for element in scheduler.element_states(submission)] == ["running", "over", "queued"]
    scheduler.drop_held(submission)
    assert asked[-1] == ["scancel", "33_1"]
