"""Captions of generated files: a manifest (CSV or JSON lines with ``path`` and ``caption``)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ....common.errors import UserError
from ....corpora.manifest import read_manifest
from .files import ENDINGS


def read_captions(path: Path) -> dict[str, str]:
    """Name of a file (its path without the ending of an audio file) -> caption.

    Raises:
        UserError: no such file, no rows, a column missing, an empty caption, or two captions of one name.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise UserError(f"{path}: not a .csv or .jsonl file; give one with the columns path and caption")
    found: dict[str, str] = {}
    for row in read_manifest(path):
        name = PurePosixPath(row.required("path"))
        key = (name.with_suffix("") if name.suffix.lower() in ENDINGS else name).as_posix()
        if key in found:
            raise UserError(f"{row.where}: {key} has a caption already; keep one")
        found[key] = row.required("caption")
    return found
