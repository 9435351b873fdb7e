"""The chapter on reconstruction: representations x what is left of a clip, and a paper's figures below.

``sheets`` holds the tables and the sentences under them; this module puts a study together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report.chapter import Chapter, StudyRecords

TITLE = "What representations lose"


def chapter(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    """Every study's two tables, what differs for sure, and the published table."""
    from benchmarks.report.chapter import Chapter
    from benchmarks.report.reconstruction import sheets
    from common.files import write_text

    parts = [f"## {TITLE}", "How it is measured: `docs/reconstruction.md`."]
    summaries = {}
    for study in studies:
        board = sheets.make_board(study.name, study.folder, study.records)
        signal, content = sheets.signal(board), sheets.content(board)
        said = sheets.findings(board)
        write_text(study.folder / "table.csv", sheets.as_csv(board))
        parts += [f"### {study.name}", sheets.basis(board), signal.markdown(), content.markdown(), said]
        summaries[study.name] = "\n\n".join(part for part in (signal.plain(), content.plain(), said) if part)
    if studies:
        parts.append(sheets.published(studies[0].folder.parent))
    return Chapter(TITLE, parts, summaries)
