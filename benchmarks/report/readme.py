"""The result table inside README.md, between two markers, so that it is never typed by hand."""

from __future__ import annotations

from pathlib import Path

from common.files import write_text

START, END = "<!-- quickstart -->", "<!-- /quickstart -->"


def refresh(readme: Path, table: str) -> bool:
    """Replace what stands between the markers of ``readme``; False where there is no such file or no markers."""
    if not readme.is_file():
        return False
    text = readme.read_text(encoding="utf-8")
    before, found_start, rest = text.partition(START)
    _, found_end, after = rest.partition(END)
    if not (found_start and found_end):
        return False
    write_text(readme, f"{before}{START}\n{table}\n{END}{after}")
    return True
