"""``bench collect``: the records of all studies as one table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pyarrow as pa


def collect(
    studies: Annotated[list[str], typer.Argument(help="Studies to collect; default: all that have records.")] = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
    out: Annotated[
        Path, typer.Option(help="What to write: FILE.parquet and FILE.csv, or one of them if FILE ends so.")
    ] = Path("collected"),
    column: Annotated[
        list[str], typer.Option(help="One more column: its place in a record, e.g. cell.train.warmup; repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Merge records to Parquet and CSV: a row per cell and metric, with the settings that tell cells apart.

    For each cell the newest good record speaks; a cell that studies share counts once. Files that are cut short,
    edited, foreign or of another schema version are named, one line each, and left out; nothing is changed.

    \b
    Examples:
      bench collect                                    all studies, to collected.parquet and collected.csv
      bench collect small_cpu --out small.csv
      bench collect --column cell.train.warmup --column environment.cpu

    Then, in pandas: pd.read_parquet("collected.parquet").groupby(["system", "metric"]).value.mean()
    """
    from benchmarks.collecting import collect as collect_records
    from common.lines import say

    found = collect_records(results, studies, column)
    for problem in found.problems:
        say(f"left out: {problem}")
    written = write_table(found.table, out)
    print(counts_text(found.counts))
    left_out = f", {len(found.problems)} files left out" if found.problems else ""
    places = " and ".join(str(path) for path in written)
    cells = f"{found.counts.total()} cells from {found.records} records{left_out}"
    print(f"\n{cells}; {found.table.num_rows} rows in {places}")


def write_table(table: pa.Table, out: Path) -> list[Path]:
    """Write ``table`` to ``out``; returns the files.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    import pyarrow.csv
    import pyarrow.parquet

    from common.files import atomic_path

    one = out.suffix in (".parquet", ".csv")
    files = [out] if one else [out.with_name(out.name + ending) for ending in (".parquet", ".csv")]
    for path in files:
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                pyarrow.csv.write_csv(table, temporary)
            else:
                pyarrow.parquet.write_table(table, temporary, compression="zstd")
    return files


def counts_text(counts: Counter[tuple[str, str, str]]) -> str:
    """Cells per study, axis and status, as a table."""
    from benchmarks.console import table

    statuses = sorted({status for _, _, status in counts}, key=lambda status: (status != "ok", status))
    places = sorted({(study, axis) for study, axis, _ in counts})
    rows = [[study, axis, *(counts[study, axis, status] or "" for status in statuses)] for study, axis in places]
    return table(["study", "axis", *statuses], rows)
