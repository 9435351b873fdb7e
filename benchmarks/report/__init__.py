"""Reports: REPORT.md over all studies, a page per study, tables and figures, from the records alone.

Each axis describes a study in its chapter (``chapter``), in its own folder ``benchmarks/axes/AXIS/report``.
``study_page`` makes a study's page of them, ``overview`` makes REPORT.md of all studies, and ``page`` turns the same
Markdown into one HTML page. They share ``markup`` (tables, links, images), ``summary`` (rankings in one line),
``style`` (the look of figures) and ``figure_cache`` (a figure is drawn again only when its content has changed).

The pages of published papers are made by ``benchmarks.papers``, which builds on this package; ``write_report`` gets
the function that writes them as an argument.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from ...common.console import shown
from ...common.errors import UserError, did_you_mean
from ..analysis.locations import PUBLISHED
from ..analysis.packs import studies_in
from .markup import write_changed
from .overview import PaperPages, answer_lines, answer_rows, document, plain, refresh, sections
from .page import write_page
from .study_page import PAGE, StudyReport, make_study

FIRST = "quickstart"  # stands first in the list of studies
TITLE = "Generative paradigms for text-to-music and text-to-audio"  # of the HTML page
WritePapers = Callable[[Path], PaperPages | None]


def write_report(
    results: Path,
    studies: Sequence[str],
    out: Path,
    jobs: int = 1,
    html: Path | None = None,
    as_json: bool = False,
    write_papers: WritePapers | None = None,
) -> str:
    """Write ``out`` and the page of every study; returns a summary for the terminal.

    Files whose content has not changed are left as they are.

    Args:
        studies: studies whose summaries are returned; empty: the answers of all studies are.
        jobs: number of processes.
        html: where to write everything as one HTML page too.
        as_json: return the answers as JSON instead.
        write_papers: writes the pages of papers into a results folder and summarises them; None: no such pages. With
            several jobs it runs in a process of its own, so it must be a function of a module.

    Raises:
        UserError: no records, or no study of that name.
    """
    home = out.resolve().parent
    reports, papers = _write_pages(results, _study_names(results, studies), jobs, write_papers)
    if not any(report.pages for report in reports):
        return f"{results} holds no records that a report can show; {out} is not written."
    text = document(reports, papers, home)
    write_changed(out, text)
    if results.resolve() == PUBLISHED:
        readme = PUBLISHED.parent / "README.md"
        refresh(readme, "answer", answer_lines(reports, papers, readme.parent).markdown())
    if html is not None:
        write_page(TITLE, sections(text, reports, papers, out), html)
    if as_json:
        return shown(*answer_rows(reports, papers), True)
    summaries = [report.summary() for report in reports if report.study in studies] or [plain(reports, papers)]
    files = [f"Report: {out}", f"Pages of studies: {results}/STUDY/README.md"]
    files += [f"HTML page: {html}"] if html else []
    return "\n\n".join([*summaries, "\n".join(files)])


def write_study(results: Path, study: str) -> str:
    """Write the page of one study, as Markdown and as HTML; returns its summary for the terminal.

    Raises:
        UserError: the study has no records.
    """
    _study_names(results, [study])
    report = make_study(results, study)
    if not report.pages:
        return f"{results / study} holds no records that a page can show; no page is written."
    page = write_page(report.heading, [report.section()], report.folder / "report.html")
    files = [f"Page: {report.folder / PAGE}", f"HTML page, to listen too: {page}"]
    audio = report.folder / "audio"
    files += [f"Clips: {audio}/"] if audio.is_dir() else []
    return "\n\n".join([report.summary(), "\n".join(files)])


def report_file(results: Path) -> Path:
    """Default path of the report: at the repository's root for the published results, else in the results folder."""
    return results.parent / "REPORT.md" if results.resolve() == PUBLISHED else results / "REPORT.md"


def _write_pages(
    results: Path, studies: Sequence[str], jobs: int, write_papers: WritePapers | None
) -> tuple[list[StudyReport], PaperPages | None]:
    """Write the pages of all studies and papers, in parallel if ``jobs`` is more than 1."""
    make = partial(make_study, results)
    if jobs <= 1 or len(studies) == 1:
        return [make(study) for study in studies], write_papers(results) if write_papers else None
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        papers = pool.submit(write_papers, results) if write_papers else None  # takes longest, so it starts first
        return list(pool.map(make, studies)), papers.result() if papers else None


def _study_names(results: Path, asked: Sequence[str]) -> list[str]:
    """All studies that have records, by name.

    Raises:
        UserError: there are none, or one of ``asked`` has none.
    """
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
