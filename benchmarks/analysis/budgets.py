"""The same arms on equal terms of another kind: at equal updates, at equal training FLOPs, at equal time.

Arms that rank one way after as many updates may rank another way after as much computation, since an update of one
paradigm costs more than that of another. There are two sources:

- ``twins``: other studies in the same results folder that agree with a study in everything but the training budget.
  Each was trained for its budget, with a schedule that fits it, so its scores compare as they stand.
- ``read_off``: the snapshots of one training, between which scores are interpolated. That costs nothing, but a snapshot
  is from the middle of a schedule, before the learning rate has fallen, unless the schedule is constant.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .comparability import device_kind, differences
from .packs import PACK, studies_in
from .records import Record, load_typed
from .result_table import ResultTable, TableRow, make_table

Axis = Literal["updates", "flops", "seconds"]
UNITS: dict[str, Axis] = {"flops": "flops", "wall_seconds": "seconds"}  # unit of a budget -> what is equal
# What a study with another budget may change: the budget, and what is measured beside the scores.
FREE = ("train.budget", "train.updates", "train.warmup", "evaluation.replication")
NEEDED = 2  # arms that two studies must share


@dataclass(frozen=True)
class Twin:
    """The table of a study whose arms were trained on another budget.

    Attributes:
        equal: what its arms have in equal amounts.
        amount: of it: operations, or seconds.
    """

    equal: Axis
    amount: float
    table: ResultTable


def twins(table: ResultTable) -> list[Twin]:
    """The studies beside a table's that have its arms on another budget; none for a table of such a study."""
    ends = {row.system: row.good[0] for row in table.arms if row.good}
    if any(_unit(record) in UNITS for record in ends.values()):
        return []
    found = []
    for study, records in _budgeted(table.folder.parent, _state(table.folder.parent)).items():
        alike = [r for r in records if r.system in ends and not _differ(r, ends[r.system])]
        if study == table.study or len({record.system for record in alike}) < NEEDED:
            continue
        own = make_table(study, table.folder.parent / study, load_typed(table.folder.parent / study)[0])
        budget = next(r.config.train.budget for r in alike if r.config.train is not None)
        found.append(Twin(UNITS[budget.unit], budget.amount, own))
    return sorted(found, key=lambda twin: (list(UNITS.values()).index(twin.equal), twin.amount))


@dataclass(frozen=True)
class Course:
    """How a score of one arm developed, in the mean over seeds, from the first snapshot to the end.

    Attributes:
        updates, flops, seconds: at each point, ascending; flops is NaN where it was not counted.
        scores: there.
    """

    updates: tuple[float, ...]
    flops: tuple[float, ...]
    seconds: tuple[float, ...]
    scores: tuple[float, ...]

    def at(self, axis: Axis, amount: float) -> float | None:
        """The score at ``amount``, on the line between the two nearest points; None outside of them."""
        places = getattr(self, axis)
        if not places or any(map(math.isnan, places)) or not places[0] <= amount <= places[-1] * (1 + 1e-9):
            return None
        return float(np.interp(amount, places, self.scores))


def course(row: TableRow, metric: str) -> Course:
    """The course of a metric; empty where no record at the end of training has it."""
    points: dict[int, list[tuple[float, float, float]]] = {}
    ends = [record.training.updates for record in row.good if record.training]
    for record in [*row.snapshots, *row.good]:
        value = record.metrics[metric].value if metric in record.metrics else None
        if record.training is None or value is None:
            continue
        cost = record.training
        seconds = cost.wall_seconds if device_kind(record) not in ("", "cpu") else cost.cpu_seconds
        # The end is one point, although runs that the validation loss ends differ in length.
        at = max(ends) if record.ended else cost.updates
        points.setdefault(at, []).append((math.nan if cost.flops is None else cost.flops, seconds, value))
    updates = sorted(points)
    means = [tuple(map(float, np.mean(points[at], axis=0))) for at in updates]
    columns = list(zip(*means)) or [(), (), ()]
    return Course(tuple(map(float, updates)), *columns)


def read_off(courses: Mapping[str, Course], axis: Axis) -> tuple[float | None, dict[str, float]]:
    """The scores of all arms at the largest amount that each of them has reached.

    Returns:
        That amount, and arm -> score; None and nothing where an arm does not state it, or has its first snapshot later.
    """
    last = [getattr(one, axis)[-1] if one.updates else math.nan for one in courses.values()]
    if not last or any(map(math.isnan, last)):
        return None, {}
    scores = {arm: one.at(axis, min(last)) for arm, one in courses.items()}
    known = {arm: score for arm, score in scores.items() if score is not None}
    return (min(last), known) if len(known) == len(courses) else (None, {})


def _differ(record: Record, other: Record) -> list[str]:
    return differences(record, other, FREE, same_row=True)


def _unit(record: Record) -> str:
    train = record.config.train
    return "" if train is None else train.budget.unit


@functools.lru_cache(maxsize=4)
def _budgeted(results: Path, state: tuple[tuple[str, int], ...]) -> Mapping[str, Sequence[Record]]:
    """Study -> its arms that were trained on a budget in FLOPs or time. ``state`` changes where records are added."""
    held = {name: load_typed(results / name)[0] for name, _ in state}
    chosen = {
        name: [r for r in records if r.kind == "paradigm" and _unit(r) in UNITS] for name, records in held.items()
    }
    return {name: [r for r in records if r.status == "ok"] for name, records in chosen.items() if records}


def _state(results: Path) -> tuple[tuple[str, int], ...]:
    """The studies in a results folder, each with when its records changed."""
    places = {name: [results / name / part for part in (PACK, "records")] for name in studies_in(results)}
    return tuple((name, max(p.stat().st_mtime_ns for p in paths if p.exists())) for name, paths in places.items())
