"""Whole files or none: atomic writes, and where the caches live."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


# What a file system without hard links answers to a request for one.
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync and rename it, on any error (Ctrl-C too) remove it.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    with _temporary(target) as temporary:
        yield temporary
        _settle(temporary)
        os.replace(temporary, target)
        _sync_folder(target.parent)


def write_new(path: Path | str, text: str) -> bool:
    """Write ``text`` to ``path`` atomically, unless the name is taken: then nothing is changed, and False returned.

    Of many writers on a shared folder that want the same name, exactly one gets it.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing half-written stays.
    """
    target = Path(path)
    with _temporary(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
        _settle(temporary)
        new = _name_unless_taken(temporary, target)
        _sync_folder(target.parent)
    return new


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder; on success flush all that is in it and rename it to ``path``, replacing what is there.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing half-written stays.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
            yield temporary
            for inside in temporary.rglob("*"):
                _sync_folder(inside) if inside.is_dir() else _settle(inside)
            _sync_folder(temporary)
            temporary.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
            _sync_folder(target.parent)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file to fill, beside ``target``, deleted at the end unless renamed; a system error becomes one line."""
    temporary: Path | None = None
    try:
        with _told(target):
            temporary = _made_beside(target)
            yield temporary
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _made_beside(target: Path) -> Path:
    """A new file in the folder of ``target``; made anew if another process deletes the empty folder meanwhile."""
    for last in (False, False, True):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=f".{target.name}.", suffix=".part" + target.suffix
            )
        except FileNotFoundError:
            if last:
                raise
            continue
        os.close(handle)
        return Path(name)
    raise AssertionError("unreachable: the last try returns or raises")


@contextlib.contextmanager
def _told(target: Path) -> Iterator[None]:
    """Say in one line why ``target`` cannot be written.

    safetensors reports a full disk by an error of its own, known here by its name so that it need not be loaded.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {target}: {reason}; free space or choose another folder") from error


def _settle(temporary: Path) -> None:
    """Have the content on the disk before the name is: after a power cut, a file that is there is whole."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    temporary.chmod(0o644)


def _sync_folder(folder: Path) -> None:
    """Have the name on the disk too, on systems that let a folder be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _name_unless_taken(temporary: Path, target: Path) -> bool:
    """Give a finished file its name; a hard link, unlike a rename, never overwrites."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        try:
            return os.path.samefile(temporary, target)  # NFS may link twice, when the answer to the first is lost
        except FileNotFoundError:  # whoever had the name has deleted the file since
            return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _rename_unless_taken(temporary, target)
    return True


def _rename_unless_taken(temporary: Path, target: Path) -> bool:
    """The same where there are no hard links: whoever makes the claim file first has the name.

    The claim stays, so that a writer whose view of a shared folder is old cannot take the name again.
    """
    try:
        os.close(os.open(target.with_name(f".{target.name}.claim"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    if target.exists():
        return False
    os.replace(temporary, target)
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, data: Any) -> None:
    """Write ``data`` as indented JSON atomically; NaN and infinity are refused, since JSON has none."""
    write_text(path, json_text(data))


def json_text(data: Any) -> str:
    """``data`` as indented JSON, the way all files here are written."""
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error


def check_writable(folder: Path) -> None:
    """Find out before the work, and not after it, that its result cannot be kept.

    Raises:
        UserError: the folder cannot be made or written.
    """
    probe = folder / f".probe-{os.getpid()}"
    write_text(probe, "")
    probe.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for whoever holds it; the end of a process frees what it held.

    Raises:
        UserError: the file cannot be made.
    """
    import fcntl

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
    """Hold ``folder`` for this process, and refuse at once where another process on any machine holds it.

    The lock is the file ``.lock`` in it, which names the process and is deleted at the end. A folder that cannot be
    written, or whose file system has no locks, is not held.

    Args:
        command: what this process does, to be named to others.

    Raises:
        UserError: another process holds it.
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
            (folder / ".lock").unlink(missing_ok=True)  # while it is held, so that nobody waits for a file that is gone


def _lock_file(folder: Path) -> TextIO | None:
    import fcntl

    path = folder / ".lock"
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed by the caller)
        except OSError:
            return None  # the first record that is written says why
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
        except FileNotFoundError:  # its holder ended, and took the file along, after we had opened it
            pass
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            return None
        file.close()


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write ``tensors`` as safetensors atomically.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save_file

    own = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}  # views may share memory
    with atomic_path(path) as temporary:
        save_file(own, temporary, metadata)


def read_json(path: Path | str, remade: bool = False) -> Any:
    """Read a JSON file.

    Args:
        remade: the file is a cache's, so the message may advise to delete it; any other file may be the only copy.

    Raises:
        UserError: the file is missing, cannot be read, or is not valid JSON.
    """
    mend = "delete it, and it is made again" if remade else "restore it from a copy, or move it elsewhere"
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(no_file(path)) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    except ValueError as error:
        raise UserError(f"cannot read {path} as JSON: {error}; {mend}") from error


def no_file(path: Path | str) -> str:
    """The message for ``path`` where a file is expected and there is none."""
    return f"{path} is a folder, not a file" if Path(path).is_dir() else f"no such file: {path}"


def no_folder(path: Path | str) -> str:
    """The message for ``path`` where a folder is expected and there is none."""
    return f"{path} is a file, not a folder" if Path(path).exists() else f"no such folder: {path}"


def cache_dir(*parts: str) -> Path:
    """A folder for what can be made again: ``$PARADIGM_BENCH_CACHE`` or ``~/.cache/paradigm-bench``, then ``parts``."""
    root = os.environ.get("PARADIGM_BENCH_CACHE") or Path.home() / ".cache" / "paradigm-bench"
    return Path(root).joinpath(*parts)
