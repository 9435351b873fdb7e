"""``bench collect``: collect the records of all studies in one table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.console import shown
from ...common.files import atomic_path
from ...common.lines import count, say
from ..analysis.locations import check_writable, to_read
from .options import Json, ReadResults

if TYPE_CHECKING:
    import pyarrow as pa


def collect(
    studies: Annotated[list[str], typer.Argument(help="Studies to collect. Default: all that have records.")] = [],  # noqa: B006
    results: ReadResults = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: NAME.parquet or NAME.csv, or NAME for both.")
    ] = Path("collected"),
    column: Annotated[
        list[str], typer.Option(help="Add a column from this place in a record, e.g. cell.train.warmup; repeatable.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Collect all records in one table, as Parquet and CSV.

    The table has a row per cell and metric, with the settings in which cells differ. It takes the newest good record of
    each cell; a cell that studies share counts once. Files that are damaged, edited, foreign or of another schema
    version are named and left out. Prints the number of cells per study, axis and status.

    \b
    Examples:
      bench collect                                    all studies, to collected.parquet and collected.csv
      bench collect small_cpu -o small.csv
      bench collect --column cell.train.warmup --column environment.cpu

    Then, in pandas: pd.read_parquet("collected.parquet").groupby(["system", "metric"]).value.mean()
    """
    from ..analysis.collect import collect as collect_records

    for path in files_of(out):
        check_writable(path, "file")
    found = collect_records(to_read(results), studies, column)
    for problem in found.problems:
        say(f"left out: {problem}")
    written = write_table(found.table, out)
    print(counts_text(found.counts, as_json))
    left_out = f", {count(len(found.problems), 'file')} left out" if found.problems else ""
    places = " and ".join(str(path) for path in written)
    cells = f"{count(found.counts.total(), 'cell')} from {count(found.records, 'record')}{left_out}"
    (say if as_json else print)(f"{cells}; {count(found.table.num_rows, 'row')} in {places}")


def write_table(table: pa.Table, out: Path) -> list[Path]:
    """Write ``table`` to ``out``; returns the files.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    import pyarrow.csv
    import pyarrow.parquet

    files = files_of(out)
    for path in files:
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                pyarrow.csv.write_csv(table, temporary)
            else:
                pyarrow.parquet.write_table(table, temporary, compression="zstd")
    return files


def files_of(out: Path) -> list[Path]:
    """The files that ``--out`` names."""
    one = out.suffix in (".parquet", ".csv")
    return [out] if one else [out.with_name(out.name + ending) for ending in (".parquet", ".csv")]


def counts_text(counts: Counter[tuple[str, str, str]], as_json: bool = False) -> str:
    """A table of the number of cells per study, axis and status."""
    statuses = sorted({status for _, _, status in counts}, key=lambda status: (status != "ok", status))
    places = sorted({(study, axis) for study, axis, _ in counts})
    rows = [[study, axis, *(counts[study, axis, status] or "" for status in statuses)] for study, axis in places]
    return shown(["study", "axis", *statuses], rows, as_json)
