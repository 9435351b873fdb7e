"""The work of one array element: the runner measures the element's cells, in a process of its own.

    submitit's process   receives the cluster's signals; starts the runner and outlives it
      the runner         ``python -m paradigm_bench.slurm.task MANIFEST INDEX`` calls ``benchmarks.run.runner.run``
        the worker       ``python -m paradigm_bench.benchmarks.run.worker`` measures one group of cells

When the cluster signals (USR2) that time is up or that the job is preempted, submitit calls ``checkpoint``: the runner
stops its worker, whose training saves its state, and the element is queued again. It then starts from the same
manifest: measured cells are skipped, training resumes from its checkpoint, and an unfinished measurement starts again.
The same happens if somebody requeues the element. The cluster signals every process of an element, so each of them must
handle or ignore the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ..benchmarks.analysis.records import load_records, save_record
from ..benchmarks.run.runner import plan, python_path, run
from ..benchmarks.run.worker import Job, make_record, when_orphaned
from ..benchmarks.study.axis import Context, Measurement, Status, find_axis
from ..benchmarks.study.cells import Cell
from ..common.errors import UserError
from ..common.files import write_text
from ..common.locks import locked
from .manifest import Manifest, Submission, read

STOPPED = 130  # the runner's exit status after it was told to stop
GRACE_S = 120.0  # seconds within which clusters kill an element that was told to stop


class Element:
    """One array element, with the interface of submitit's ``Checkpointable``.

    Args:
        manifest: path of the submission's manifest.
        index: of the element.
    """

    def __init__(self, manifest: str, index: int) -> None:
        self.manifest, self.index = manifest, index
        self._runner: subprocess.Popen[bytes] | None = None

    def __call__(self) -> str:
        """Measure the cells; returns a line for submitit's log."""
        from submitit.core.utils import UncompletedJobError

        try:
            code = self._run()
            if code == STOPPED:
                time.sleep(GRACE_S)  # until it is killed, or until the signal asks for a checkpoint
        except UncompletedJobError:  # submitit's signal handler raises it here when the element is not queued again
            self._record_end("timeout", f"stopped by the time limit of {self._manifest.site.time} min too many times")
            raise
        if code == STOPPED:
            raise RuntimeError("told to stop, but neither killed nor queued again")
        if code:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            log = self._submission.log(self.index)
            self._record_end("failed", f"the element's runner {how}; its output is in {log}")
        return f"ended with {code}"

    def checkpoint(self) -> Any:
        """Stop the worker, whose training saves its state; returns what is queued again."""
        from submitit.helpers import DelayedSubmission

        self._stop(self._manifest.site.notice_s)
        return DelayedSubmission(Element(self.manifest, self.index))

    @property
    def _submission(self) -> Submission:
        return read(Path(self.manifest))

    @property
    def _manifest(self) -> Manifest:
        return self._submission.manifest

    def _run(self) -> int:
        command = [sys.executable, "-m", "paradigm_bench.slurm.task", self.manifest, str(self.index)]
        self._runner = subprocess.Popen(
            command, env={**os.environ, **python_path()}, stdin=subprocess.DEVNULL, preexec_fn=_ignore_signal
        )
        try:
            while not _ended(self._runner.pid):
                time.sleep(0.1)
        except KeyboardInterrupt:
            self._stop(self._manifest.site.notice_s)
            raise
        return self._runner.wait()

    def _stop(self, patience_s: float) -> None:
        """Ask the runner to end, and kill it if it does not. Signal handlers call this, so ``Popen`` is not used."""
        if self._runner is None or _ended(self._runner.pid):
            return
        os.kill(self._runner.pid, signal.SIGINT)
        deadline = time.monotonic() + patience_s
        while not _ended(self._runner.pid):
            if time.monotonic() > deadline:
                os.kill(self._runner.pid, signal.SIGKILL)
            time.sleep(0.05)

    def _record_end(self, status: Status, reason: str) -> None:
        """Write a record for every cell that this submission left without one."""
        manifest = self._manifest
        record_end(manifest, manifest.cells_of(self.index), Measurement(status=status, reason=reason))


def record_end(manifest: Manifest, cells: Sequence[Cell], end: Measurement) -> None:
    """Write a record of ``end`` for those of ``cells`` that have none since the submission."""
    results = Path(manifest.results)
    ids = {cell.id for cell in cells}
    written = {r.id for r in load_records(results, ids)[0] if r.attempt > manifest.attempts.get(r.id, 0)}
    for cell in plan(cells, results).pending:
        if cell.id not in written:
            job = Job(manifest.axis, manifest.study, manifest.results, manifest.work, manifest.command, "", 0, (cell,))
            save_record(results, make_record(cell, job, end))


def main(manifest_path: str, index: int) -> int:
    """The process of the runner: measure the cells of element ``index``; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    when_orphaned(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGINT))  # stops the run in order
    submission = read(Path(manifest_path))
    manifest = submission.manifest
    cells = manifest.cells_of(index)
    context = Context(manifest.study, Path(manifest.results), Path(manifest.work))
    try:
        _prepare(submission, context)
        run(
            cells, manifest.axis, context, jobs=manifest.jobs, command=manifest.command, timeout_s=manifest.timeout_s,
            prepare=False, patience_s=max(10.0, 0.8 * manifest.site.notice_s),
        )  # fmt: skip
    except KeyboardInterrupt:
        return STOPPED
    except UserError as error:
        record_end(manifest, cells, Measurement(status="failed", reason=str(error)))
    return 0


def _prepare(submission: Submission, context: Context) -> None:
    """Make what the elements share. The first element on each machine does it, and the others wait for it."""
    done = submission.folder / f"prepared-{socket.gethostname()}"
    with locked(submission.folder / "prepare.lock"):
        if not done.exists():
            todo = plan(submission.manifest.cells, context.results).pending
            if todo:
                find_axis(submission.manifest.axis).prepare(todo, context)
            write_text(done, "")


def _ignore_signal() -> None:
    """Ignore USR2, which only submitit's process handles; child processes inherit this."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """Stop the run in order at the first signal, and ignore those that follow."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _ended(pid: int) -> bool:
    """Whether a child process has ended. It is not reaped, so that a signal handler may ask too."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
