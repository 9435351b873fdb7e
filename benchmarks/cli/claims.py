"""``bench claims``: does what the papers claim hold here?"""

from __future__ import annotations

from typing import Annotated

import typer

from ...common.console import shown
from ...common.lines import say
from ..analysis.locations import to_read
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
    from ..papers.claims import claims_table, evaluate_claims, verdict_counts, write_claims_page
    from ..papers.record_index import RecordIndex

    folder = to_read(results)
    index = RecordIndex(folder)
    found = evaluate_claims(index)
    page = write_claims_page(found, folder)
    for problem in dict.fromkeys(index.problems):
        say(f"left out: {problem}")
    wanted = evaluate_claims(index, paper) if paper else found
    table = claims_table(wanted)
    print(shown(table.header, table.body, as_json))
    if not as_json:
        print(f"\nAll: {verdict_counts(wanted)}. In full: {page}")
