"""A filled sheet as a table: published columns, a rule, then ours in a group of their own, each with its records.

Ours carry the name of the record's metric, evaluator included, and stand in italics where they cannot be compared with
the published ones; a note says what sets them apart. CSV is long: a line per row and metric, with everything in plain.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from ..analysis.published import Stated
from ..analysis.records import record_file
from ..axes.fidelity.report.tables import ARROWS, figure
from ..metrics.metric import Metric
from ..report.markup import link
from ..report.table import Table
from .selection import Choice
from .table_cells import Filled, Line, absent
from .table_specs import Column, Paper

RULE = "‖"
Show = Callable[[Metric, Choice], str]
FIELDS = (
    "sheet", "line", "column", "published", "uncertainty", "uncertainty_kind", "note", "arm", "metric", "value", "low",
    "high", "n", "seeds", "study", "evaluator", "comparable", "why", "records", "command",
)  # fmt: skip


def markdown(paper: Paper, filled: Filled, home: Path) -> str:
    """The table for a page in the folder ``home``: figures link to their records."""

    def show(metric: Metric, choice: Choice) -> str:
        value, space, bounds = figure(metric).partition(" ")
        return link(value, record_file(choice.folder, choice.records[0]), home) + space + bounds

    return _table(paper, filled, show, lambda choice: _records(choice, home)).markdown()


def latex(paper: Paper, filled: Filled) -> str:
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


def long_csv(filled: Filled) -> str:
    """Every figure of the sheet, published and ours, a line each."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for line in filled.lines:
        for i, column in enumerate(filled.sheet.columns):
            stated = line.stated.get(i)
            row = {"sheet": filled.sheet.id, "line": line.label, "column": column.title, "why": line.why}
            if stated is not None:
                row |= {key: getattr(stated, "value" if key == "published" else key) for key in FIELDS[3:7]}
            cells = line.ours.get(i, [])
            for cell in cells:
                writer.writerow({**row, **_own(cell.name, cell.metric, cell.choice), "comparable": not filled.apart})
            if not cells and stated is not None:
                writer.writerow(row)
    return buffer.getvalue()


def _own(name: str, metric: Metric, choice: Choice) -> dict[str, object]:
    first = choice.records[0]
    bounds = {"value": metric.value, "low": metric.low, "high": metric.high}
    return {
        **{key: "" if value is None else f"{value:.6g}" for key, value in bounds.items()},
        "metric": name, "n": metric.n, "arm": first.system, "seeds": " ".join(str(r.seed) for r in choice.records),
        "study": choice.study, "evaluator": first.cell.get("evaluation", {}).get("evaluator", {}).get("name", ""),
        "records": " ".join(choice.names), "command": choice.command,
    }  # fmt: skip


def _table(paper: Paper, filled: Filled, show: Show, records: Callable[[Choice], str] | None) -> Table:
    columns, lines = filled.sheet.columns, filled.lines
    printed = [i for i in range(len(columns)) if any(i in line.stated for line in lines)]
    own = [(i, name) for i in range(len(columns)) for name in _names(lines, i)]
    header = ["", *(f"{columns[i].title}{_arrow(lines, i)}" for i in printed)]
    notes: dict[str, str] = {}
    header += [_rule(filled), *(_heading(columns[i], lines, i, name, filled) for i, name in own)]
    if own:
        header += ["n"] + (["records"] if records else [])
    body = []
    for line in lines:
        row = [line.label, *(_stated(line.stated.get(i), notes) for i in printed)]
        row.append(_arm(line) if line.ours else f"– {_mark(notes, line.why)}" if line.why else "–")
        row += [_figures(line, i, name, show) for i, name in own]
        if own:
            choices = line.choices
            counts = sorted({cell.metric.n for cells in line.ours.values() for cell in cells})
            row += [" to ".join(str(n) for n in sorted({counts[0], counts[-1]})) if counts else ""]
            row += [" ".join(dict.fromkeys(records(choice) for choice in choices))] if records else []
        body.append(row)
    return Table(
        header, body, notes=(*_told(paper, filled, printed), *(f"({mark}) {text}." for text, mark in notes.items()))
    )


def _told(paper: Paper, filled: Filled, printed: list[int]) -> list[str]:
    """What stands below: what sets ours apart, the commands, columns without a counterpart."""
    told = []
    if filled.apart:
        told.append(f"{RULE} Here, not comparable with the published columns: {'; '.join(filled.apart)}.")
    commands = dict.fromkeys(choice.command for line in filled.lines for choice in line.choices if choice.command)
    if commands:
        told.append("Made by " + ", ".join(f"`{command}`" for command in commands) + ".")
    for why, titles in absent(paper, [filled.sheet.columns[i] for i in printed]).items():
        told.append(f"{', '.join(titles)}: {why}.")
    return told


def _names(lines: list[Line], i: int) -> list[str]:
    return list(dict.fromkeys(cell.name for line in lines for cell in line.ours.get(i, [])))


def _rule(filled: Filled) -> str:
    return f"{RULE} here" + (", not comparable" if filled.apart else "")


def _arrow(lines: list[Line], i: int) -> str:
    return ARROWS.get(next((line.stated[i].better for line in lines if i in line.stated), ""), "")


def _heading(column: Column, lines: list[Line], i: int, name: str, filled: Filled) -> str:
    better = next(cell.metric.better for line in lines for cell in line.ours.get(i, []) if cell.name == name)
    title = f"{name}, {column.title}" if column.cell else name
    return f"*{title}{ARROWS[better]}*" if filled.apart else f"{title}{ARROWS[better]}"


def _stated(one: Stated | None, notes: dict[str, str]) -> str:
    if one is None:
        return ""
    if not one.value:
        return f"? {_mark(notes, one.note or 'not readable in the paper')}"
    return f"{one.value} ± {one.uncertainty}" if one.uncertainty else one.value


def _arm(line: Line) -> str:
    arms = dict.fromkeys(f"{choice.records[0].system} ({choice.study})" for choice in line.choices)
    return ", ".join(arms)


def _figures(line: Line, i: int, name: str, show: Show) -> str:
    return next((show(cell.metric, cell.choice) for cell in line.ours.get(i, []) if cell.name == name), "")


def _records(choice: Choice, home: Path) -> str:
    return " ".join(link(f"s{r.seed}", record_file(choice.folder, r), home) for r in choice.records)


def _mark(notes: dict[str, str], text: str) -> str:
    """A letter for a note, the same for the same note."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    count = len(notes)
    mark = notes.setdefault(text.rstrip("."), letters[count % 26] * (1 + count // 26))
    return f"({mark})"
