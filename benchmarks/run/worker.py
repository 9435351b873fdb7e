"""One group of cells in a process of its own: ``python -m paradigm_bench.benchmarks.run.worker JOB.json``.

A group has its own process so that a crash, a leak or a kill touches nothing else, and so that threads can be shared
out. Whatever happens to a cell ends as a record, as long as the process lives; when it dies, the runner writes it.
"""

from __future__ import annotations

import datetime
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...common.config import from_dict
from ...common.environment import environment
from ...common.errors import UserError
from ...common.files import read_json, write_json, write_text
from ...common.lines import count
from ..analysis.records import Record, save_record
from ..study.axis import Context, Group, Measurement, Status, UnsupportedError, find_axis
from ..study.cells import Cell, CellConfig

# Errors for lack of memory that have no class of their own: of the CPU allocator, the CUDA driver, the CUDA libraries.
MEMORY_ERRORS = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Job:
    """The instructions of a worker, which it reads from a JSON file.

    Attributes:
        axis, study, command: for the records.
        results, work: folders, as in ``Context``.
        status: file for the progress.
        parent: process id of the runner; the worker ends when the runner has ended.
        cells: one group.
    """

    axis: str
    study: str
    results: str
    work: str
    command: str
    status: str
    parent: int
    cells: tuple[Cell, ...]


def main(path: str) -> int:
    """Run the job described at ``path``; returns the exit status."""
    # A cluster that ends a job tells all of its processes; here the runner decides, and stops its workers by SIGINT.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job = from_dict(Job, read_json(path), path)
    when_orphaned(job.parent, lambda: os._exit(1))
    context = Context(job.study, Path(job.results), Path(job.work), _Reporter(Path(job.status)))
    try:
        group = _open(job, context)
        for index, cell in enumerate(job.cells):
            context.report(index / len(job.cells), f"measuring {cell.title}")
            if isinstance(group, Exception):
                measured = _failure(cell, context, group, opened=False)
            else:
                try:
                    measured = group.measure(cell)
                except Exception as error:  # whatever it is, the cell gets a record that names it
                    measured = _failure(cell, context, error, opened=True)
            save_record(context.results, make_record(cell, job, measured), measured.items)
    except KeyboardInterrupt:
        return 130
    except UserError as error:  # a record cannot be written
        print(error, file=sys.stderr)
        return 2
    return 0


def make_record(cell: Cell, job: Job, measured: Measurement) -> Record:
    """The record of ``measured``, without an attempt number yet."""
    return Record(
        id=cell.id,
        study=job.study,
        axis=cell.axis,
        system=cell.system,
        kind=cell.kind,
        seed=cell.seed,
        at_updates=cell.at_updates,
        status=measured.status,
        reason=measured.reason,
        cell=cell.config,
        metrics=measured.metrics,
        training=measured.training,
        timing=measured.timing,
        artefacts=measured.artefacts,
        environment={**environment(), **measured.environment},
        command=job.command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        how=cell.preparation,
    )


def _open(job: Job, context: Context) -> Group | Exception:
    """The opened group, or the error that opening it raised: every cell of the group gets a record that names it."""
    try:
        return find_axis(job.axis).open(job.cells, context)
    except Exception as error:
        return error


def _failure(cell: Cell, context: Context, error: Exception, opened: bool) -> Measurement:
    """What the record of a cell says that ended with ``error``, after its group had been ``opened`` or before."""
    status = _status(error)
    told = isinstance(error, (UserError, UnsupportedError))
    reason = str(error) if told else f"{type(error).__name__}: {error}"
    if status == "oom" and not told:
        reason = _out_of_memory(cell, error, opened) or reason
    artefacts = {}
    if status == "failed" and not told:
        name = f"logs/{cell.id}-{datetime.datetime.now():%Y%m%d-%H%M%S}.txt"
        write_text(context.results / name, "".join(traceback.format_exception(error)))
        artefacts["traceback"] = name
    return Measurement(status=status, reason=" ".join(reason.split())[:500], artefacts=artefacts)


def _status(error: Exception) -> Status:
    if isinstance(error, UnsupportedError):
        return "unsupported"
    return "oom" if is_out_of_memory(error) else "failed"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an operation failed for lack of memory, of the CPU or of a GPU."""
    # torch's own error is known by name, so that a worker without torch need not load it.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(phrase in str(error) for phrase in MEMORY_ERRORS)


def _out_of_memory(cell: Cell, error: Exception, opened: bool) -> str:
    """What ran out of memory, what to change, and the allocator's message; empty for a system that is not trained.

    A group trains its system while it opens, and samples from it in every measurement.
    """
    train, batch = cell.read(CellConfig).train, cell.how.get("batch")
    if train is None:
        return ""
    if not opened:
        parts = "1 micro-batch" if train.accumulate == 1 else f"{train.accumulate} micro-batches"
        doing, load = "training", f"batch {train.batch} x {train.seconds:g} s, {parts}"
        change = "raise train.accumulate" + ("" if train.recompute else " or set train.recompute=true")
    elif batch:
        doing, load, change = "sampling", f"{count(batch, 'clip')} at a time", "lower evaluation.batch"
    else:
        return ""
    memory = "GPU memory" if type(error).__name__ == "OutOfMemoryError" or "CUDA" in str(error) else "memory"
    said = re.split(r"(?<=\.)\s+", str(error))[:3]  # torch's first sentences have the sizes, the others advise
    return f"{doing} {cell.system} ran out of {memory} ({load}): {change}; {' '.join(said) or type(error).__name__}"


class _Reporter:
    """Writes the group's progress to a file that the runner reads, at most twice a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def __call__(self, done: float, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= 0.5:
            self._last = now
            write_json(self._path, {"done": round(done, 4), "text": text})


def when_orphaned(parent: int, act: Callable[[], None]) -> None:
    """Call ``act``, from a thread, when the process ``parent`` has ended, in whatever way."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        act()

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
