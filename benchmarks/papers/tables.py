"""A declared table with its numbers: the published columns, a rule, then ours, each value with its records.

Our columns are named after the record's metric, evaluator included. They are in italics where they cannot be compared
with the published ones; a note says why. The CSV has a line per row and metric, with everything in plain.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.lines import count
from ..analysis.metric_validity import FAD_CLIPS
from ..analysis.published import PublishedResult
from ..analysis.records import Record, record_file
from ..metrics.catalogue import evaluator_of, family
from ..metrics.metric import Metric
from ..report.markup import Table, link
from ..report.scores import ARROWS, figure
from ..report.words import SEEDS
from .record_index import ArmRecords, RecordIndex, not_run, value_at, why_apart
from .requirements import LEARNT, Lack, in_words
from .table_specs import ColumnSpec, PaperSpec, RowSpec, TableSpec

RULE = "‖"
UNITS = {
    "frame_rate_hz": "{} Hz", "duration_s": "{} s", "decode_iterations": "{} iterations", "steps": "{} steps",
    "conditioning": "{}", "control": "{}", "decoding": "{}", "category": "{}", "text_encoder": "{}", "ablation": "{}",
    "mlp_layers": "{} layers", "pretrain_hours": "pre-trained on {} h", "train_hours": "trained on {} h",
}  # fmt: skip
FIELDS = (
    "sheet", "line", "column", "published", "uncertainty", "uncertainty_kind", "note", "arm", "metric", "value", "low",
    "high", "n", "seeds", "study", "evaluator", "comparable", "why", "records", "command",
)  # fmt: skip
Show = Callable[[Metric, ArmRecords], str]


@dataclass(frozen=True)
class TableCell:
    """Our value in a line and column: the full name of the metric, the metric, and the records it comes from."""

    name: str
    metric: Metric
    arm: ArmRecords


@dataclass(frozen=True)
class TableLine:
    """One line of a table.

    Attributes:
        published: index of a column -> the published number.
        ours: index of a column -> our values, one per evaluator.
        why: the reason for empty cells.
    """

    label: str
    published: dict[int, PublishedResult]
    ours: dict[int, list[TableCell]]
    why: str = ""

    @property
    def arms(self) -> list[ArmRecords]:
        """The records of the line, those of each setting once."""
        held = [cell.arm for cells in self.ours.values() for cell in cells]
        return list({id(arm): arm for arm in held}.values())


@dataclass(frozen=True)
class FilledTable:
    """A table with its lines.

    Attributes:
        apart: why our numbers cannot be compared with the paper's; empty where they can.
        refused: why our records cannot even stand beside each other; then none is shown.
        lacks: what our numbers lack before they can give a verdict on paradigms, in the words of the page of claims.
    """

    spec: TableSpec
    lines: list[TableLine]
    apart: list[str] = field(default_factory=list)
    refused: str = ""
    lacks: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """All records that are shown."""
        return [record for line in self.lines for arm in line.arms for record in arm.records]


def fill(paper: PaperSpec, spec: TableSpec, published: Sequence[PublishedResult], index: RecordIndex) -> FilledTable:
    """Put the published numbers of a table and ours into its lines."""
    own = [one for one in published if one.paper == paper.key and one.table in spec.printed_in]
    lines = [_published_line(paper, spec, key, found, index) for key, found in _grouped(spec, own).items()]
    lines += [_line(paper, spec, row, row.label or row.arm, {}, index) for row in spec.rows if not row.system]
    refused = why_apart((arm for line in lines for arm in line.arms), spec.free)
    if refused:
        lines = [TableLine(line.label, line.published, {}, refused) for line in lines]
    filled = FilledTable(spec, lines, refused=refused)
    filled.apart.extend(differences_from_paper(paper, filled.records))
    filled.lacks.extend(_lacks(lines, index))
    return filled


def _lacks(lines: Sequence[TableLine], index: RecordIndex) -> list[str]:
    """What the trained arms of a table, and its metrics, lack before they can give a verdict."""
    arms = {id(arm): arm for line in lines for arm in line.arms if arm.records[0].config.train is not None}
    lacks = [Lack(LEARNT, why, (arm.row.system,)) for arm in arms.values() if (why := index.still_learning(arm))]
    for arm in arms.values():
        if (seeds := len({record.seed for record in arm.records})) < SEEDS:
            lacks.append(Lack(count(SEEDS, "training seed"), count(seeds, "seed"), (arm.row.system,)))
    cells = [cell for line in lines for held in line.ours.values() for cell in held]
    small = [
        cell.name
        for cell in cells
        if family(cell.name) == "fad" and cell.arm.records[0].metrics[cell.name].n < FAD_CLIPS
    ]
    lacks += (
        [Lack(f"{count(FAD_CLIPS, 'clip')} in each set for FAD", "of fewer clips it is mostly bias")] if small else []
    )
    return in_words(lacks)


def differences_from_paper(paper: PaperSpec, records: Sequence[Record]) -> list[str]:
    """How these records differ from the paper's conditions, in words; empty where they do not."""
    reasons: dict[str, None] = {}
    conditions = paper.conditions
    for record in records:
        stated, corpus = record.config.evaluation, record.config.data.corpus.name
        evaluators = [one.name for one in (*stated.judges, stated.evaluator) if one.name]
        hardware = value_at(record, "setting.hardware")
        if evaluators and not set(evaluators) & set(conditions.evaluators):
            reasons[f"judged by {' and '.join(f'`{name}`' for name in evaluators)}, there {conditions.evaluator}"] = (
                None
            )
        if evaluators and corpus not in conditions.corpora:
            reasons[f"corpus `{corpus}`, there {conditions.corpus}"] = None
        if hardware and hardware != conditions.hardware:
            reasons[f"timed on {hardware} ({value_at(record, 'setting.device')}), there {conditions.hardware}"] = None
        reasons.update(dict.fromkeys(_smaller(paper, record)))
    return list(reasons)


def _smaller(paper: PaperSpec, record: Record) -> list[str]:
    conditions, model, train = paper.conditions, record.config.model, record.config.train
    if model is None or (model.backbone.n_layers, model.backbone.d_model) >= (conditions.layers, conditions.width):
        return []
    text = f"{count(model.backbone.n_layers, 'layer')} of width {model.backbone.d_model}"
    if train:
        text += f", {count(train.updates, 'update')} of {train.batch} × {train.seconds:g} s"
    there = f"{count(conditions.layers, 'layer')} of width {conditions.width}, {conditions.budget}"
    return [f"scale: {text}, there {there}"]


def _grouped(spec: TableSpec, published: Sequence[PublishedResult]) -> dict[tuple[str, ...], list[PublishedResult]]:
    """Lines of the published table: system and the values of ``by``, in the paper's order."""
    found: dict[tuple[str, ...], list[PublishedResult]] = {}
    for one in published:
        found.setdefault((one.system, *(one.setting.get(key, "") for key in spec.by)), []).append(one)
    return found


def _published_line(
    paper: PaperSpec, spec: TableSpec, key: tuple[str, ...], found: Sequence[PublishedResult], index: RecordIndex
) -> TableLine:
    system, setting = key[0], {name: value for one in found for name, value in one.setting.items()}
    cells = {}
    for i, column in enumerate(spec.columns):
        match = [one for one in found if one.metric == column.metric and column.where.items() <= one.setting.items()]
        if match:
            cells[i] = match[0]
    row = next((r for r in spec.rows if r.system in (system, "*") and r.where.items() <= setting.items()), None)
    settings = ", ".join(_with_unit(name, value) for name, value in zip(spec.by, key[1:]) if value)
    label = (row.label if row else "") or ", ".join(part for part in (system, settings) if part)
    return _line(paper, spec, row or RowSpec(why=spec.why or paper.other), label, cells, index)


def _line(
    paper: PaperSpec, spec: TableSpec, row: RowSpec, label: str, published: dict[int, PublishedResult],
    index: RecordIndex,
) -> TableLine:  # fmt: skip
    study = row.study or spec.study
    if not row.arm:
        return TableLine(label, published, {}, row.why or spec.why or (not_run(study) if study else paper.other))
    ours: dict[int, list[TableCell]] = {}
    found: dict[str, ArmRecords] = {}
    for i, column in enumerate(spec.columns):
        if column.ours:
            wanted = {**row.cell, **column.cell}
            if repr(wanted) not in found:
                found[repr(wanted)] = index.find(study, row.arm, wanted, row.run or spec.run)
            arm = found[repr(wanted)]
            cells = [TableCell(name, arm.value(name), arm) for name in arm.metrics(column.ours)]
            ours |= {i: cells} if cells else {}
    why = next((arm.why for arm in found.values() if arm.why), "its records have no such metric")
    return TableLine(label, published, ours, row.why if ours else why)


def _with_unit(setting: str, value: str) -> str:
    """``25 Hz``, ``64 iterations``, ``batch 8``."""
    return UNITS.get(setting, f"{setting.replace('_', ' ')} {{}}").format(value)


def as_markdown(paper: PaperSpec, filled: FilledTable, home: Path) -> str:
    """The table for a page in the folder ``home``: values link to their records."""

    def show(metric: Metric, arm: ArmRecords) -> str:
        value, space, bounds = figure(metric).partition(" ")
        return link(value, record_file(arm.folder, arm.records[0]), home) + space + bounds

    def records(arm: ArmRecords) -> str:
        return " ".join(link(f"s{r.seed}", record_file(arm.folder, r), home) for r in arm.records)

    return _table(paper, filled, show, records).markdown()


def as_latex(paper: PaperSpec, filled: FilledTable) -> str:
    """The table with booktabs' rules, the two groups of columns under headings of their own."""
    table = _table(paper, filled, lambda metric, _: figure(metric), None)
    body = table.latex()
    split = table.header.index(_rule(filled)) if _rule(filled) in table.header else len(table.header)
    first, second = max(split - 1, 0), len(table.header) - split
    groups = rf" & \multicolumn{{{first}}}{{c}}{{published}}"
    rules = rf"\cmidrule(lr){{2-{split}}}"
    if second:
        words = "here, not comparable" if filled.apart else "here"
        groups += rf" & \multicolumn{{{second}}}{{c}}{{{words}}}"
        rules += rf"\cmidrule(lr){{{split + 1}-{split + second}}}"
    body = re.sub(r"\*([^*&]+)\*", r"\\textit{\1}", body)
    return body.replace("\\toprule\n", f"\\toprule\n{groups} \\\\\n{rules}\n", 1).replace(RULE, r"$\Vert$")


def as_csv(filled: FilledTable) -> str:
    """Every number of the table, published and ours, a line each."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for line in filled.lines:
        for i, column in enumerate(filled.spec.columns):
            stated = line.published.get(i)
            row = {"sheet": filled.spec.id, "line": line.label, "column": column.title, "why": line.why}
            if stated is not None:
                row |= {"published": stated.value, "uncertainty": stated.uncertainty}
                row |= {"uncertainty_kind": stated.uncertainty_kind, "note": stated.note}
            cells = line.ours.get(i, [])
            for cell in cells:
                writer.writerow({**row, **_own_fields(cell), "comparable": not filled.apart})
            if not cells and stated is not None:
                writer.writerow(row)
    return buffer.getvalue()


def _own_fields(cell: TableCell) -> dict[str, object]:
    arm, metric = cell.arm, cell.metric
    first, bounds = arm.records[0], {"value": metric.value, "low": metric.low, "high": metric.high}
    return {
        **{key: "" if value is None else f"{value:.6g}" for key, value in bounds.items()},
        "metric": cell.name, "n": metric.n, "arm": first.system, "seeds": " ".join(str(r.seed) for r in arm.records),
        "study": arm.study, "evaluator": evaluator_of(cell.name),
        "records": " ".join(arm.names), "command": arm.command,
    }  # fmt: skip


def _table(paper: PaperSpec, filled: FilledTable, show: Show, records: Callable[[ArmRecords], str] | None) -> Table:
    columns, lines = filled.spec.columns, filled.lines
    printed = [i for i in range(len(columns)) if any(i in line.published for line in lines)]
    names = [dict.fromkeys(cell.name for line in lines for cell in line.ours.get(i, [])) for i in range(len(columns))]
    own = [(i, name) for i, held in enumerate(names) for name in held]
    header = ["", *(f"{columns[i].title}{_arrow(lines, i)}" for i in printed)]
    header += [_rule(filled), *(_heading(columns[i], lines, i, name, filled) for i, name in own)]
    if own:
        header += ["n"] + (["records"] if records else [])
    notes: dict[str, str] = {}
    body = []
    for line in lines:
        row = [line.label, *(_published_text(line.published.get(i), notes) for i in printed)]
        row.append(_arm_names(line) if line.ours else f"– {_mark(notes, line.why)}" if line.why else "–")
        row += [_own_text(line, i, name, show) for i, name in own]
        if own:
            counts = sorted({cell.metric.n for cells in line.ours.values() for cell in cells})
            row.append(" to ".join(str(n) for n in sorted({counts[0], counts[-1]})) if counts else "")
            row += [" ".join(dict.fromkeys(records(arm) for arm in line.arms))] if records else []
        body.append(row)
    below = [*_lines_below(paper, filled, printed), *(f"({mark}) {text}." for text, mark in notes.items())]
    return Table(header, body, notes=tuple(below))


def _lines_below(paper: PaperSpec, filled: FilledTable, printed: list[int]) -> list[str]:
    """What stands below a table: why ours are not comparable, the commands, and columns without a counterpart."""
    lines = []
    if filled.apart:
        lines.append(f"{RULE} Here, not comparable with the published columns: {'; '.join(filled.apart)}.")
    if filled.lacks:
        lines.append(f"No verdict on paradigms rests on the numbers here. Missing: {'; '.join(filled.lacks)}.")
    commands = dict.fromkeys(arm.command for line in filled.lines for arm in line.arms if arm.command)
    if commands:
        lines.append("Made by " + ", ".join(f"`{command}`" for command in commands) + ".")
    absent: dict[str, list[str]] = {}
    for column in (filled.spec.columns[i] for i in printed):
        if column.metric in paper.absent and not column.cell:
            absent.setdefault(paper.absent[column.metric], []).append(column.title)
    return [*lines, *(f"{', '.join(titles)}: {why}." for why, titles in absent.items())]


def _rule(filled: FilledTable) -> str:
    return f"{RULE} here" + (", not comparable" if filled.apart else "")


def _arrow(lines: list[TableLine], i: int) -> str:
    return ARROWS.get(next((line.published[i].better for line in lines if i in line.published), ""), "")


def _heading(column: ColumnSpec, lines: list[TableLine], i: int, name: str, filled: FilledTable) -> str:
    better = next(cell.metric.better for line in lines for cell in line.ours.get(i, []) if cell.name == name)
    title = f"{name}, {column.title}" if column.cell else name
    return f"*{title}{ARROWS[better]}*" if filled.apart else f"{title}{ARROWS[better]}"


def _published_text(one: PublishedResult | None, notes: dict[str, str]) -> str:
    if one is None:
        return ""
    if not one.value:
        return f"? {_mark(notes, one.note or 'not readable in the paper')}"
    return f"{one.value} ± {one.uncertainty}" if one.uncertainty else one.value


def _arm_names(line: TableLine) -> str:
    return ", ".join(dict.fromkeys(f"{arm.records[0].system} ({arm.study})" for arm in line.arms))


def _own_text(line: TableLine, i: int, name: str, show: Show) -> str:
    return next((show(cell.metric, cell.arm) for cell in line.ours.get(i, []) if cell.name == name), "")


def _mark(notes: dict[str, str], text: str) -> str:
    """A letter for a note, the same for the same note."""
    letters, number = "abcdefghijklmnopqrstuvwxyz", len(notes)
    return f"({notes.setdefault(text.rstrip('.'), letters[number % 26] * (1 + number // 26))})"
