"""Runs one part in a process of its own and stops it at its time limit."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu import INTERRUPTED, NO_GPU
from gpu.archive import ARCHIVE, pack
from gpu.journal import AGAIN, read
from paradigm_bench.common.errors import UserError

SCRIPT = Path(__file__).resolve().parent.parent / "gpu.py"
PATIENCE_S = 8.0
"""How long a part may take to stop its workers."""
PACKED_EVERY_S = 15.0
"""Time between two archives while a part runs. If the whole machine is taken away, only the last seconds are lost."""


@dataclass(frozen=True)
class RunFolders:
    """Folders of a run.

    Attributes:
        results: for the JSON file of each part and the archive.
        work: for records, checkpoints and logs.
    """

    results: Path
    work: Path


def run_parts(limits: Mapping[str, float], folders: RunFolders, dry: bool) -> int:
    """Run parts one after the other; returns the exit status.

    Args:
        limits: name of each part -> its time limit in seconds.

    Returns:
        0 if all is well, 1 if something is wrong or was stopped, ``NO_GPU`` or ``INTERRUPTED``.

    Raises:
        UserError: a folder cannot be written, or an earlier JSON file cannot be read.
    """
    check_folder("--work", folders.work)
    check_folder("--results", folders.results)
    for part in limits:
        read(folders.results / f"{part}.json")
    if dry:
        shutil.rmtree(folders.work, ignore_errors=True)  # or cells of an earlier dry run would not run again
    worst = 0
    for part, limit in limits.items():
        status = run_part(part, folders, limit, dry)
        if status in (NO_GPU, INTERRUPTED):
            return status
        worst = max(worst, status)
    return worst


def check_folder(argument: str, folder: Path) -> None:
    """Make a folder and write to it.

    Args:
        argument: name of the argument that gives the folder.

    Raises:
        UserError: that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"cannot write to the folder {folder} ({error.strerror})"
        raise UserError(f"{argument}: {reason}; choose another folder") from error


def run_part(part: str, folders: RunFolders, limit: float, dry: bool) -> int:
    """Run one part for at most ``limit`` seconds and print its summary; returns the exit status, see ``run_parts``."""
    until, status, ended = time.time() + limit, AGAIN, True
    while status == AGAIN and ended:
        status, ended = _wait(_start(part, folders, until, dry), folders, until)
    found = read(folders.results / f"{part}.json", until)
    if status == NO_GPU and not found:
        return NO_GPU
    ending = "" if ended else f"stopped at its limit of {limit:g} s"
    if status == INTERRUPTED and ended:
        ending = "interrupted"
    if not ending and not found.get("finished"):
        ending = f"ended early with exit status {status}"
    if found:
        _conclude(part, folders, found, ending)
    else:
        print(f"{part}: {ending}, before it wrote any results")
    return INTERRUPTED if ending == "interrupted" else int(bool(status or ending))


def _conclude(part: str, folders: RunFolders, found: Mapping[str, Any], ending: str) -> None:
    """Pack the archive, and print the summary of a part and how it ended."""
    left_out, lines = pack(folders.results, folders.work), found["lines"]
    if lines:
        print(f"\n{importlib.import_module(f'gpu.{part}').summary(found)}")
    if left_out:
        print(f"left out of the archive, which is full: {', '.join(left_out)}")
    if ending:
        print(f"{part}: {ending}; {len(lines)} lines are kept")
    megabytes = (folders.results / ARCHIVE).stat().st_size / 1e6
    files = f"{part}.json and {ARCHIVE} ({megabytes:.1f} MB) in {folders.results}"
    print(f"{part}: {found['seconds']} s; {files}", flush=True)


def _start(part: str, folders: RunFolders, until: float, dry: bool) -> subprocess.Popen[bytes]:
    """Start a part. Ctrl-C is blocked, here and in the part, until each can deal with it."""
    inside = ["--inside", str(until), "--results", str(folders.results), "--work", str(folders.work)]
    # A dry run uses the CPU even if there is a GPU, and one thread, because its models are too small for more.
    variables = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if dry else {}
    command = [sys.executable, str(SCRIPT), part, *inside, *["--dry"] * dry]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    return subprocess.Popen(command, env={**os.environ, **variables})


def _wait(process: subprocess.Popen[bytes], folders: RunFolders, until: float) -> tuple[int, bool]:
    """Wait for a part; returns its exit status, and False if it was stopped because time was up."""
    packed = time.time()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while process.poll() is None:
            time.sleep(0.1)
            if time.time() > until:
                return _stop(process), False
            if time.time() - packed > PACKED_EVERY_S:
                with contextlib.suppress(OSError):  # a file changed while it was read
                    pack(folders.results, folders.work)
                packed = time.time()
    except KeyboardInterrupt:
        _stop(process)
        return INTERRUPTED, True
    return process.returncode, True


def _stop(process: subprocess.Popen[bytes]) -> int:
    """End a part. Its workers end when it ends."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: do not wait
        return process.wait(PATIENCE_S)
    process.kill()
    return process.wait()
