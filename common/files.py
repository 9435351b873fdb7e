"""Files that are written completely or not at all, reading them with clear errors, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""Errors of a file system that has no hard links."""


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; renamed to ``path`` on success, removed on any error (Ctrl-C too).

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
    """Write ``text`` to ``path`` atomically, unless ``path`` exists; returns whether it was written.

    Of several processes that write the same path on a shared folder, exactly one succeeds.

    Raises:
        UserError: the folder cannot be written or the disk is full; no partial file is left.
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
    """Yield a temporary folder; on success flush its files to disk and rename it to ``path``, replacing a folder there.

    Raises:
        UserError: the folder cannot be written or the disk is full; no partial folder is left.
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
    """An empty file beside ``target``, deleted at the end unless renamed; system errors become ``UserError``."""
    temporary: Path | None = None
    try:
        with _told(target):
            temporary = _made_beside(target)
            yield temporary
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _made_beside(target: Path) -> Path:
    """A new file in the folder of ``target``; tried again if another process deletes the empty folder meanwhile."""
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
    """Turn an error while ``target`` is written into a ``UserError`` of one line.

    safetensors reports a full disk by its own class of errors, recognised by name so that it need not be imported.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {target}: {reason}; free space or choose another folder") from error


def _settle(temporary: Path) -> None:
    """Flush the content to disk before the file is renamed, so that it is complete even after a power cut."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    temporary.chmod(0o644)


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, on systems that allow it."""
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
    """Name a complete file ``target`` unless that exists; a hard link, unlike a rename, never overwrites."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        try:
            return os.path.samefile(temporary, target)  # NFS may link twice, if the reply to the first is lost
        except FileNotFoundError:  # the other process has deleted its file since
            return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _rename_unless_taken(temporary, target)
    return True


def _rename_unless_taken(temporary: Path, target: Path) -> bool:
    """The same on file systems without hard links: the process that first creates a claim file gets the name.

    The claim file stays, so that a process with an outdated view of a shared folder cannot take the name again.
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
    """``data`` as indented JSON, in the form of all files of this project."""
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
        remade: the file belongs to a cache, so the message advises to delete it; other files may be the only copy.

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
    """A folder of the cache: ``$PARADIGM_BENCH_CACHE`` or ``~/.cache/paradigm-bench``, then ``parts``."""
    root = os.environ.get("PARADIGM_BENCH_CACHE") or Path.home() / ".cache" / "paradigm-bench"
    return Path(root).joinpath(*parts)
