"""Which records a table may hold: one setting, the newest, and nothing that cannot stand beside it.

Records of one study can differ in setting (other budget, codec, evaluator, number of prompts). Rows of one table never
do: the board takes the setting of the newest arm and counts what it leaves out. Arms may differ in what a paradigm
needs by nature (attention mask, time input) and in options and samplers, which their records state; of one arm that was
measured with several, the newest stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import paradigms
from ...common.config import config_hash, flat
from ..metrics.metric import Metric
from ..study.references import CEILINGS, FLOORS
from .items import item_scores
from .records import Record, latest

BY_NATURE = ("causal", "time")  # backbone fields that a paradigm fixes itself
Items = dict[tuple[str, int], float]


@dataclass(frozen=True)
class Row:
    """One system: its records at the end of training, one per seed, and those of earlier snapshots."""

    system: str
    kind: str
    records: list[Record]
    snapshots: list[Record]

    @property
    def good(self) -> list[Record]:
        """The final records that have scores."""
        return [record for record in self.records if record.status == "ok"]


@dataclass(frozen=True)
class Board:
    """The rows of one study's tables; see the module's docstring.

    Attributes:
        folder: ``results/<study>``.
        rows: ceilings, floors, then arms.
        left_out: records of other settings, by what is different about them.
        pooled: figures over seeds that were asked for, since tables and figures ask for the same ones (scores.py).
        scored: scores per item that were asked for, by system and metric.
    """

    study: str
    folder: Path
    rows: list[Row]
    left_out: dict[str, int]
    pooled: dict[tuple[str, ...], Metric] = field(default_factory=dict, compare=False, repr=False)
    scored: dict[tuple[str, str], Items] = field(default_factory=dict, compare=False, repr=False)

    @property
    def arms(self) -> list[Row]:
        """The rows of paradigms."""
        return [row for row in self.rows if row.kind == "paradigm"]

    @property
    def runs(self) -> list[Record]:
        """The final records of all arms that have scores."""
        return [record for row in self.arms for record in row.good]

    @property
    def records(self) -> list[Record]:
        """All records of the tables."""
        return [record for row in self.rows for record in (*row.records, *row.snapshots)]

    def row(self, system: str) -> Row | None:
        """The row of ``system``."""
        return next((row for row in self.rows if row.system == system), None)

    def items(self, row: Row, metric: str) -> Items:
        """(prompt, seed) -> score of every item of a row; empty where the metric is not scored per item."""
        key = (row.system, metric)
        if key not in self.scored:
            self.scored[key] = {
                (item, record.seed): score
                for record in row.good
                for item, score in item_scores(self.folder, record, metric).items()
            }
        return self.scored[key]


def make_board(study: str, folder: Path, records: Sequence[Record]) -> Board:
    """The board of the newest setting among ``records`` (oldest first)."""
    held = list(latest(records).values())
    newest = max(held, key=lambda r: (r.kind == "paradigm", r.created))
    wanted = exam_of(newest)
    eval_set = [r for r in held if exam_of(r) == wanted]
    kept = [r for r in eval_set if r.kind != "paradigm" or setting_of(r) == setting_of(newest)]
    newest_of = {r.system: r for r in sorted(kept, key=lambda r: r.created)}
    kept = [r for r in kept if _arm(r) == _arm(newest_of[r.system])]
    ended = {r.system for r in kept if r.ended}
    kept = [r for r in kept if r.system in ended]  # weights of a snapshot never stand beside those of the end
    arms = sorted({(_rank(r), r.system) for r in kept if r.kind == "paradigm"})
    names = dict.fromkeys([*CEILINGS, *FLOORS, *(system for _, system in arms)])
    rows = [_row(name, [r for r in kept if r.system == name]) for name in names]
    left_out: dict[str, int] = {}
    for record in held:
        if record not in kept:
            what = _difference(record, newest_of.get(record.system, newest)) or "at_updates (of arms that have no end)"
            left_out[what] = left_out.get(what, 0) + 1
    return Board(study, folder, [row for row in rows if row.records], left_out)


def _rank(record: Record) -> int:
    """Arms stand in the order of the paradigms' registry, those of plugins last."""
    known = paradigms.names()
    name = record.cell.get("model", {}).get("paradigm", "")
    return known.index(name) if name in known else len(known)


def _row(system: str, records: list[Record]) -> Row:
    """Final records are those of the end of training; a seed measured twice counts once, the newer."""
    final = {r.seed: r for r in sorted(records, key=lambda r: r.created) if r.ended}
    kind = records[0].kind if records else ""
    snapshots = [r for r in records if not r.ended and r.status == "ok"]
    return Row(system, kind, [final[seed] for seed in sorted(final)], snapshots)


def exam_of(record: Record) -> str:
    """What decides scores for all systems alike: corpus and evaluation."""
    cell = record.cell
    return config_hash([cell["axis"], cell.get("version"), cell.get("data"), cell.get("evaluation")])


def setting_of(record: Record) -> str:
    """What is the same for all arms of a comparison: training and backbone."""
    return config_hash(comparable(record))


def _arm(record: Record) -> dict[str, Any]:
    """What an arm may choose for itself."""
    return {
        "options": record.cell.get("model", {}).get("options"),
        "sampler": record.cell.get("sampler"),
        "tune": record.cell.get("tune"),
    }


def comparable(record: Record) -> dict[str, Any]:
    """Training and backbone, but for what differs between arms by nature and between seeds."""
    train = {key: value for key, value in record.cell.get("train", {}).items() if key != "seed"}
    if "budget" in train:  # then it is the same for all arms, and buys each its own number of updates
        train.pop("updates")
    backbone = record.cell.get("model", {}).get("backbone", {})
    return {"train": train, "backbone": {key: value for key, value in backbone.items() if key not in BY_NATURE}}


def _difference(record: Record, newest: Record) -> str:
    """The first keys in which two settings differ, e.g. ``train.updates``."""
    parts = [{k: r.cell.get(k) for k in ("data", "evaluation", "version")} for r in (record, newest)]
    if record.kind == newest.kind == "paradigm":
        parts = [{**part, **comparable(r), **_arm(r)} for part, r in zip(parts, (record, newest))]
    there, here = (flat(part) for part in parts)
    return ", ".join([key for key in {**there, **here} if there.get(key) != here.get(key)][:3])
