"""``bench report``: write REPORT.md, a page per study, tables and figures from the records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..analysis.locations import check_writable, to_read
from .options import Json, ReadResults


def report(
    studies: Annotated[
        list[str], typer.Argument(help="Studies whose summaries to print. Default: the answers of all studies.")
    ] = [],  # noqa: B006
    results: ReadResults = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The report to write. Default: REPORT.md in the results folder."),
    ] = None,
    paper: Annotated[
        list[str],
        typer.Option("--paper", help="Only write the page of this paper (tal2025 ...), or of all. Repeatable."),
    ] = [],  # noqa: B006
    html: Annotated[
        bool, typer.Option("--html", help="Write the report with all pages as one HTML page, too.")
    ] = False,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw all figures again. Default: those that show something new.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the report and the pages of studies and papers.

    The report of the published results is REPORT.md at the root of the repository. Files whose content has not changed
    are left as they are.

    \b
    Examples:
      bench report
      bench report --html
      bench report quickstart small_cpu -o REPORT.md
      bench report --paper tal2025
    """
    import os

    from ..papers.pages import write_all_papers
    from ..report import report_file, write_report
    from ..report.figure_cache import forget

    folder = to_read(results)
    if redraw:
        forget(folder)
    if paper:
        from ..papers.pages import write_papers

        for one in write_papers([] if "all" in paper else paper, folder):
            print(f"{one.file}: {one.summary}")
        return
    file = check_writable(out or report_file(folder), "file")
    page = file.with_suffix(".html") if html else None
    print(write_report(folder, studies, file, len(os.sched_getaffinity(0)), page, as_json, write_all_papers))
