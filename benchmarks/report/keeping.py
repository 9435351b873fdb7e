"""Figures that are kept: one that was drawn from these very records by this very code is not drawn again.

Every figure carries the fingerprint of all that it was drawn from: each file of its study but what a report writes,
the code and YAML of the packages that a report uses, and the libraries' versions. A figure of another fingerprint is
drawn anew, or deleted where its records have nothing to draw any more: none is ever older than its records.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOUSE = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "common", "corpora", "paradigms")  # whose code reads, judges and draws records
MARK = re.compile(rb"drawn-from:([0-9a-f]{64})")
HEAD = 4096  # bytes of a PNG or SVG in which the mark stands


def fingerprint(*folders: Path, told: str = "") -> str:
    """What figures of these studies' folders are drawn from; ``told``: what else decides them."""
    digest = hashlib.sha256(f"{_drawn_by()} {told}".encode())
    for folder in folders:
        for path in _sources(folder):
            content = path.read_bytes()
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)} ".encode())
            digest.update(content)
    return digest.hexdigest()


def kept(path: Path, mark: str) -> bool:
    """Whether a figure was drawn from what has this fingerprint."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        found = MARK.search(file.read(HEAD))
    return found is not None and found[1].decode() == mark


def drawn(path: Path, mark: str, draw: Callable[[], Figure | None]) -> Path | None:
    """The PNG of ``draw``'s figure, drawn only where ``path`` has another mark; None where there is nothing to draw."""
    from benchmarks.report.drawing import save

    if kept(path, mark):
        return path
    figure = draw()
    if figure is None:
        path.unlink(missing_ok=True)
        return None
    return save(figure, path, mark=mark)


def _sources(folder: Path) -> Iterator[Path]:
    """A study's files but those that a report writes: figures, and tables beside the records."""
    for place in sorted(folder.glob("*/")):
        if place.name != "figures":
            yield from sorted(path for path in place.rglob("*") if path.is_file())


@functools.cache
def _drawn_by() -> str:
    import matplotlib
    import numpy
    import PIL

    digest = hashlib.sha256(" ".join(library.__version__ for library in (matplotlib, numpy, PIL)).encode())
    for path in _code():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _code() -> Iterable[Path]:
    found = (path for package in PACKAGES for path in (HOUSE / package).rglob("*"))
    return sorted(path for path in found if path.suffix in (".py", ".yaml"))
