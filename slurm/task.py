"""The work of one array element: the runner, on the element's cells, in a process of its own.

    submitit's process     takes the cluster's signals; starts the runner and outlives it
      the runner           ``python -m paradigm_bench.slurm.task MANIFEST INDEX``: benchmarks.run.runner.run with its post mortems
        the worker         ``python -m paradigm_bench.benchmarks.run.worker``: one group of cells

When the cluster signals (USR2) that time is up or that the job is preempted, submitit calls ``checkpoint``: the runner
stops its worker, whose training saves its state, and the element is queued again. It then starts from the same
manifest: measured cells are skipped, training resumes from its checkpoint, and an unfinished measurement starts again.
The same happens when the element is requeued from outside. The cluster signals every process of an element, so each of
them must handle or ignore the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ..benchmarks.analysis.records import load_records, save_record
from ..benchmarks.run.runner import plan, run
from ..benchmarks.run.worker import Job, make_record
from ..benchmarks.study.axis import AXES, Context, Measurement
from ..benchmarks.study.cells import Cell
from ..common.errors import UserError
from ..common.files import locked, write_text
from .manifest import Manifest, Submission, read

STOPPED = 130  # the runner's exit status after it was told to stop
GRACE_S = 120.0  # an element that was told to stop is killed within this time, as far as clusters are configured


class Element:
    """One array element, as submitit's ``Checkpointable``: called to work, asked for a checkpoint to be queued again.

    Args:
        manifest: path of the submission's manifest.
        index: of the element.
    """

    def __init__(self, manifest: str, index: int) -> None:
        self.manifest, self.index = manifest, index
        self._runner: subprocess.Popen[bytes] | None = None

    def __call__(self) -> str:
        """Run the cells to their records; returns a few words for submitit's log."""
        from submitit.core.utils import UncompletedJobError

        try:
            code = self._run()
            if code == STOPPED:
                time.sleep(GRACE_S)  # to be killed, or asked for a checkpoint by the signal that may still come
        except UncompletedJobError:  # raised in here by submitit's signal handler: stopped for the last time
            self._bury("timeout", f"stopped by the time limit of {self._manifest.site.time} min too many times")
            raise
        if code == STOPPED:
            raise RuntimeError("told to stop, but neither killed nor queued again")
        if code:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            self._bury("failed", f"the element's runner {how}; its output is in {self._submission.log(self.index)}")
        return f"ended with {code}"

    def checkpoint(self) -> Any:
        """Stop the worker and let its training save; returns what is queued again."""
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
        self._runner = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_deafen)
        try:
            while not _ended(self._runner.pid):
                time.sleep(0.1)
        except KeyboardInterrupt:
            self._stop(self._manifest.site.notice_s)
            raise
        return self._runner.wait()

    def _stop(self, patience_s: float) -> None:
        """Ask the runner to end, and end it if it does not; called from signal handlers, so Popen is left alone."""
        if self._runner is None or _ended(self._runner.pid):
            return
        os.kill(self._runner.pid, signal.SIGINT)
        deadline = time.monotonic() + patience_s
        while not _ended(self._runner.pid):
            if time.monotonic() > deadline:
                os.kill(self._runner.pid, signal.SIGKILL)
            time.sleep(0.05)

    def _bury(self, status: Any, reason: str) -> None:
        """Leave a record for every cell that this submission left without one."""
        manifest = self._manifest
        bury(manifest, manifest.cells_of(self.index), Measurement(status=status, reason=reason))


def bury(manifest: Manifest, cells: Sequence[Cell], end: Measurement) -> None:
    """Record ``end`` for those of ``cells`` that have no record since the submission."""
    results = Path(manifest.results)
    ids = {cell.id for cell in cells}
    written = {r.id for r in load_records(results, ids)[0] if r.attempt > manifest.attempts.get(r.id, 0)}
    for cell in plan(cells, results).pending:
        if cell.id not in written:
            job = Job(manifest.axis, manifest.study, manifest.results, manifest.work, manifest.command, "", 0, (cell,))
            save_record(results, make_record(cell, job, end))


def main(manifest_path: str, index: int) -> int:
    """The runner's process: measure the cells of element ``index``; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    _stop_without(os.getppid())
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
        bury(manifest, cells, Measurement(status="failed", reason=str(error)))
    return 0


def _prepare(submission: Submission, context: Context) -> None:
    """Make what the elements share: by the first of them on each machine, for all; the others wait for it."""
    done = submission.folder / f"prepared-{socket.gethostname()}"
    with locked(submission.folder / "prepare.lock"):
        if not done.exists():
            todo = plan(submission.manifest.cells, context.results).pending
            if todo:
                AXES.load(submission.manifest.axis)().prepare(todo, context)
            write_text(done, "")


def _deafen() -> None:
    """USR2 is for submitit's process alone; children keep a signal that is ignored ignored."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """The first signal stops the run in order; those that follow it must not disturb the stopping."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop_without(parent: int) -> None:
    """Stop in order when the parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def _ended(pid: int) -> bool:
    """Whether a child is over; looks without reaping it, so that a signal handler may look too."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
