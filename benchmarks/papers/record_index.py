"""Our records for a line of a table, a point of a figure or a side of a contrast, found by study, arm and settings.

One record per seed: the newest. The seeds of an arm are pooled, so they must agree in all settings; those that differ
from the newest are left out. Which records may stand beside each other is decided by ``comparability``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.config import flat
from ..analysis.comparability import differences, named, settings, within
from ..analysis.pooling import pooled
from ..analysis.records import Record, latest, load_typed
from ..analysis.result_table import ResultTable, TableRow
from ..metrics.catalogue import family
from ..metrics.metric import Metric
from ..study.load import study_names

SCORING = ("axis", "version", "schema_version", "data", "evaluation", "protocol")  # how scores and times are made


@dataclass(frozen=True)
class ArmRecords:
    """The records of one arm, one for each seed; where there are none, ``why`` says how to make them."""

    study: str
    folder: Path
    records: tuple[Record, ...] = ()
    why: str = ""

    @functools.cached_property
    def table(self) -> ResultTable:
        """A table with this arm alone, which pools its seeds and reads its scores per item."""
        return ResultTable(self.study, self.folder, [self.row], {})

    @functools.cached_property
    def row(self) -> TableRow:
        """All seeds as one row."""
        first = self.records[0]
        return TableRow(first.system, first.kind, list(self.records), [])

    @property
    def names(self) -> list[str]:
        """The records' names below the results folder, the same whether they are packed or not."""
        return [_name(self, record) for record in self.records]

    @property
    def command(self) -> str:
        """The command that made the newest record."""
        return max(self.records, key=lambda r: r.created).command if self.records else ""

    def metrics(self, wanted: str) -> list[str]:
        """Full names of the records' metrics of the family ``wanted``; or ``wanted`` itself if it is a full name.

        Adherence to a single attribute (``adherence_key_builtin``) does not count to the family ``adherence``.
        """
        held = dict.fromkeys(name for record in self.records for name in record.metrics)
        if wanted in held:
            return [wanted]
        return [name for name in held if family(name) == wanted and not (wanted == "adherence" and name.count("_") > 1)]

    def value(self, name: str) -> Metric:
        """A metric over all seeds."""
        return pooled(self.table, self.row, name)


class RecordIndex:
    """All records below a results folder, read once per study; ``problems``: what was left out, one line each."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.problems: list[str] = []
        self._held: dict[str, list[Record]] = {}

    def records(self, study: str) -> list[Record]:
        """The newest record of each cell of a study, oldest first; none where it has not run."""
        if study not in self._held:
            found, problems = load_typed(self.results / study)
            self.problems += problems
            self._held[study] = sorted(latest(found).values(), key=lambda r: r.created)
        return self._held[study]

    def find(self, study: str, arm: str, cell: Mapping[str, Any] | None = None, run: str = "") -> ArmRecords:
        """The newest record of each seed of ``arm`` at the end of its training.

        Args:
            cell: values that their cells must have, by dotted key; a list means any of its values.
            run: the command that makes them, where it is not ``bench run <study>``.
        """
        folder = self.results / study
        if not self.records(study):
            return ArmRecords(study, folder, why=not_run(study, run))
        own = [r for r in self.records(study) if r.system == arm and has_values(r, cell or {}) and r.ended]
        good = [r for r in own if r.status == "ok"]
        if good:
            return ArmRecords(study, folder, self._seeds(study, good))
        name = arm + "".join(f", {key.rpartition('.')[2]} {value}" for key, value in (cell or {}).items())
        if own:
            return ArmRecords(study, folder, why=f"{name}: {own[-1].status}, {own[-1].reason}")
        return ArmRecords(study, folder, why=f"no record of {name} in {study}; `{run or f'bench run {study}'}`")

    def _seeds(self, study: str, records: list[Record]) -> tuple[Record, ...]:
        """One record per seed, all with the settings of the newest."""
        kept: dict[int, Record] = {}
        for record in records:
            if keys := named(differences(record, records[-1], same_row=True)):
                one = f"{record.system} of seed {record.seed}"
                self.problems.append(f"{study}: {one} differs from the arm's newest record in {keys}")
            else:
                kept[record.seed] = record
        return tuple(kept[seed] for seed in sorted(kept))


def not_run(study: str, run: str = "") -> str:
    """Says that a study has not run, and how to run it."""
    if study not in study_names():
        return f"no study `{study}` comes with the suite yet"
    return f"study `{study}` has not run here; `{run or f'bench run {study}'}` runs it"


def has_values(record: Record, cell: Mapping[str, Any]) -> bool:
    """Whether a record's cell has these values at these dotted keys; of a list, any."""
    held = flat(record.cell) if cell else {}
    return all(held.get(key) in (value if isinstance(value, list) else [value]) for key, value in cell.items())


def value_at(record: Record, key: str) -> Any:
    """The value at a dotted key of the record's cell; ``system`` is the arm's label."""
    return record.system if key == "system" else flat(record.cell).get(key)


def why_apart(arms: Iterable[ArmRecords], varies: Iterable[str] = ()) -> str:
    """Why these records cannot stand together, with the names of two that differ; empty where they can.

    Args:
        varies: dotted keys, or the beginnings of such, in which they may differ.
    """
    free = [key.removeprefix("model.") for key in varies]
    found = [(arm, record) for arm in arms for record in arm.records]
    for arm, record in found[1:]:
        first = found[0][1]
        keys = differences(first, record, free)
        scoring = [key for key in keys if within(key, SCORING)]
        if scoring:
            key, pair = scoring[0], (found[0], (arm, record))
            names = [f"{_name(held, one)} ({key}: {settings(one).get(key)})" for held, one in pair]
            return f"refused: {' and '.join(names)} were judged differently; measure both anew, alike"
        if keys:
            both = f"{first.system} and {record.system} differ in {named(keys)}"
            return f"{both}, so they cannot be compared; make both alike"
    return ""


def _name(arm: ArmRecords, record: Record) -> str:
    return f"{arm.study}/records/{record.stem}.json"
