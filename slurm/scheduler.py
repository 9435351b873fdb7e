"""The state of an array's elements, and how to cancel them.

submitit's ``result()`` waits for ever for an element that was cancelled before it started, because such an element
leaves no trace in ``squeue``, ``sacct`` or ``scontrol``. So ``squeue`` is asked what is open, ``sacct`` why
something ended, and an element that neither lists is over. Without accounting, or long after the end, the reason
is missing, but the state is right.
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
HELD = "launch failed requeued held"  # squeue's reason: waits until somebody releases it, which nobody will
ANSWER_S = 60.0


@dataclass(frozen=True)
class Fate:
    """Where an element is: its state, the scheduler's word for it, and its reason."""

    state: Literal["queued", "running", "over"]
    word: str = ""
    reason: str = ""


GONE = Fate("over", "", "it left the queue without starting, or too long ago for the scheduler to know")


def fates(submission: Submission) -> list[Fate]:
    """The state of every element.

    Raises:
        UserError: the scheduler does not answer.
    """
    count = len(submission.manifest.elements)
    if submission.manifest.cluster == "debug":
        return [Fate("over", "", "it ran with the command that submitted it, which ended")] * count
    if submission.manifest.cluster == "local":
        alive = bool(_processes(submission))
        return [Fate("running") if alive else Fate("over", "", "its process is gone")] * count
    known = {**_accounted(submission), **_queue(submission)}
    return [known.get(index, GONE) for index in range(count)]


def cancel(submission: Submission) -> None:
    """End everything of a submission that is queued or running; training is told to save first."""
    if submission.manifest.cluster == "local":
        for pid in _processes(submission):
            os.kill(pid, signal.SIGINT)
    elif submission.manifest.cluster == "slurm":
        _ask(["scancel", *_selected(submission)])


def drop_held(submission: Submission) -> None:
    """Take out of the queue what a node failed to launch, so that it never runs beside its replacement."""
    if submission.manifest.cluster == "slurm":
        held = [job for job, state, reason in _rows(submission) if (state, reason) == ("PENDING", HELD)]
        if held:
            _ask(["scancel", *held])


def _queue(submission: Submission) -> dict[int, Fate]:
    """Elements that the scheduler still holds: open ones, and for some minutes those that are over."""
    return {_index(job): _fate(state, "" if reason == "None" else reason) for job, state, reason in _rows(submission)}


def _rows(submission: Submission) -> list[list[str]]:
    """The queue's own words for each element: job id, state, reason."""
    found = _ask(["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", *_selected(submission)])
    return [line.split("|") for line in found.splitlines() if line.count("|") == 2]


def _accounted(submission: Submission) -> dict[int, Fate]:
    """Elements that accounting knows, where there is any; ranges of elements that never started are left out."""
    if not submission.manifest.job_id:
        return {}
    command = ["sacct", "-n", "-X", "-P", "-j", submission.manifest.job_id, "-o", "JobID,State,ExitCode"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    over = [(job, state, code) for job, state, code in rows if re.fullmatch(r"\d+(_\d+)?", job)]
    named = [(job, _fate(state, f"exit status {code}")) for job, state, code in over]
    # Accounting lags behind: what it calls open and squeue does not know is over.
    return {_index(job): fate if fate.state == "over" else GONE for job, fate in named}


def _fate(state: str, reason: str) -> Fate:
    word = state.split()[0].rstrip("+")  # "CANCELLED by 0", "CANCELLED+"
    if word in CLOSED or reason == HELD:
        return Fate("over", word, reason)
    return Fate("queued" if word in WAITING else "running", word, reason)


def _index(job: str) -> int:
    return int(job.partition("_")[2] or 0)


def _selected(submission: Submission) -> list[str]:
    """The array by its id; by its name where the submission was cut off before the id was written."""
    job_id = submission.manifest.job_id
    return ["-j", job_id] if job_id else ["--name", submission.name]


def _ask(command: list[str]) -> str:
    if command[0] == "scancel" and "-j" in command:
        command = [part for part in command if part != "-j"]  # scancel takes ids bare
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
    """Processes of a local submission: its folder or manifest is in their command lines."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if str(submission.folder.resolve()) in line]
