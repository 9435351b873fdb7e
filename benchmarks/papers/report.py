"""All papers' pages and the ledger of claims, and what the report says of them: counts and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..analysis import published
from ..report.markup import link
from ..report.table import Table
from . import verdicts
from .claims import VERDICTS, counts, rule, tally
from .pages import Page, make_page, write_page
from .selection import Library
from .table_specs import names

QUESTION = "Which claims of the four papers hold at this scale?"


@dataclass(frozen=True)
class Told:
    """What the papers' pages say.

    Attributes:
        counts: all verdicts, in words.
        tallies: name of a group of claims -> verdict -> how many claims.
        pages: name of a paper -> its page.
        titles: name of a paper -> what it is about.
        ledger: the page of claims.
    """

    counts: str
    tallies: dict[str, dict[str, int]]
    pages: dict[str, Path]
    titles: dict[str, str]
    ledger: Path

    def table(self, home: Path) -> Table:
        """A line per paper: verdicts in counts, a link to its page."""
        body = []
        for name, tallied in self.tallies.items():
            page = link(name, self.pages[name], home) if name in self.pages else name
            body.append([page, self.titles.get(name, ""), *(str(tallied[verdict]) for verdict in VERDICTS)])
        return Table(["paper", "about", *VERDICTS], body)


def write_papers(
    keys: Sequence[str], results: Path, library: Library | None = None, figures: bool = True
) -> list[Page]:
    """Write the pages of these papers (none: all), with their tables and figures.

    Raises:
        UserError: an unknown paper, or no published data.
    """
    from ...common.lines import say

    library = library or Library(results)
    pages = [make_page(key, results, library, figures) for key in dict.fromkeys(keys or names())]
    for page in pages:
        write_page(page, results)
    for problem in dict.fromkeys(library.problems):
        say(f"left out: {problem}")
    return pages


def write_all(results: Path) -> Told | None:
    """Write all papers' pages and the ledger; None where the results folder has no published data."""
    if not published.results(results):
        return None
    library = Library(results)
    pages, rulings = write_papers([], results, library), rule(results, library)
    tallies = {}
    for name in dict.fromkeys(published.NAMES[ruling.claim.paper] for ruling in rulings):
        tallies[name] = tally([ruling for ruling in rulings if published.NAMES[ruling.claim.paper] == name])
    named = {published.NAMES[page.paper.key]: page for page in pages}
    return Told(
        counts(rulings), tallies, {name: page.file for name, page in named.items()},
        {name: page.paper.title for name, page in named.items()}, verdicts.write_ledger(rulings, results),
    )  # fmt: skip


def told(page: Page) -> str:
    """How much of a paper has numbers of ours."""
    answered = [p.sheet.name for p in page.parts if p.panels or (p.filled and p.filled.records)]
    empty = [p.sheet.name for p in page.parts if p.sheet.name not in answered]
    text = f"With numbers of ours: {', '.join(answered) or 'none yet'}."
    return text + (f" Without: {', '.join(empty)}." if empty else "")
