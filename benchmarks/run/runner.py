"""Runs cells: skips what is done, prepares what is shared, and works through the rest in a few processes at a time.

Cells of one group (one training run and the measurements of it) share a worker. Where there are GPUs, each worker has
one of them to itself. A worker that fails, is killed or exceeds its time leaves records that say so, and the run goes
on. Ctrl-C stops the workers and keeps every finished record; training resumes from its last checkpoint when the same
command is given again.
"""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.config import config_hash, to_dict
from ...common.environment import ONE_BLAS_THREAD
from ...common.errors import UserError
from ...common.files import write_json
from ...common.gpus import VARIABLE, visible, workers
from ...common.lines import count, say
from ..analysis.locations import check_writable
from ..analysis.records import GOOD, Record, latest, load_records, record_paths, save_record
from ..study.axis import Context, Measurement, find_axis
from ..study.cells import Cell
from .progress import Progress
from .worker import Job, make_record

LOST = "the worker"  # the reason of a record begins so where its worker ended before it had written one


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        done: cells that have a good record already.
        groups: the other cells, by group.
        problems: a line for every file of these cells that cannot be read as a record; they are measured again.
    """

    done: list[Cell]
    groups: list[list[Cell]]
    problems: list[str] = field(default_factory=list)

    @property
    def pending(self) -> list[Cell]:
        """The cells still to measure."""
        return [cell for group in self.groups for cell in group]


def plan(cells: Sequence[Cell], results: Path) -> Plan:
    """What is left to do of ``cells``, those whose records tell of a failure included."""
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
    todo: Plan | None = None,
    jobs: int = 0,
    cpu_jobs: int = 1,
    command: str = "",
    timeout_s: float | None = None,
    prepare: bool = True,
    patience_s: float = 10.0,
    tell: Callable[[Record], str] | None = None,
) -> list[Record]:
    """Measure every cell that has no good record yet; returns the records that now count for ``cells``.

    Args:
        todo: the plan of ``cells``, where it has been made already.
        jobs: worker processes at a time; each gets an equal share of the cores, and no more run than there are GPUs,
            where there are any. 0: one worker per GPU, or ``cpu_jobs`` workers without a GPU.
        cpu_jobs: see ``jobs``.
        timeout_s: a worker that takes longer is stopped and its cells recorded as ``timeout``.
        prepare: make first what several groups need; False where that has been done.
        patience_s: how long workers that are told to stop may take to save their training.
        tell: what the line of a measured cell adds to its name, such as a score.

    Raises:
        UserError: what the cells share cannot be prepared (a missing file, a full disk).
        KeyboardInterrupt: after the workers have been stopped.
    """
    todo = plan(cells, context.results) if todo is None else todo
    if todo.groups:
        check_writable(context.results / "records", "folder", "--results")
        check_writable(context.work / "jobs", "folder", "--work")
        if prepare:
            find_axis(axis).prepare(todo.pending, context)
    gpus = visible() if todo.groups else []
    progress = Progress(total=len(cells), done=len(todo.done), groups=todo.groups, tell=tell)
    at_once = workers(jobs, cpu_jobs, len(todo.groups), gpus)
    pool = _Pool(context, at_once, gpus, command, timeout_s, patience_s)
    waiting = list(todo.groups)
    try:
        while waiting or pool.running:
            while waiting and len(pool.running) < at_once:
                pool.start(waiting.pop(0))
            time.sleep(0.2)
            for worker, records in pool.ended():
                progress.finished(worker.cells, records)
            progress.show([worker.status for worker in pool.running])
    except UserError:  # such as a full disk
        pool.stop()
        raise
    except KeyboardInterrupt:
        pool.stop()
        measured = len(plan(cells, context.results).done)
        say(f"stopped: {measured} of {count(len(cells), 'cell')} measured")
        raise
    held = latest(load_records(context.results, {cell.id for cell in cells})[0])
    return [held[cell.id] for cell in cells if cell.id in held]


@dataclass
class _Worker:
    """A running worker process; ``gpu`` is None where no GPU is visible."""

    cells: list[Cell]
    process: subprocess.Popen[bytes]
    job: Job
    log: Path
    known: set[str]  # stems of these cells' records that existed before
    gpu: str | None
    started: float = field(default_factory=time.monotonic)
    oom_kills: int = field(default_factory=lambda: oom_kills())

    @property
    def status(self) -> Path:
        """The file with its progress."""
        return Path(self.job.status)


@dataclass
class _Pool:
    """Worker processes, at most ``jobs`` at a time; the other fields are arguments of ``run``."""

    context: Context
    jobs: int
    gpus: Sequence[str]
    command: str
    timeout_s: float | None
    patience_s: float
    running: list[_Worker] = field(default_factory=list)

    def start(self, cells: list[Cell]) -> None:
        """Start a worker on one group, on a GPU that no running worker has."""
        name = f"{config_hash([cell.id for cell in cells])}-{os.getpid()}"
        folder, context = self.context.work / "jobs", self.context
        path, log = folder / f"{name}.json", folder / f"{name}.log"
        job = Job(
            cells[0].axis, context.study, str(context.results.resolve()), str(context.work.resolve()), self.command,
            str(folder / f"{name}.status.json"), os.getpid(), tuple(cells),
        )  # fmt: skip
        write_json(path, to_dict(job))
        lent = {worker.gpu for worker in self.running}
        gpu = next((gpu for gpu in self.gpus if gpu not in lent), None)
        known = {path.stem for path in record_paths(context.results, {cell.id for cell in cells})}
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "paradigm_bench.benchmarks.run.worker", str(path)],
                env=worker_environment(self.jobs, gpu), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which then stops its workers in order
            )  # fmt: skip
        self.running.append(_Worker(cells, process, job, log, known, gpu))

    def ended(self) -> Iterator[tuple[_Worker, list[Record]]]:
        """The workers that have ended or taken too long, each with the new records of its cells."""
        for worker in list(self.running):
            late = self.timeout_s is not None and time.monotonic() - worker.started > self.timeout_s
            if late:
                _stop([worker], self.patience_s)
            if late or worker.process.poll() is not None:
                self.running.remove(worker)
                yield worker, self._records(worker, self.timeout_s if late else None)

    def stop(self) -> None:
        """Stop all workers."""
        _stop(self.running, self.patience_s)

    def _records(self, worker: _Worker, timeout_s: float | None) -> list[Record]:
        """The group's new records; cells that the worker left without one get a record that says why."""
        records = load_records(self.context.results, {cell.id for cell in worker.cells})[0]
        written = latest(record for record in records if record.stem not in worker.known)
        for cell in worker.cells:
            if cell.id not in written:
                lost = make_record(cell, worker.job, _post_mortem(worker, timeout_s))
                written[cell.id] = save_record(self.context.results, lost)
        return list(written.values())


def worker_environment(jobs: int, gpu: str | None) -> dict[str, str]:
    """The environment of one of ``jobs`` workers: its share of the cores, its GPU, and where it finds this package."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // jobs))
    return {
        **ONE_BLAS_THREAD,
        **os.environ,
        **python_path(),
        **{key: threads for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")},
        **({} if gpu is None else {VARIABLE: gpu}),
    }


def python_path() -> dict[str, str]:
    """``PYTHONPATH`` for another process of this Python, which must find this package; empty where it does so anyway.

    The package is installed (as a wheel, or by a finder that leads to a checkout), or it was found in a folder of
    ``sys.path``, directly or through a symbolic link. Only such a folder must be passed on.
    """
    package = Path(__file__).absolute().parents[2]
    given = os.environ.get("PYTHONPATH", "")
    here = {os.path.abspath(folder) for folder in sys.path}
    passed_on = {os.path.abspath(folder) for folder in given.split(os.pathsep) if folder}
    there = {*site.getsitepackages(), site.getusersitepackages(), *passed_on}
    folder = str(package.parent)
    if package.name != "paradigm_bench" or folder not in here - there:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [folder, given]))}


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started (0 where it does not say)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return 0


def _cores() -> int:
    """The cores that this process may use: on SLURM those it asked for, which nodes without cgroups do not enforce."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or os.cpu_count() or 1)


def _post_mortem(worker: _Worker, timeout_s: float | None) -> Measurement:
    """Why a worker left cells without a record."""
    code = worker.process.returncode
    if timeout_s is not None:
        return Measurement(status="timeout", reason=f"stopped after {timeout_s:g} s")
    if code == -signal.SIGKILL and oom_kills() > worker.oom_kills:
        return Measurement(status="oom", reason="the kernel killed the worker for memory")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    why = _last_line(worker.log) if code > 0 else ""
    return Measurement(status="failed", reason=f"{LOST} {how}{why}; its output is in {worker.log}")


def _last_line(log: Path) -> str:
    """The last line that a worker printed, which tells as a rule why it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return f": {lines[-1].strip()[:200]}" if lines else ""


def _stop(running: Sequence[_Worker], patience_s: float) -> None:
    """Ask the workers to end (training then saves its state), and end those that do not."""
    for worker in running:
        worker.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience_s
    for worker in running:
        try:
            worker.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
