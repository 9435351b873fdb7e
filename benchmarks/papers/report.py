"""All papers' pages, and what REPORT.md shows of them: the main tables, folded, and links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.papers import published, verdicts
from benchmarks.papers.chosen import Library
from benchmarks.papers.ledger import counts, rule
from benchmarks.papers.pages import Page, make_page, section, write_page
from benchmarks.papers.sheets import names
from benchmarks.report.markup import folded, link

if TYPE_CHECKING:
    from benchmarks.report.chapter import Chapter

TITLE = "The papers again"


def write_papers(
    keys: Sequence[str], results: Path, library: Library | None = None, figures: bool = True
) -> list[Page]:
    """Write the pages of these papers (none: all), with their tables and figures.

    Raises:
        UserError: an unknown paper, or no published data.
    """
    from common.lines import say

    library = library or Library(results)
    pages = [make_page(key, results, library, figures) for key in dict.fromkeys(keys or names())]
    for page in pages:
        write_page(page, results)
    for problem in dict.fromkeys(library.problems):
        say(f"left out: {problem}")
    return pages


def chapters(results: Path, home: Path) -> list[Chapter]:
    """The chapters of REPORT.md on claims and papers; none where the results folder has no published data."""
    from benchmarks.report.chapter import Answer, Chapter

    if not published.results(results):
        return []
    library = Library(results)
    pages, rulings = write_papers([], results, library), rule(results, library)
    page = verdicts.write_ledger(rulings, results)
    held = Answer("What of the four papers holds at this scale?", f"their claims: {counts(rulings)}", verdicts.TITLE)
    said = Chapter(verdicts.TITLE, verdicts.section(rulings, page, home), {}, answers=[held])
    return [said, Chapter(TITLE, _parts(pages, home), {})]


def _parts(pages: Sequence[Page], home: Path) -> list[str]:
    parts = [f"## {TITLE}", "Tables and figures of four papers, the published number beside ours."]
    for page in pages:
        name = published.NAMES[page.paper.key]
        parts.append(f"### {name}: {page.paper.title}")
        parts.append(f"All of it: {link(page.file.name, page.file, home)}. {told(page)}")
        for part in page.parts:
            if part.sheet.main:
                title, *rest = section(page, part, home)
                parts.append(folded(title.lstrip("# "), "\n\n".join(rest)))
    return parts


def told(page: Page) -> str:
    """How much of a paper has numbers of ours."""
    answered = [p.sheet.name for p in page.parts if p.panels or (p.filled and p.filled.records)]
    empty = [p.sheet.name for p in page.parts if p.sheet.name not in answered]
    text = f"With numbers of ours: {', '.join(answered) or 'none yet'}."
    return text + (f" Without: {', '.join(empty)}." if empty else "")
