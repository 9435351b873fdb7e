"""The chapter on fidelity: what every system scores, which differences are evident, what training cost, how it sounds.

``board`` picks the records that may share a table, ``settings`` sets several such boards side by side, ``scores`` pools
and compares records, ``tables`` and ``figures`` show them, ``words`` says what they mean, ``answers`` at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report.chapter import Chapter, StudyRecords


def chapter(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    """Tables, figures and words of all studies of fidelity; the first leads."""
    from benchmarks.report import FIRST
    from benchmarks.report.chapter import Chapter
    from benchmarks.report.fidelity.answers import answers
    from benchmarks.report.fidelity.board import make_board
    from benchmarks.report.fidelity.figures import write_figures
    from benchmarks.report.fidelity.scores import differences
    from benchmarks.report.fidelity.settings import boards
    from benchmarks.report.fidelity.tables import as_csv, comparison, verdicts
    from benchmarks.report.fidelity.words import TITLE, Findings, opening, ran, section, summary
    from common.files import write_text

    found = []
    for study in studies:
        board = make_board(study.name, study.folder, study.records)
        write_text(board.folder / "table.csv", as_csv(board))
        settings = boards(study.name, study.folder, study.records)
        found.append(Findings(board, differences(board), write_figures(board), settings))
        write_text(board.folder / "differences.csv", verdicts(found[-1].differences).csv())
    first = found[0].board
    parts = [*opening(found), *(part for one in found for part in section(one, home))]
    readme = {FIRST: f"{comparison(first).markdown()}\n\n{ran(first)}"} if first.study == FIRST else {}
    return Chapter(TITLE, parts, {one.board.study: summary(one) for one in found}, readme, answers(found))
