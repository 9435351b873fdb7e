"""Options that mean the same in every command that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
ReadResults = Annotated[
    Path | None,
    typer.Option(
        "--results", help="Results folder to read. Default: my_results if it holds records, else the published results."
    ),
]
WriteResults = Annotated[
    Path | None, typer.Option("--results", help="Results folder to write to. Default: my_results.")
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Write to results/, the folder that this repository publishes.")
]
Updates = Annotated[
    int | None,
    typer.Option(
        min=1, help="Training updates of every arm; warm-up, snapshots and checkpoints scale. Default: the study's."
    ),
]
