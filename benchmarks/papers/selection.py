"""Our records for a line, a curve or a contrast: chosen by study, arm and settings, or the reason why there are none.

Of one arm and seed the newest record speaks. Records that stand together must have been judged alike: same corpus,
representation, evaluator, prompts and protocol. Where they were not, the choice is refused and both are named.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.config import flat
from ..analysis.pooling import pooled
from ..analysis.records import Record, latest, load_records
from ..analysis.result_table import Board, Row
from ..metrics.catalogue import family
from ..metrics.metric import Metric
from ..study.study import study_names

JUDGED_BY = ("axis", "version", "data", "evaluation", "protocol")
# When sampling of times ends: that decides how wide a median's interval is, not what is measured.
PRECISION = frozenset(f"protocol.{key}" for key in ("samples", "seconds", "spread", "cap_samples", "cap_seconds"))


@dataclass(frozen=True)
class Choice:
    """The records of one arm, a seed each; none: ``why`` says what is missing and how to make it."""

    study: str
    folder: Path
    records: tuple[Record, ...] = ()
    why: str = ""

    @functools.cached_property
    def board(self) -> Board:
        """For pooling seeds and pairing items, as the chapter on fidelity does."""
        return Board(self.study, self.folder, [self.row], {})

    @functools.cached_property
    def row(self) -> Row:
        """All seeds as one row."""
        first = self.records[0]
        return Row(first.system, first.kind, list(self.records), [])

    @property
    def names(self) -> list[str]:
        """The records' names below the results folder, the same whether they are packed or not."""
        return [f"{self.study}/records/{record.stem}.json" for record in self.records]

    @property
    def command(self) -> str:
        """What made the newest of them."""
        return max(self.records, key=lambda r: r.created).command if self.records else ""

    def metrics(self, wanted: str) -> list[str]:
        """Full names of the records' metrics of a family, those of single attributes apart, or the metric so called."""
        held = dict.fromkeys(name for record in self.records for name in record.metrics)
        if wanted in held:
            return [wanted]
        return [name for name in held if family(name) == wanted and not _detail(name, wanted)]

    def figure(self, name: str) -> Metric:
        """A metric over all seeds."""
        return pooled(self.board, self.row, name)


class Library:
    """All records below a results folder, read once per study; ``problems``: files that are no good records."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.problems: list[str] = []
        self._held: dict[str, list[Record]] = {}

    def records(self, study: str) -> list[Record]:
        """The records that speak for a study's cells, oldest first; none where it has not run."""
        if study not in self._held:
            found, problems = load_records(self.results / study)
            self.problems += problems
            self._held[study] = sorted(latest(found).values(), key=lambda r: r.created)
        return self._held[study]

    def choose(self, study: str, arm: str, cell: Mapping[str, Any] | None = None, run: str = "") -> Choice:
        """The newest record of each seed of ``arm`` at the end of its training.

        Args:
            cell: what their cells must have, by dotted key; a list means any of its values.
            run: the command that makes them, where it is not ``bench run <study>``.
        """
        folder = self.results / study
        if not self.records(study):
            return Choice(study, folder, why=missing(study, run))
        own = [r for r in self.records(study) if r.system == arm and fits(r, cell or {}) and r.ended]
        good = {record.seed: record for record in own if record.status == "ok"}
        if good:
            return Choice(study, folder, tuple(good[seed] for seed in sorted(good)))
        told = f"{arm}" + "".join(f", {key.rpartition('.')[2]} {value}" for key, value in (cell or {}).items())
        if own:
            return Choice(study, folder, why=f"{told}: {own[-1].status}, {own[-1].reason}")
        return Choice(study, folder, why=f"no record of {told} in {study}; `{run or f'bench run {study}'}`")


def missing(study: str, run: str = "") -> str:
    """Says that a study has not run, and how to run it."""
    if study not in study_names():
        return f"no study `{study}` comes with the suite yet"
    return f"study `{study}` has not run here; `{run or f'bench run {study}'}` runs it"


def fits(record: Record, cell: Mapping[str, Any]) -> bool:
    """Whether a record's cell has these values at these dotted keys; of a list, any."""
    held = flat(record.cell) if cell else {}
    return all(held.get(key) in (value if isinstance(value, list) else [value]) for key, value in cell.items())


def value_at(record: Record, key: str) -> Any:
    """The value at a dotted key of the record's cell; ``system`` is the arm's label."""
    return record.system if key == "system" else flat(record.cell).get(key)


def mixed(choices: Iterable[Choice], varies: Sequence[str] = ()) -> str:
    """Why these records cannot share a table: two of them, named, that were judged differently; empty where all can.

    Args:
        varies: dotted prefixes in which they may differ.
    """
    first: tuple[Choice, Record] | None = None
    for choice in choices:
        for record in choice.records:
            if first is None:
                first = choice, record
                continue
            there, here = _judged(first[1], varies), _judged(record, varies)
            differ = [key for key in {**there, **here} if there.get(key) != here.get(key)]
            if differ:
                key = differ[0]
                names = [f"{c.study}/records/{r.stem}.json" for c, r in (first, (choice, record))]
                told = [f"{name} ({key}: {held.get(key)})" for name, held in zip(names, (there, here))]
                return f"refused: {' and '.join(told)} were judged differently; measure both anew, alike"
    return ""


def _judged(record: Record, varies: Sequence[str]) -> dict[str, Any]:
    held = flat({key: record.cell.get(key) for key in JUDGED_BY if key in record.cell})
    held = {key: value for key, value in held.items() if key not in PRECISION}
    kept = {key: value for key, value in held.items() if not key.startswith(tuple(varies))} if varies else held
    return {"schema_version": record.schema_version, **kept}


def _detail(name: str, wanted: str) -> bool:
    """``adherence_key_builtin`` is a detail of ``adherence``."""
    return wanted == "adherence" and name.count("_") > 1
