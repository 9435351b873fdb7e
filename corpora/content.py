"""Hashes of file contents, cached by path, size and modification time, so that a large folder is read once."""

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
        owner: what the files belong to, e.g. a manifest; there is one JSON file per owner in the cache folder.

    Raises:
        UserError: a file cannot be read.
    """
    cache_path = cache_dir("file-hashes", hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16] + ".json")
    cached = _read_cache(cache_path)
    stamps = {path: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
    known = dict(cached)
    for path, stamp in stamps.items():
        entry = cached.get(str(path.resolve()), [])
        known[str(path.resolve())] = entry if entry[:2] == stamp else [*stamp, file_sha256(path)]
    if known != cached:
        _write_cache(cache_path, known)
    return [known[str(path.resolve())][2] for path in paths]


def _read_cache(path: Path) -> dict[str, list[Any]]:
    try:
        return dict(read_json(path))
    except (UserError, TypeError, ValueError):
        return {}  # missing or damaged: the cache can always be rebuilt


def _write_cache(path: Path, known: dict[str, list[Any]]) -> None:
    with contextlib.suppress(UserError):  # a read-only cache folder costs time, not results
        write_json(path, known)
