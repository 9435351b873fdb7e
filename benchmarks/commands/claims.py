"""``bench claims``: does what the papers claim hold here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claims(
    paper: Annotated[
        list[str], typer.Option("--paper", help="Only the claims of this paper (tal2025 ...); default: of all.")
    ] = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
) -> None:
    """Say of each published claim whether it holds here, with effect, interval and n; writes results/papers/claims.md.

    \b
    Examples:
      bench claims
      bench claims --paper tal2025
    """
    from benchmarks.papers.chosen import Library
    from benchmarks.papers.ledger import rule
    from benchmarks.papers.verdicts import plain, write_ledger
    from common.lines import say

    library = Library(results)
    rulings = rule(results, library)
    page = write_ledger(rulings, results)
    for problem in dict.fromkeys(library.problems):
        say(f"left out: {problem}")
    print(plain(rule(results, library, paper) if paper else rulings))
    print(f"\nIn full: {page}")
