"""Runs cells: skips what is done, prepares what is shared, and works through the rest in a few processes at a time.

Cells of one group (one training run and the measurements of it) share a worker. Where there are GPUs, each worker has
one of them to itself. A worker that fails, is killed or exceeds its time leaves records that say so, and the run goes
on. Ctrl-C stops the workers and keeps every finished record; training resumes from its last checkpoint when the same
command is given again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.config import config_hash, to_dict
from ...common.errors import UserError
from ...common.files import check_writable, write_json
from ...common.gpus import VARIABLE, visible, workers
from ...common.lines import count, say
from ..analysis.records import GOOD, Record, latest, load_records, record_paths, save_record
from ..study.axis import AXES, Context, Measurement
from ..study.cells import Cell
from .progress import Progress
from .worker import Job, make_record

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Plan:
    """What a run has to do: cells with a good record already, and the rest in groups.

    ``problems`` has a line for every file of these cells that cannot be read as a record; they are measured again.
    """

    done: list[Cell]
    groups: list[list[Cell]]
    problems: list[str] = field(default_factory=list)

    @property
    def pending(self) -> list[Cell]:
        """The cells still to measure."""
        return [cell for group in self.groups for cell in group]


@dataclass
class _Running:
    cells: list[Cell]
    process: subprocess.Popen[bytes]
    status: Path
    log: Path
    known: set[str]  # stems of these cells' records that existed before
    gpu: str | None  # lent to this worker alone until it has ended; None: no GPU is visible
    started: float = field(default_factory=time.monotonic)
    oom_kills: int = field(default_factory=lambda: oom_kills())


def plan(cells: Sequence[Cell], results: Path) -> Plan:
    """Leave out the cells that have a good record; failed ones are tried again."""
    records, problems = load_records(results, {cell.id for cell in cells})
    good = {cell_id for cell_id, record in latest(records).items() if record.status in GOOD}
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.id not in good:
            groups.setdefault(cell.group, []).append(cell)
    # The longest first, so that the last worker does not start a long one alone.
    ordered = sorted(groups.values(), key=lambda group: -max(cell.updates for cell in group))
    return Plan(done=[cell for cell in cells if cell.id in good], groups=ordered, problems=problems)


def run(
    cells: Sequence[Cell],
    axis: str,
    context: Context,
    *,
    jobs: int = 0,
    cpu_jobs: int = 1,
    command: str = "",
    timeout_s: float | None = None,
    prepare: bool = True,
    patience_s: float = 10.0,
) -> list[Record]:
    """Measure every cell that has no good record yet; returns the records that now speak for ``cells``.

    Args:
        jobs: worker processes at a time; each gets an equal share of the cores, and no more run than there are GPUs,
            where there are any. 0: one worker per GPU, or ``cpu_jobs`` workers without a GPU.
        cpu_jobs: see ``jobs``.
        timeout_s: a worker that takes longer is stopped and its cells recorded as ``timeout``.
        prepare: make first what several groups need; False where that has been done.
        patience_s: how long workers that are told to stop may take to save their training.

    Raises:
        UserError: what the cells share cannot be prepared (a missing file, a full disk).
        KeyboardInterrupt: after the workers have been stopped.
    """
    todo = plan(cells, context.results)
    progress = Progress(total=len(cells), done=len(todo.done), groups=todo.groups)
    if todo.groups:
        for folder in (context.results / "records", context.work / "jobs"):
            check_writable(folder)
        if prepare:
            AXES.load(axis)().prepare(todo.pending, context)
        gpus = visible()
        jobs = workers(jobs, cpu_jobs, len(todo.groups), gpus)
        _work(todo.groups, _Launcher(axis, context, jobs, gpus, command, patience_s), progress, timeout_s)
    held = latest(load_records(context.results, {cell.id for cell in cells})[0])
    return [held[cell.id] for cell in cells if cell.id in held]


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started (0 where it does not say)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return 0


@dataclass(frozen=True)
class _Launcher:
    axis: str
    context: Context
    jobs: int
    gpus: Sequence[str]
    command: str
    patience_s: float

    def start(self, cells: list[Cell], running: Sequence[_Running]) -> _Running:
        """Start a worker on one group, on a GPU that none of the ``running`` workers has."""
        name = f"{config_hash([cell.id for cell in cells])}-{os.getpid()}"
        folder = self.context.work / "jobs"
        status, log = folder / f"{name}.status.json", folder / f"{name}.log"
        write_json(folder / f"{name}.json", to_dict(self.job(cells, status)))
        lent = {worker.gpu for worker in running}
        gpu = next((gpu for gpu in self.gpus if gpu not in lent), None)
        known = {path.stem for path in record_paths(self.context.results, {cell.id for cell in cells})}
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "paradigm_bench.benchmarks.run.worker", str(folder / f"{name}.json")],
                env=self.variables(gpu), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then stops its workers in order
            )  # fmt: skip
        return _Running(cells, process, status, log, known, gpu)

    def variables(self, gpu: str | None) -> dict[str, str]:
        """The environment of a worker."""
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // self.jobs))
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            **{key: threads for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")},
            **({} if gpu is None else {VARIABLE: gpu}),
        }

    def job(self, cells: list[Cell], status: Path) -> Job:
        """What a worker on ``cells`` is told."""
        context = self.context
        return Job(
            self.axis, context.study, str(context.results.resolve()), str(context.work.resolve()), self.command,
            str(status), os.getpid(), tuple(cells),
        )  # fmt: skip


def _cores() -> int:
    """Those that are ours: on SLURM what the job asked for, which nodes without cgroups do not enforce."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or os.cpu_count() or 1)


def _work(groups: list[list[Cell]], launcher: _Launcher, progress: Progress, timeout_s: float | None) -> None:
    waiting, running, before = list(groups), list[_Running](), progress.done
    try:
        while waiting or running:
            while waiting and len(running) < launcher.jobs:
                running.append(launcher.start(waiting.pop(0), running))
            time.sleep(0.2)
            for worker in list(running):
                late = timeout_s is not None and time.monotonic() - worker.started > timeout_s
                if late:
                    _stop([worker], launcher.patience_s)
                if late or worker.process.poll() is not None:
                    running.remove(worker)
                    progress.finished(worker.cells, _close(worker, launcher, timeout_s if late else None))
            progress.show([worker.status for worker in running])
    except UserError:  # such as a full disk
        _stop(running, launcher.patience_s)
        raise
    except KeyboardInterrupt:
        _stop(running, launcher.patience_s)
        held = latest(load_records(launcher.context.results, {cell.id for group in groups for cell in group})[0])
        measured = before + sum(record.status in GOOD for record in held.values())
        say(f"stopped: {measured} of {count(progress.total, 'cell')} measured")
        raise


def _close(worker: _Running, launcher: _Launcher, timeout_s: float | None) -> list[Record]:
    """The group's new records; cells that the worker left without one get a record that says why."""
    records = load_records(launcher.context.results, {cell.id for cell in worker.cells})[0]
    written = latest(record for record in records if record.stem not in worker.known)
    for cell in worker.cells:
        if cell.id not in written:
            lost = make_record(cell, launcher.job([cell], worker.status), _post_mortem(worker, timeout_s))
            written[cell.id] = save_record(launcher.context.results, lost)
    return list(written.values())


def _post_mortem(worker: _Running, timeout_s: float | None) -> Measurement:
    code = worker.process.returncode
    if timeout_s is not None:
        return Measurement(status="timeout", reason=f"stopped after {timeout_s:g} s")
    if code == -signal.SIGKILL and oom_kills() > worker.oom_kills:
        return Measurement(status="oom", reason="the kernel killed the worker for memory")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    why = _last_line(worker.log) if code > 0 else ""
    return Measurement(status="failed", reason=f"the worker {how}{why}; its output is in {worker.log}")


def _last_line(log: Path) -> str:
    """What a worker said last, as a rule the reason why it ended itself."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return f": {lines[-1].strip()[:200]}" if lines else ""


def _stop(workers: Sequence[_Running], patience_s: float) -> None:
    """Ask the workers to end (training then saves its state), and end those that do not."""
    for worker in workers:
        worker.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience_s
    for worker in workers:
        try:
            worker.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
