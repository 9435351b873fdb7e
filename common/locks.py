"""Locks on files and folders, which the end of a process always frees."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .errors import UserError


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on the file ``path``; waits while another process holds it.

    Raises:
        UserError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def held_alone(folder: Path, command: str) -> Iterator[None]:
    """Lock ``folder`` for this process, or fail at once if another process on any machine has locked it.

    The lock is the file ``.lock`` in the folder, which names the process and is deleted at the end. A folder that
    cannot be written, or whose file system has no locks, is not locked.

    Args:
        command: what this process does, for the message that another process shows.

    Raises:
        UserError: another process has locked it.
    """
    file = _lock_file(folder)
    if file is None:
        yield
        return
    with file:
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} ({command})")
            file.flush()
            yield
        finally:
            # Deleted before it is freed, so that no process waits for a deleted file.
            (folder / ".lock").unlink(missing_ok=True)


def _lock_file(folder: Path) -> TextIO | None:
    """The open, locked file ``.lock`` of ``folder``; None where it cannot be written or locked."""
    path = folder / ".lock"
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed by the caller)
        except OSError:
            return None  # writing the first record then fails, with the reason
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise UserError(
                f"{folder} is in use by {holder}; wait until it has ended, or use another results folder"
            ) from error
        except FileNotFoundError:  # the process that held it ended and deleted it, after it was opened here
            pass
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            return None
        file.close()
