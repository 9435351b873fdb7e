"""Reports: REPORT.md over all studies, a page per study, tables and figures, from the records alone.

Every axis has its chapter (``chapter``: what one is, and their registry), in a folder of its own: ``fidelity``,
``latency``. A chapter makes a study's page (``study_page`` puts it together); ``overview`` makes REPORT.md of all
pages. They share ``table`` (one table as Markdown, plain text, CSV and LaTeX), ``markup`` (links, images), ``drawing``
(the style of figures) and ``keeping`` (what did not change is not written again). ``page`` makes HTML of the same
Markdown. ``readme`` keeps the table of answers inside README.md. The pages of papers come from ``benchmarks.papers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..papers.report import Told
    from .study_page import StudyReport

FIRST = "quickstart"  # leads the list of studies where it has been run
TITLE = "Generative paradigms for text-to-music and text-to-audio"  # of the HTML page


def write_report(
    results: Path,
    studies: Sequence[str],
    out: Path,
    jobs: int = 1,
    html: Path | None = None,
    as_json: bool = False,
) -> str:
    """Write ``out``, the page of every study and those of the papers; returns a summary for the terminal.

    Files whose content has not changed are left as they are.

    Args:
        studies: whose summaries to return; none: the answers of all.
        jobs: processes that work side by side.
        html: where to write all of it as one HTML page too.
        as_json: return the answers as JSON instead.

    Raises:
        UserError: no records, or no study of that name.
    """
    from ...common.console import shown
    from ..analysis.locations import PUBLISHED
    from .figure_cache import write_changed
    from .overview import answer_lines, answer_rows, document, plain, sections
    from .page import write_page
    from .readme import MARKER, refresh

    home = out.resolve().parent
    reports, papers = _made(results, _names(results, studies), jobs)
    if not any(report.pages for report in reports):
        return f"{results} holds no records that a report can show; {out} is not written."
    text = document(reports, papers, home)
    write_changed(out, text)
    if results.resolve() == PUBLISHED:
        readme = PUBLISHED.parent / "README.md"
        refresh(readme, MARKER, answer_lines(reports, papers, readme.parent).markdown())
    if html is not None:
        write_page(TITLE, sections(text, reports, papers, out), html)
    if as_json:
        return shown(*answer_rows(reports, papers), True)
    told = [report.summary() for report in reports if report.study in studies] or [plain(reports, papers)]
    where = [f"Report: {out}", f"Pages of studies: {results}/STUDY/README.md"]
    where += [f"HTML page: {html}"] if html else []
    return "\n\n".join([*told, "\n".join(where)])


def write_study(results: Path, study: str) -> str:
    """Write the page of one study, as Markdown and as HTML; returns its summary for the terminal.

    Raises:
        UserError: the study has no records.
    """
    from .page import write_page
    from .study_page import PAGE, make_study

    _names(results, [study])
    report = make_study(results, study)
    if not report.pages:
        return f"{results / study} holds no records that a page can show; no page is written."
    page = write_page(report.heading, [report.section()], report.folder / "report.html")
    where = [f"Page: {report.folder / PAGE}", f"HTML page, to listen too: {page}"]
    audio = report.folder / "audio"
    where += [f"Clips: {audio}/"] if audio.is_dir() else []
    return "\n\n".join([report.summary(), "\n".join(where)])


def report_file(results: Path) -> Path:
    """Where the report of a results folder belongs: at the repository's root for the published results, else in it."""
    from ..analysis.locations import PUBLISHED

    return results.parent / "REPORT.md" if results.resolve() == PUBLISHED else results / "REPORT.md"


def _made(results: Path, studies: Sequence[str], jobs: int) -> tuple[list[StudyReport], Told | None]:
    """All studies' pages and the papers', written; side by side where ``jobs`` allows."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from ..papers.report import write_all
    from .study_page import make_study

    make = partial(make_study, results)
    if jobs <= 1 or len(studies) == 1:
        return [make(study) for study in studies], write_all(results)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        papers: Future[Told | None] = pool.submit(write_all, results)  # the longest, so it begins first
        return list(pool.map(make, studies)), papers.result()


def _names(results: Path, asked: Sequence[str]) -> list[str]:
    """All studies that have records.

    Raises:
        UserError: one that was asked for has none.
    """
    from ...common.errors import UserError, did_you_mean
    from ..analysis.records import studies_in

    found = sorted(studies_in(results), key=lambda name: (name != FIRST, name))
    for name in asked:
        if name not in found:
            hint = did_you_mean(name, found)
            raise UserError(
                f"no study {name!r} in {results}{hint}; it holds: {', '.join(found) or 'none'}; bench run makes one"
            )
    if not found:
        raise UserError(f"no records in {results}; bench run quickstart makes some")
    return found
