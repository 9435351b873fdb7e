"""The report: REPORT.md, tables as CSV and figures, from the records alone.

``board`` picks the records that may share a table, ``scores`` pools and compares them, ``tables`` and ``figures`` show
them, ``markdown`` says what they mean, ``readme`` keeps the quickstart's table in README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FIRST = "quickstart"  # leads the report where it has been run


def write_report(results: Path, studies: Sequence[str], out: Path) -> str:
    """Write ``out`` and what it shows; returns a summary for the terminal.

    Args:
        studies: which folders of ``results`` to tell of in the returned summary; none: all. The file always has all.

    Raises:
        UserError: no records, or no study of that name.
    """
    from benchmarks.progress import say
    from benchmarks.records import load_records
    from benchmarks.report.board import make_board
    from benchmarks.report.figures import write_figures
    from benchmarks.report.markdown import Chapter, document, ran, summary
    from benchmarks.report.readme import refresh
    from benchmarks.report.scores import differences
    from benchmarks.report.tables import as_csv, comparison
    from common.files import write_text

    chapters = []
    for name in _order(results, studies):
        records, problems = load_records(results / name)
        for problem in problems:
            say(f"left out: {problem}")
        if records:
            board = make_board(name, results / name, records)
            write_text(board.folder / "table.csv", as_csv(board))
            chapters.append(Chapter(board, differences(board), write_figures(board)))
    write_text(out, document(chapters, out.resolve().parent))
    first = chapters[0].board
    if first.study == FIRST:
        refresh(out.resolve().parent / "README.md", f"{comparison(first).markdown()}\n\n{ran(first)}")
    told = [chapter for chapter in chapters if not studies or chapter.board.study in studies]
    return "\n\n".join(summary(chapter) for chapter in told) + f"\n\nReport: {out}"


def _order(results: Path, studies: Sequence[str]) -> list[str]:
    """The studies asked for, then all others that have records.

    Raises:
        UserError: one that was asked for has none.
    """
    from common.errors import UserError, did_you_mean

    found = sorted((path.parent.name for path in results.glob("*/records")), key=lambda name: (name != FIRST, name))
    for name in studies:
        if name not in found:
            hint = did_you_mean(name, found)
            raise UserError(
                f"no study {name!r} in {results}{hint}; it holds: {', '.join(found) or 'none'}; bench run makes one"
            )
    if not found:
        raise UserError(f"no records in {results}; bench run quickstart makes some")
    return list(dict.fromkeys([*studies, *found])) if len(studies) > 1 else found
