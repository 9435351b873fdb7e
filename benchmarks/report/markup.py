"""Pieces of Markdown that chapters share. Links are relative to the folder of REPORT.md, ``home``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def folded(title: str, text: str) -> str:
    """Text that opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def image(figures: Mapping[str, Path], name: str, home: Path, caption: str) -> str:
    """The figure ``name`` with its caption; nothing where it was not drawn."""
    return f"![{caption}]({relative(figures[name], home)})\n\n*{caption}*" if name in figures else ""


def link(text: str, path: Path, home: Path) -> str:
    """A link to a file."""
    return f"[{text}]({relative(path, home)})"


def relative(path: Path, home: Path) -> str:
    """``path`` as seen from ``home``."""
    return Path(os.path.relpath(path.resolve(), home)).as_posix()
