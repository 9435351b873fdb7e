"""Everything worth bringing back in one file: records, raw samples and scores, logs, learning curves and some audio."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

ARCHIVE = "results.tar.gz"
MOST = 14 << 20
"""Most bytes before compression. The archive then stays below 16 MiB."""


def pack(results: Path, work: Path) -> list[str]:
    """Write the archive in ``results`` anew; returns the names of files that are left out because it is full.

    In the archive, records and audio are in ``results/<study>``, where ``bench report`` expects them, and logs in
    ``logs``.
    """
    left, left_out = MOST, []
    results.mkdir(parents=True, exist_ok=True)
    temporary = results / f".{ARCHIVE}.part"
    with tarfile.open(temporary, "w:gz") as archive:
        for path, name in members(results, work):
            size = path.stat().st_size
            if size > left:
                left_out.append(name)
                continue
            left -= size
            archive.add(path, name, recursive=False)
    os.replace(temporary, results / ARCHIVE)
    return left_out


def members(results: Path, work: Path) -> Iterator[tuple[Path, str]]:
    """Files and their names in the archive, the most important ones first. Unfinished files start with a dot."""
    for path in _files(results, "*.json"):
        yield path, path.name
    for kind in ("records/*.json", "records/*.csv", "records.jsonl.gz", "logs/*"):
        yield from ((path, str(path.relative_to(work))) for path in _files(work / "results", f"*/{kind}"))
    for path in _files(work, "logs/*"):
        yield path, f"logs/{path.name}"
    for path in _files(work, "runs/jobs/*.log"):
        yield path, f"logs/workers/{path.name}"
    for path in _files(work, "runs/*/log.jsonl"):
        yield path, f"logs/training/{path.parent.name}.jsonl"
    yield from ((path, str(path.relative_to(work))) for path in _files(work / "results", "*/audio/*"))


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
