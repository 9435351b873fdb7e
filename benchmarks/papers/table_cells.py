"""A declared sheet, filled: for every line the published numbers and ours, and what keeps the two apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...common.lines import count
from ..analysis.published import Stated
from ..analysis.records import Record
from ..metrics.metric import Metric
from .selection import Choice, Library, missing, mixed
from .table_specs import Column, Paper, Row, Sheet

UNITS = {
    "frame_rate_hz": "{} Hz", "duration_s": "{} s", "decode_iterations": "{} iterations", "steps": "{} steps",
    "conditioning": "{}", "control": "{}", "decoding": "{}", "category": "{}", "text_encoder": "{}", "ablation": "{}",
    "mlp_layers": "{} layers", "pretrain_hours": "pre-trained on {} h", "train_hours": "trained on {} h",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Our figure for a line and column, named as its record names it, and the records it is from."""

    name: str
    metric: Metric
    choice: Choice


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        stated: column index -> the published figure.
        ours: column index -> our figures, one per evaluator.
        why: the reason for empty cells.
    """

    label: str
    stated: dict[int, Stated]
    ours: dict[int, list[Cell]]
    why: str = ""

    @property
    def choices(self) -> list[Choice]:
        """All records of the line, each choice once."""
        held = [cell.choice for cells in self.ours.values() for cell in cells]
        return list({id(choice): choice for choice in held}.values())


@dataclass(frozen=True)
class Filled:
    """A sheet with its lines; ``apart``: why our numbers cannot be compared with the paper's (empty: they can).

    ``refused``: the records do not stand together either, so that none is shown.
    """

    sheet: Sheet
    lines: list[Line]
    apart: list[str] = field(default_factory=list)
    refused: str = ""

    @property
    def records(self) -> list[Record]:
        """All records shown."""
        return [record for line in self.lines for choice in line.choices for record in choice.records]


def fill(paper: Paper, sheet: Sheet, stated: Sequence[Stated], library: Library) -> Filled:
    """Match a sheet's published lines with our records."""
    own = [one for one in stated if one.paper == paper.key and one.table in sheet.tables]
    lines = [_published_line(paper, sheet, key, found, library) for key, found in _grouped(sheet, own).items()]
    for row in sheet.rows:
        if not row.system:
            lines.append(_line(paper, sheet, row, row.label or row.arm, {}, library))
    refused = mixed((choice for line in lines for choice in line.choices), sheet.varies)
    if refused:
        lines = [Line(line.label, line.stated, {}, refused) for line in lines]
    records = [record for line in lines for choice in line.choices for record in choice.records]
    return Filled(sheet, lines, apart(paper, records), refused)


def apart(paper: Paper, records: Sequence[Record]) -> list[str]:
    """What sets these records apart from the paper's conditions, in words; empty where nothing does."""
    reasons: dict[str, None] = {}
    conditions = paper.conditions
    for record in records:
        cell = record.cell
        eval_set, setting = cell.get("evaluation"), cell.get("setting")
        if eval_set:
            evaluator, corpus = eval_set["evaluator"]["name"], cell["data"]["corpus"]["name"]
            if evaluator not in conditions.evaluators:
                reasons[f"evaluator `{evaluator}`, there {conditions.evaluator}"] = None
            if corpus not in conditions.corpora:
                reasons[f"corpus `{corpus}`, there {conditions.corpus}"] = None
        if setting and setting.get("hardware") != conditions.hardware:
            reasons[f"timed on {setting.get('hardware')} ({setting.get('device')}), there {conditions.hardware}"] = None
        reasons.update(dict.fromkeys(_scale(paper, record)))
    return list(reasons)


def _scale(paper: Paper, record: Record) -> list[str]:
    backbone, train = record.cell.get("model", {}).get("backbone"), record.cell.get("train")
    conditions = paper.conditions
    if not backbone or (backbone["n_layers"], backbone["d_model"]) >= (conditions.layers, conditions.width):
        return []
    told = f"{count(backbone['n_layers'], 'layer')} of width {backbone['d_model']}"
    if train:
        told += f", {count(train['updates'], 'update')} of {train['batch']} × {train['seconds']:g} s"
    return [
        f"scale: {told}, there {count(conditions.layers, 'layer')} of width {conditions.width}, {conditions.budget}"
    ]


def _grouped(sheet: Sheet, stated: Sequence[Stated]) -> dict[tuple[str, ...], list[Stated]]:
    """Lines of the published table: system and the values of ``by``, in the paper's order."""
    found: dict[tuple[str, ...], list[Stated]] = {}
    for one in stated:
        found.setdefault((one.system, *(one.setting.get(key, "") for key in sheet.by)), []).append(one)
    return found


def _published_line(
    paper: Paper, sheet: Sheet, key: tuple[str, ...], found: Sequence[Stated], library: Library
) -> Line:
    system, setting = key[0], {name: value for one in found for name, value in one.setting.items()}
    cells = {}
    for i, column in enumerate(sheet.columns):
        match = [one for one in found if one.metric == column.metric and column.where.items() <= one.setting.items()]
        if match:
            cells[i] = match[0]
    row = next((r for r in sheet.rows if r.system in (system, "*") and r.where.items() <= setting.items()), None)
    named = ", ".join(f"{_named(name, value)}" for name, value in zip(sheet.by, key[1:]) if value)
    label = (row.label if row else "") or ", ".join(part for part in (system, named) if part)
    return _line(paper, sheet, row or Row(why=sheet.why or paper.other), label, cells, library)


def _line(paper: Paper, sheet: Sheet, row: Row, label: str, stated: dict[int, Stated], library: Library) -> Line:
    study = row.study or sheet.study
    if not row.arm:
        why = row.why or sheet.why or (missing(study) if study else paper.other)
        return Line(label, stated, {}, why)
    ours: dict[int, list[Cell]] = {}
    found: dict[str, Choice] = {}
    for i, column in enumerate(sheet.columns):
        if column.ours:
            wanted = {**row.cell, **column.cell}
            choice = found.setdefault(repr(wanted), library.choose(study, row.arm, wanted, row.run or sheet.run))
            cells = [Cell(name, choice.figure(name), choice) for name in choice.metrics(column.ours)]
            ours |= {i: cells} if cells else {}
    why = next((choice.why for choice in found.values() if choice.why), "its records have no such metric")
    return Line(label, stated, ours, row.why if ours else why)


def _named(setting: str, value: str) -> str:
    """``25 Hz``, ``64 iterations``, ``batch 8``."""
    return UNITS.get(setting, f"{setting.replace('_', ' ')} {{}}").format(value)


def absent(paper: Paper, columns: Sequence[Column]) -> dict[str, list[str]]:
    """Why columns have no counterpart here -> their names."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if column.metric in paper.absent and not column.cell:
            found.setdefault(paper.absent[column.metric], []).append(column.title)
    return found
