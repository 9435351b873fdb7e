"""``bench claims``: does what the papers claim hold here?"""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, ReadResults


def claims(
    paper: Annotated[
        list[str], typer.Option("--paper", help="Only print the claims of this paper (tal2025 ...). Repeatable.")
    ] = [],  # noqa: B006
    results: ReadResults = None,
    as_json: Json = False,
) -> None:
    """Test the claims of the papers on the records.

    Prints for each claim whether it holds here, with effect, interval and n. Writes them all to papers/claims.md in the
    results folder.

    \b
    Examples:
      bench claims
      bench claims --paper tal2025
    """
    from ...common.console import shown
    from ...common.lines import say
    from ..analysis.locations import to_read
    from ..papers.claims import counts, rule
    from ..papers.selection import Library
    from ..papers.verdicts import rows, write_ledger

    folder = to_read(results)
    library = Library(folder)
    rulings = rule(folder, library)
    page = write_ledger(rulings, folder)
    for problem in dict.fromkeys(library.problems):
        say(f"left out: {problem}")
    chosen = rule(folder, library, paper) if paper else rulings
    table = rows(chosen)
    print(shown(table.header, table.body, as_json))
    if not as_json:
        print(f"\nAll: {counts(chosen)}. In full: {page}")
