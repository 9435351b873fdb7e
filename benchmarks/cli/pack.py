"""``bench pack``: pack the records of a study, two files each, into one file."""

from __future__ import annotations

from typing import Annotated

import typer

from ...common.errors import UserError
from ...common.lines import count, say
from ..analysis.locations import to_read
from .options import ReadResults


def pack(
    studies: Annotated[list[str], typer.Argument(help="Studies to pack. Default: all that have records.")] = [],  # noqa: B006
    results: ReadResults = None,
    undo: Annotated[bool, typer.Option("--undo", help="Unpack: write every record to its own files again.")] = False,
) -> int:
    """Pack the records of a study into one file.

    The file STUDY/records.jsonl.gz also takes the text files that belong to the records. All commands read packed
    records as they read files. Packing again adds the records that came since. Files are deleted only after the pack
    gives back the same bytes; audio stays as it is.

    \b
    Examples:
      bench pack                       all studies
      bench pack small_cpu
      bench pack small_cpu --undo      the same files as before
    """
    from ..analysis import packing
    from ..analysis.records import chosen_studies

    folder, refused = to_read(results), False
    for study in chosen_studies(folder, studies):
        try:
            moved = (packing.unpack if undo else packing.pack)(folder / study)
        except UserError as error:
            say(f"left as it is: {error}")
            refused = True
            continue
        for line in moved.left:
            say(f"not packed: {line}")
        done = "unpacked to" if undo else "packed from"
        if moved.files:
            print(f"{study}: {count(moved.records, 'record')} {done} {count(moved.files, 'file')}")
    return 2 if refused else 0
