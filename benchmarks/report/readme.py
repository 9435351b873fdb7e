"""The table of answers inside README.md, between two markers, so that it is never typed by hand."""

from __future__ import annotations

from pathlib import Path

from .figure_cache import write_changed

MARKER = "answer"


def refresh(readme: Path, name: str, text: str) -> bool:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``; False where there is no such place."""
    if not readme.is_file():
        return False
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found_start, rest = readme.read_text(encoding="utf-8").partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        return False
    write_changed(readme, f"{before}{start}\n{text}\n{end}{after}")
    return True
