"""``bench report``: tables, figures and REPORT.md, from the records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    studies: Annotated[
        list[str], typer.Argument(help="Studies to report, in this order; default: all that have records.")
    ] = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("REPORT.md"),
    paper: Annotated[
        list[str],
        typer.Option("--paper", help="Only the page of this paper (tal2025 ...), or of all: results/papers/."),
    ] = [],  # noqa: B006
    html: Annotated[
        bool, typer.Option("--html", help="Write it as one self-contained page too, REPORT.html: sort, zoom, listen.")
    ] = False,
) -> None:
    """Write the report again, with its tables (CSV beside) and figures.

    \b
    Examples:
      bench report
      bench report quickstart small_cpu --out REPORT.md
      bench report --paper tal2025
      bench report --paper all
      bench report --html
    """
    if paper:
        from benchmarks.papers.report import told, write_papers

        for page in write_papers([] if "all" in paper else paper, results):
            print(f"{page.file}: {told(page)}")
        return
    import os

    from benchmarks.report import write_report

    print(write_report(results, list(studies), out, jobs=len(os.sched_getaffinity(0))))
    if html:
        from benchmarks.report.page import write_page

        print(f"Page: {write_page(out, out.with_suffix('.html'))}")
