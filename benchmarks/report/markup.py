"""Pieces of Markdown that pages share. Links start from the folder that the page is in, ``home``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..analysis.packs import PACK


def folded(title: str, text: str) -> str:
    """Text that opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def image(path: Path | None, home: Path, caption: str) -> str:
    """A figure with its caption, whose first sentence stands in for it; nothing where it was not drawn."""
    return f"![{caption.partition('. ')[0].rstrip('.')}]({relative(path, home)})\n\n*{caption}*" if path else ""


def link(text: str, path: Path, home: Path) -> str:
    """A link to a file."""
    return f"[{text}]({relative(path, home)})"


def relative(path: Path, home: Path) -> str:
    """``path`` as seen from ``home``."""
    return Path(os.path.relpath(path.resolve(), home.resolve())).as_posix()


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def records_of(folder: Path) -> str:
    """A link to a study's records, for its page: the folder of their files, or the file that they are packed in."""
    return "[records](records)" if (folder / "records").is_dir() else f"[records]({PACK})"
