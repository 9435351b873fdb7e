"""Our records for a line of a table, a point of a figure or a side of a contrast, found by study, arm and settings.

One record per seed: the newest. The seeds of an arm are pooled, so they must agree in all settings; those that differ
from the newest are left out. Which records may stand beside each other is decided by ``comparability``.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.config import flat
from ..analysis.comparability import PER_RUN, differences, named, settings, within
from ..analysis.learning import NO_SNAPSHOT, still_learning
from ..analysis.packs import studies_in
from ..analysis.pooling import PairedDifference, pooled
from ..analysis.pooling import differences as compare_all
from ..analysis.records import Record, latest, load_typed
from ..analysis.result_table import ResultTable, TableRow, make_table
from ..metrics.catalogue import FIDELITY_FAMILIES, TAGGERS, evaluator_of, family, of_whole_clips
from ..metrics.metric import Metric
from ..study.load import study_names

# What decides the weights of a training, before a reward tunes them and whatever is sampled from them.
TRAINING = (
    "data", "paradigm", "options", "backbone", "normalisation", "controls", "control_tokens", "train", "precision",
)  # fmt: skip
SCORING = ("axis", "version", "schema_version", "data", "evaluation", "protocol")  # how scores and times are made


@dataclass(frozen=True)
class ArmRecords:
    """The records of one arm, one for each seed; where there are none, ``why`` says how to make them.

    Attributes:
        snapshots: good records of earlier updates of the same trainings.
        references: floors, ceilings and baselines that were scored as the arm was.
    """

    study: str
    folder: Path
    records: tuple[Record, ...] = ()
    why: str = ""
    snapshots: tuple[Record, ...] = ()
    references: tuple[Record, ...] = ()

    @functools.cached_property
    def table(self) -> ResultTable:
        """A table with this arm and its references, which pools its seeds and reads its scores per item."""
        others = [r for r in self.references if r.system != self.row.system]
        rows = [*(TableRow(r.system, r.kind, [r], []) for r in others), self.row]
        return ResultTable(self.study, self.folder, rows, {})

    @functools.cached_property
    def row(self) -> TableRow:
        """All seeds as one row."""
        first = self.records[0]
        return TableRow(first.system, first.kind, list(self.records), list(self.snapshots))

    @property
    def stems(self) -> frozenset[str]:
        """The names of its records."""
        return frozenset(record.stem for record in self.records)

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

        With ``_window`` or ``_span`` at its end, only those of windows or of filled spans.
        Adherence to a single attribute (``adherence_key_builtin``) does not count to the family ``adherence``, and a
        distance by an attribute tagger counts to no family, because it is no measure of fidelity.
        """
        held = dict.fromkeys(name for record in self.records for name in record.metrics)
        if wanted in held:
            return [wanted]
        kind = of_whole_clips(wanted)
        ending = wanted.removeprefix(kind)
        found = [name for name in held if family(name) == kind and name.endswith(ending)]
        if kind in FIDELITY_FAMILIES:
            return [name for name in found if evaluator_of(name) not in TAGGERS]
        return [name for name in found if not (wanted == "adherence" and name.count("_") > 1)]

    def value(self, name: str) -> Metric:
        """A metric over all seeds."""
        return pooled(self.table, self.row, name)


class RecordIndex:
    """All records below a results folder, read once per study; ``problems``: what was left out, one line each."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.problems: list[str] = []
        self._held: dict[str, list[Record]] = {}
        self._found: dict[tuple[Any, ...], ArmRecords] = {}
        self._tables: dict[tuple[Any, ...], ResultTable] = {}
        self._compared: dict[tuple[Any, ...], list[PairedDifference]] = {}
        self._learning: dict[frozenset[str], str] = {}
        # Training -> (study, system) -> a snapshot of it; read once somebody asks.
        self._halfway: dict[Hashable, dict[tuple[str, str], Record]] | None = None

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
        key = (study, arm, repr(cell), run)
        if key not in self._found:
            self._found[key] = self._find(study, arm, cell or {}, run)
        return self._found[key]

    def _find(self, study: str, arm: str, cell: Mapping[str, Any], run: str) -> ArmRecords:
        folder = self.results / study
        if not self.records(study):
            return ArmRecords(study, folder, why=not_run(study, run))
        own = [r for r in self.records(study) if r.system == arm and has_values(r, cell) and r.ended]
        good = [r for r in own if r.status == "ok"]
        if good:
            seeds = self._seeds(study, good)
            return ArmRecords(
                study, folder, seeds, "", self._snapshots(study, seeds[-1]), self._references(study, seeds[-1])
            )
        name = arm + "".join(f", {key.rpartition('.')[2]} {value}" for key, value in cell.items())
        if own:
            return ArmRecords(study, folder, why=f"{name}: {own[-1].status}, {own[-1].reason}")
        return ArmRecords(study, folder, why=f"no record of {name} in {study}; `{run or f'bench run {study}'}`")

    def table_of(self, free: Iterable[str], rows: Iterable[str], arms: Iterable[ArmRecords]) -> ResultTable | None:
        """The table of a study that has all of these arms as its rows; None where there is none.

        Args:
            free, rows: what its records may differ in, and what makes a row, as for ``comparability.select``.
        """
        arms, key = list(arms), (tuple(free), tuple(rows))
        if len({arm.study for arm in arms}) > 1:
            return None
        place = (arms[0].study, *key)
        if place not in self._tables:
            self._tables[place] = make_table(arms[0].study, arms[0].folder, self.records(arms[0].study), *key)
        table = self._tables[place]
        return table if all(row_in(table, arm) for arm in arms) else None

    def table_p(self, free: Iterable[str], rows: Iterable[str], arms: Sequence[ArmRecords], name: str) -> float | None:
        """The corrected p-value of the study's table for a comparison of two arms; None where it has no such one."""
        table = self.table_of(free, rows, arms) if len(arms) == 2 else None
        if table is None:
            return None
        place = (table.study, tuple(free), tuple(rows))
        if place not in self._compared:
            self._compared[place] = compare_all(table)
        pair = {row.system for arm in arms if (row := row_in(table, arm))}
        found = (one for one in self._compared[place] if one.metric == name and {one.a, one.b} == pair)
        return next((one.judgement.p_adjusted for one in found), None)

    def still_learning(self, arm: ArmRecords) -> str:
        """Why an arm may not have stopped learning; empty where it has.

        A study that only samples has no snapshots of its own, and a tuned arm has none of the training before. Then
        those of another study count, of the same training.
        """
        if arm.stems not in self._learning:
            why = still_learning(arm.table, arm.row)
            others = self._same_training(arm) if why == NO_SNAPSHOT else ()
            found = [still_learning(other.table, other.row) for other in others]
            self._learning[arm.stems] = min([why, *found], key=lambda text: (text != "", text == NO_SNAPSHOT))
        return self._learning[arm.stems]

    def _same_training(self, arm: ArmRecords) -> Iterator[ArmRecords]:
        """Arms of other studies with the same weights and with snapshots."""
        if self._halfway is None:
            self._halfway = {}
            for study in studies_in(self.results):
                for record in self.records(study):
                    if record.status == "ok" and not record.ended:
                        self._halfway.setdefault(_training(record), {})[study, record.system] = record
        for (study, system), snapshot in self._halfway.get(_training(arm.records[-1]), {}).items():
            sampler = {key: value for key, value in flat(snapshot.cell).items() if within(key, ["sampler"])}
            found = self.find(study, system, sampler)
            if found.records and study != arm.study:
                yield found

    def _snapshots(self, study: str, end: Record) -> tuple[Record, ...]:
        """The good records of earlier updates of the trainings that ``end`` is the end of, of all seeds."""
        held = [r for r in self.records(study) if r.system == end.system and r.status == "ok" and not r.ended]
        return tuple(r for r in held if not differences(r, end, same_row=True))

    def _references(self, study: str, arm: Record) -> tuple[Record, ...]:
        """The references that were scored as an arm was; settings that references lack (temporal controls) are free."""
        found = {}
        for record in self.records(study):
            if record.kind == "reference" and record.status == "ok":
                own = settings(record)
                if not any(key in own for key in differences(record, arm)):
                    found[record.system] = record
        return tuple(found.values())

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


def row_in(table: ResultTable, arm: ArmRecords) -> TableRow | None:
    """The row of a table that holds exactly the records of an arm."""
    return next((row for row in table.rows if frozenset(record.stem for record in row.good) == arm.stems), None)


def _training(record: Record) -> Hashable:
    """The settings that decide the weights of a record, but for the seed."""
    held = settings(record).items()
    return tuple(sorted((k, repr(v)) for k, v in held if within(k, TRAINING) and not within(k, PER_RUN)))


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
