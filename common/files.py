"""Whole files or none: atomic writes, and where the caches live."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync and rename it, on any error (Ctrl-C too) remove it.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part" + target.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {target}: {reason}; free space or choose another folder") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, data: Any) -> None:
    """Write ``data`` as indented JSON atomically; NaN and infinity are refused, since JSON has none."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write ``tensors`` as safetensors atomically.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}  # views may share memory
    try:
        with atomic_path(path) as temporary:
            save_file(own, temporary, metadata)
    except SafetensorError as error:  # it reports a full disk in its own way
        raise UserError(f"cannot write {path}: {error}; free space or choose another folder") from error


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"cannot read {path} as JSON: {error}; delete it to make it anew") from error


def cache_dir(*parts: str) -> Path:
    """A folder for what can be made again: ``$PARADIGM_BENCH_CACHE`` or ``~/.cache/paradigm-bench``, then ``parts``."""
    root = os.environ.get("PARADIGM_BENCH_CACHE") or Path.home() / ".cache" / "paradigm-bench"
    return Path(root).joinpath(*parts)
