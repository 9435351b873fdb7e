"""The report: REPORT.md, tables as CSV and figures, from the records alone.

Every axis has its chapter (``chapter``: what one is, and their registry), in a folder of its own: ``fidelity``,
``latency``. They share ``table`` (one table as Markdown, plain text, CSV and LaTeX), ``markup`` (links, images) and
``drawing`` (the style of figures). ``readme`` keeps the tables inside README.md. What papers state, and ours beside it,
comes last (``benchmarks.papers``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report.chapter import Chapter, StudyRecords

INTRODUCTION = (
    "Written by `bench report` from the records under `results/`; nothing here is typed by hand. "
    "`bench verify results/STUDY/records/ID-ATTEMPT.json` measures any record's seeded cell again and compares."
)
FIRST = "quickstart"  # leads the report where it has been run


def write_report(results: Path, studies: Sequence[str], out: Path, jobs: int = 1) -> str:
    """Write ``out`` and what it shows; returns a summary for the terminal.

    Args:
        studies: which folders of ``results`` to tell of in the returned summary; none: all. The file always has all.
        jobs: chapters that are made side by side, each in a process of its own.

    Raises:
        UserError: no records, or no study of that name.
    """
    from benchmarks.papers import report as papers
    from benchmarks.report.chapter import CHAPTERS
    from benchmarks.report.glance import glance
    from benchmarks.report.readme import refresh
    from common.files import write_text

    home = out.resolve().parent
    held = _by_axis(results, _order(results, studies))
    axes = [axis for axis in CHAPTERS.names() if axis in held]
    if not axes:
        return f"No chapter tells of these records; {out} is not written."
    tasks = [partial(papers.chapters, results, home), *(partial(_chapter, axis, held[axis], home) for axis in axes)]
    last, *own = _side_by_side(tasks, jobs)  # the papers' take longest, so they begin first
    chapters = [chapter for found in own for chapter in found]
    answers = [answer for chapter in [*chapters, *last] for answer in chapter.answers]
    write_text(out, _document([*chapters, *last], glance(answers)))
    refresh(home / "README.md", "glance", glance(answers, out.name))
    for chapter in chapters:
        for name, text in chapter.readme.items():
            refresh(home / "README.md", name, text)
    told = [text for chapter in chapters for name, text in chapter.summaries.items() if not studies or name in studies]
    return "\n\n".join([*told, f"Report: {out}"])


def _chapter(axis: str, studies: Sequence[StudyRecords], home: Path) -> list[Chapter]:
    from benchmarks.report.chapter import CHAPTERS

    return [CHAPTERS.load(axis)(studies, home)]


def _side_by_side(tasks: Sequence[Callable[[], list[Chapter]]], jobs: int) -> list[list[Chapter]]:
    """The results of all tasks, in their order."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if jobs <= 1 or len(tasks) == 1:
        return [task() for task in tasks]
    with ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def _document(chapters: Sequence[Chapter], short: str) -> str:
    from benchmarks.report.glance import TITLE

    parts = ["# Report", INTRODUCTION]
    if len(chapters) > 1:
        parts.append("Chapters: " + " · ".join(f"[{chapter.title}](#{chapter.anchor})" for chapter in chapters) + ".")
    parts += [f"## {TITLE}", short] if short else []
    parts += [part for chapter in chapters for part in chapter.parts]
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_axis(results: Path, studies: Sequence[str]) -> dict[str, list[StudyRecords]]:
    """Axis -> the studies that measured it; what cannot be read or has no chapter is named and left out."""
    from benchmarks.records import load_records
    from benchmarks.report.chapter import CHAPTERS, StudyRecords
    from common.lines import say

    held: dict[str, list[StudyRecords]] = {}
    for name in studies:
        records, problems = load_records(results / name)
        for problem in problems:
            say(f"left out: {problem}")
        for axis in dict.fromkeys(record.axis for record in records):
            own = [record for record in records if record.axis == axis]
            if axis in CHAPTERS.names():
                held.setdefault(axis, []).append(StudyRecords(name, results / name, own))
            else:
                say(f"left out: {len(own)} record(s) of {results / name}: no chapter for axis {axis!r}")
    return held


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
