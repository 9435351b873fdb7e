"""Hashes of file contents, remembered by path, size and time of change, so that a big folder is read once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import cache_dir, file_sha256, read_json, write_json


def file_hashes(paths: Sequence[Path], owner: Path) -> list[str]:
    """Hex SHA-256 of each file, in order.

    Args:
        owner: what the files belong to; the memory is one JSON file per owner in the cache folder.

    Raises:
        UserError: a file cannot be read.
    """
    memory_path = cache_dir("file-hashes", hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16] + ".json")
    memory = _recall(memory_path)
    stamps = {path: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
    known = dict(memory)
    for path, stamp in stamps.items():
        entry = memory.get(str(path.resolve()), [])
        known[str(path.resolve())] = entry if entry[:2] == stamp else [*stamp, file_sha256(path)]
    if known != memory:
        _remember(memory_path, known)
    return [known[str(path.resolve())][2] for path in paths]


def _recall(path: Path) -> dict[str, list[Any]]:
    try:
        return dict(read_json(path))
    except (UserError, TypeError, ValueError):
        return {}  # none yet, or damaged: a memory can always be made again


def _remember(path: Path, known: dict[str, list[Any]]) -> None:
    with contextlib.suppress(UserError):  # a read-only home costs time, not results
        write_json(path, known)
