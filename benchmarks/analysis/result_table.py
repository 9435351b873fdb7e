"""The result table of one study: its systems as rows, each with the records that ``comparability`` lets stand there."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import paradigms
from ...common.config import flat
from ..metrics.metric import Metric
from ..metrics.variance import SeedEffect
from ..study.references import BASELINES, CEILINGS, FLOORS
from .comparability import newest_of, row_of, select
from .records import Record, items_text

Items = dict[tuple[str, int], float]  # (prompt, seed) -> score


@dataclass(frozen=True)
class TableRow:
    """One system of a table.

    Attributes:
        system: the row's name: an arm's label or a reference's name, and after it what else the axis varies, as in
            ``fm, wrong``.
        records: those at the end of training, one for each seed, or the one of a reference.
        snapshots: good records of earlier updates.
    """

    system: str
    kind: str
    records: list[Record]
    snapshots: list[Record]

    @property
    def good(self) -> list[Record]:
        """The records at the end that have scores."""
        return [record for record in self.records if record.status == "ok"]

    @property
    def label(self) -> str:
        """The name of the system alone, which several rows of one arm share."""
        return self.records[0].system

    @property
    def paradigm(self) -> str:
        """Name of an arm's paradigm; empty for a reference."""
        return paradigm_of(self.records[0])


@dataclass(frozen=True)
class ResultTable:
    """The rows of one study.

    Attributes:
        folder: ``results/<study>``.
        rows: references, then arms.
        left_out: how many records are not in the table, by the keys in which they differ from it.
        pooled: metrics over seeds that were computed already, as tables and figures ask for the same ones.
        scored: scores per item that were read already, by system and metric.
        seed_effects: mean squares of seeds that were pooled already, by metric and reference (``pooling``).
    """

    study: str
    folder: Path
    rows: list[TableRow]
    left_out: dict[str, int]
    pooled: dict[tuple[str, ...], Metric] = field(default_factory=dict, compare=False, repr=False)
    scored: dict[tuple[str, str], Items] = field(default_factory=dict, compare=False, repr=False)
    seed_effects: dict[tuple[str, str], dict[tuple[str, ...], SeedEffect]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def arms(self) -> list[TableRow]:
        """The rows of paradigms."""
        return [row for row in self.rows if row.kind == "paradigm"]

    @property
    def labels(self) -> list[str]:
        """The labels of the arms; an arm that has several rows counts once."""
        return list(dict.fromkeys(row.label for row in self.arms))

    @property
    def runs(self) -> list[Record]:
        """The records of all arms at the end of training that have scores."""
        return [record for row in self.arms for record in row.good]

    @property
    def seeds(self) -> int:
        """How many seeds the arms were trained with."""
        return len({run.seed for run in self.runs})

    @property
    def records(self) -> list[Record]:
        """All records of the table."""
        return [record for row in self.rows for record in (*row.records, *row.snapshots)]

    @property
    def newest(self) -> Record:
        """The newest record of an arm, or of a reference where there is no arm; its settings are the table's."""
        return newest_of(self.records)

    def row(self, system: str) -> TableRow | None:
        """The row of ``system``."""
        return next((row for row in self.rows if row.system == system), None)

    def items(self, row: TableRow, metric: str) -> Items:
        """(prompt, seed) -> score of every item of a row; empty where the metric is not scored per item."""
        key = (row.system, metric)
        if key not in self.scored:
            self.scored[key] = {
                (item, record.seed): score
                for record in row.good
                for item, score in _item_scores(self.folder, record, metric).items()
            }
        return self.scored[key]


def in_order(record: Record) -> tuple[Any, ...]:
    """Sort key of rows: ceilings, baselines, floors, other references, arms in the order of the paradigms' registry."""
    if record.kind != "paradigm":
        known: tuple[str, ...] = (*CEILINGS, *BASELINES, *FLOORS)
        return 0, known.index(record.system) if record.system in known else len(known), record.system
    names, name = paradigms.names(), paradigm_of(record)
    return 1, names.index(name) if name in names else len(names), record.system


def make_table(
    study: str,
    folder: Path,
    records: Sequence[Record],
    free: Sequence[str] = (),
    rows: Sequence[str] = (),
    per_arm: Sequence[str] = (),
    order: Callable[[Record], Any] = in_order,
) -> ResultTable:
    """The table of the newest setting among ``records`` (oldest first).

    Args:
        free, rows, per_arm: what the axis varies, as for ``comparability.select``.
        order: sort key of the rows, of a record.
    """
    selection = select(records, free, rows, per_arm)
    held: dict[Any, list[Record]] = {}
    for record in sorted(selection.kept, key=order):
        held.setdefault(row_of(record, rows), []).append(record)
    return ResultTable(study, folder, [_row(own, rows) for own in held.values()], selection.left_out)


def item_columns(folder: Path, record: Record) -> Mapping[str, tuple[str, ...]]:
    """Column -> its values as text, one for each item of ``record``; empty where it has no scores per item.

    Raises:
        UserError: it has scores, but they are gone or cannot be read.
    """
    return _columns(items_text(folder, record))


@functools.lru_cache(maxsize=512)
def _columns(text: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of a CSV file; kept, since a report asks for those of a record many times."""
    header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
    return dict(zip(header, zip(*rows)))


def _item_scores(folder: Path, record: Record, metric: str) -> dict[str, float]:
    """Item -> its score on a metric, NaN where it has none; empty where the metric is not scored per item."""
    columns = item_columns(folder, record)
    texts = columns.get(metric, ())
    return {item: float(text) if text else math.nan for item, text in zip(columns.get("item", ()), texts)}


def paradigm_of(record: Record) -> str:
    """Name of a record's paradigm; empty where it has none."""
    return record.config.model.paradigm if record.config.model else ""


def _row(records: list[Record], keys: Sequence[str]) -> TableRow:
    cell = flat(records[0].cell) if keys else {}
    name = ", ".join([records[0].system, *(str(cell[key]) for key in keys if cell.get(key) is not None)])
    final = sorted((r for r in records if r.ended), key=lambda r: r.seed)
    return TableRow(name, records[0].kind, final, [r for r in records if not r.ended and r.status == "ok"])
