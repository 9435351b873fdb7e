"""``bench claims``: which claims of the papers are seen here?"""

from __future__ import annotations

from typing import Annotated

import typer

from ...common.console import shown
from ...common.lines import count, say
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

    Prints for each claim whether it is seen at the scale of the records, with effect, interval and n, or what is
    missing before it can be tested. Writes them all to papers/claims.md in the results folder.

    \b
    Examples:
      bench claims
      bench claims --paper tal2025
    """
    from ..papers.claims import evaluate_claims, verdict_counts
    from ..papers.claims_page import claims_table, write_claims_page
    from ..papers.record_index import RecordIndex

    folder = to_read(results)
    index = RecordIndex(folder)
    found = evaluate_claims(index)
    page = write_claims_page(found, folder)
    for problem in dict.fromkeys(index.problems):
        say(f"left out: {problem}")
    wanted = [one for one in found if one.claim.paper in paper] if paper else found
    if paper and not wanted:
        evaluate_claims(index, paper)  # names the paper that is not known
    table = claims_table(wanted)
    print(shown(table.header, table.body, as_json))
    if not as_json:
        print(f"\n{count(len(wanted), 'claim')}: {verdict_counts(wanted)}. In full: {page}")
