"""The state of array elements according to the scheduler, and how to cancel them.

submitit's ``result()`` waits for ever for an element that was cancelled before it started, because such an element
leaves no trace in ``squeue``, ``sacct`` or ``scontrol``. Here ``squeue`` tells what is queued or running, ``sacct``
why something ended, and an element that neither lists is over. Without accounting, or long after the end, the reason is
missing, but the state is right.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import Literal

from ..common.errors import UserError
from .manifest import Submission

# States of `man squeue` in which an element is over; all others, such as COMPLETING or REQUEUED, are open.
FAILED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
CLOSED = frozenset(("COMPLETED", "REVOKED", *FAILED))
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUE_FED"})
HELD = "launch failed requeued held"  # squeue's reason: the job waits until somebody releases it
ANSWER_S = 60.0  # seconds that the scheduler may take to answer


@dataclass(frozen=True)
class ElementState:
    """State of an array element, the scheduler's code for it, and the reason."""

    state: Literal["queued", "running", "over"]
    code: str = ""
    reason: str = ""


GONE = ElementState("over", "", "it left the queue without starting, or too long ago for the scheduler to know")


def element_states(submission: Submission) -> list[ElementState]:
    """The state of every element.

    Raises:
        UserError: the scheduler does not answer.
    """
    count = len(submission.manifest.elements)
    if submission.manifest.cluster == "debug":
        return [ElementState("over", "", "it ran with the command that submitted it, which ended")] * count
    if submission.manifest.cluster == "local":
        alive = bool(_processes(submission))
        return [ElementState("running") if alive else ElementState("over", "", "its process is gone")] * count
    known = {**_accounted(submission), **_queue(submission)}
    return [known.get(index, GONE) for index in range(count)]


def cancel(submission: Submission) -> None:
    """End everything of a submission that is queued or running; trainings save a checkpoint first."""
    if submission.manifest.cluster == "local":
        for pid in _processes(submission):
            os.kill(pid, signal.SIGINT)
    elif submission.manifest.cluster == "slurm":
        _ask(["scancel", *(part for part in _selected(submission) if part != "-j")])  # scancel takes ids bare


def drop_held(submission: Submission) -> None:
    """Cancel the elements that a node failed to launch, so that they never run beside their replacements."""
    if submission.manifest.cluster == "slurm":
        held = [job for job, state, reason in _rows(submission) if (state, reason) == ("PENDING", HELD)]
        if held:
            _ask(["scancel", *held])


def _queue(submission: Submission) -> dict[int, ElementState]:
    """Elements in the queue: open ones, and for some minutes those that are over."""
    rows = _rows(submission)
    return {_index(job): _element_state(state, "" if reason == "None" else reason) for job, state, reason in rows}


def _rows(submission: Submission) -> list[list[str]]:
    """Job id, state and reason of each element, as ``squeue`` prints them."""
    found = _ask(["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", *_selected(submission)])
    return [line.split("|") for line in found.splitlines() if line.count("|") == 2]


def _accounted(submission: Submission) -> dict[int, ElementState]:
    """Elements that the accounting knows, if there is one; ranges of elements that never started are left out."""
    if not submission.manifest.job_id:
        return {}
    command = ["sacct", "-n", "-X", "-P", "-j", submission.manifest.job_id, "-o", "JobID,State,ExitCode"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    over = [(job, state, code) for job, state, code in rows if re.fullmatch(r"\d+(_\d+)?", job)]
    named = [(job, _element_state(state, f"exit status {code}")) for job, state, code in over]
    # Accounting lags behind: what it calls open and squeue does not know is over.
    return {_index(job): element if element.state == "over" else GONE for job, element in named}


def _element_state(state: str, reason: str) -> ElementState:
    """A state and its reason, as ``squeue`` or ``sacct`` print them."""
    code = state.split()[0].rstrip("+")  # "CANCELLED by 0", "CANCELLED+"
    if code in CLOSED or reason == HELD:
        return ElementState("over", code, reason)
    return ElementState("queued" if code in WAITING else "running", code, reason)


def _index(job: str) -> int:
    return int(job.partition("_")[2] or 0)


def _selected(submission: Submission) -> list[str]:
    """Options that select the array: by its id, or by its name if submitting ended before the id was known."""
    job_id = submission.manifest.job_id
    return ["-j", job_id] if job_id else ["--name", submission.name]


def _ask(command: list[str]) -> str:
    """What a command of Slurm prints; nothing for jobs that it no longer knows."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]} not found: this study was submitted to SLURM; run this on its login node"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{command[0]} does not answer: SLURM's controller is down; try again later") from error
    if done.returncode and "Invalid job id" not in done.stderr:
        told = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise UserError(f"{command[0]} does not answer ({told}); try again when SLURM's controller is up")
    return done.stdout


def _processes(submission: Submission) -> list[int]:
    """Ids of the processes of a local submission, whose command lines contain its folder or manifest."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if str(submission.folder.resolve()) in line]
