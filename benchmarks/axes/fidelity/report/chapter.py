"""The axis fidelity: what every system scores, which differences are decided, what training cost, how it sounds.

``board`` picks the records that may share a table, ``settings`` sets several such boards side by side, ``scores`` pools
and compares records, ``tables`` and ``figures`` show them, ``words`` says what they mean, ``answers`` answers in short.
"""

from __future__ import annotations

from ....report.chapter import Chapter, StudyPage, StudyRecords


def tell(study: StudyRecords) -> StudyPage:
    """Scores, answers, clips and costs of one study."""
    from ....analysis.pooling import differences
    from ....analysis.result_table import make_board
    from ....analysis.sufficiency import too_short
    from ....report.figure_cache import write_changed
    from .answers import answers, row, weight
    from .figures import write_figures
    from .settings import boards
    from .tables import comparison, verdicts
    from .text import PLACED, Findings, details, measured

    board = make_board(study.name, study.folder, study.records)
    short = too_short(board.runs)
    compared = [] if short else differences(board)
    if not short:
        write_changed(board.folder / "differences.csv", verdicts(compared).csv())
    figures = write_figures(board)
    found = Findings(board, compared, figures, boards(study.name, study.folder, study.records), short)
    return StudyPage(
        measured(board), comparison(board, leaders=not short), answers(found), details(found), row(found),
        weight(board), figures.get("scores"), PLACED, [f"{short[0].upper()}{short[1:]}."] if short else [],
    )  # fmt: skip


CHAPTER = Chapter(
    "Fidelity",
    "Do clips sound like real audio, and do they contain what the caption asks for? How it is measured: "
    "[metrics](docs/metrics.md), [method](docs/method.md).",
    tell,
)
