"""Equal updates, equal training FLOPs and equal time side by side: ranks, verdicts, and a chart of scores over each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .....common.lines import count
from ....analysis.agreement import valid_leads
from ....analysis.budgets import Axis, Twin, course, read_off, twins
from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, differences, metric_names, not_usable
from ....analysis.result_table import ResultTable
from ....metrics.catalogue import family
from ....report.markup import Table, bullets, image, link, write_changed
from ....report.scores import ARROWS, spent
from ....report.style import arm_colours, canvas
from ....report.summary import between_arms, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING = "## Equal updates, equal FLOPs, equal time"
ABOUT = """\
An update of one paradigm costs more than that of another, so arms may rank differently after as many training FLOPs, or
after as much time. Rank and score of every arm in the mean over seeds. The first columns are studies of their own, in
which the schedule of every arm fits its budget. The columns *off snapshots* cost no training: they read the scores of
this study's own trainings, between the two nearest snapshots, where each arm has used as much as the cheapest arm uses
in all."""
MIDWAY = """\
 An arm that is read before its end is read in the middle of its schedule, before its learning rate has fallen, so these
columns underrate it."""
VERDICTS = """\
Verdicts on pairs of arms, each with Holm's correction over all comparisons of its own study. Not shown: {hidden}."""
CHART = (
    "Scores at the snapshots and at the end, over updates, training FLOPs and time, mean over seeds. Stars: arms that "
    "were trained for equal FLOPs or equal time."
)
MISSING = "not measured"
EQUAL: dict[Axis, str] = {"updates": "updates", "flops": "FLOPs", "seconds": "time"}
OTHERS: tuple[Axis, ...] = ("flops", "seconds")  # beside the study's own
OFF = "off snapshots"


@dataclass(frozen=True)
class Column:
    """One budget on equal terms.

    Attributes:
        heading: of its column.
        scores: metric -> arm -> score, best first.
        compared: the comparisons between its arms; empty where nothing was compared.
    """

    heading: str
    scores: Mapping[str, Mapping[str, float]]
    compared: Sequence[PairedDifference] = ()


def equal_terms(table: ResultTable, compared: Sequence[PairedDifference], figure: Path | None) -> list[str]:
    """The section, as Markdown paragraphs; empty for a study of fewer than two trained paradigms."""
    rows = [row for row in table.arms if row.good and row.good[0].training]
    names = shown_metrics(table)
    if len({row.paradigm for row in rows}) < 2 or not names:
        return []
    others = twins(table)
    studies = by_study(table, compared, others, names)
    read = [*(["updates"] if _by_convergence(table) else []), *OTHERS]
    off = [column for axis in EQUAL if axis in read for column in off_snapshots(table, axis, names)]
    constant = all(
        r.config.train is not None and r.config.train.schedule == "constant" for row in rows for r in row.good
    )
    parts = [HEADING, ABOUT + ("" if constant or not off else MIDWAY), ranks(table, [*studies, *off], names).markdown()]
    if others:
        sheet = verdicts(table, studies, names)
        write_changed(table.folder / "budgets.csv", sheet.csv())
        parts += _told(table, sheet, len(studies))
    else:
        parts.append("No study of these arms at equal FLOPs or equal time is among the results.")
    return [*parts, image(figure, table.folder, CHART)]


def shown_metrics(table: ResultTable) -> list[str]:
    """The lead metric of every judge that gives verdicts, and adherence."""
    adherence = [name for name in metric_names(table) if family(name) == "adherence" and not not_usable(table, name)]
    return [*valid_leads(table), *adherence]


def by_study(
    table: ResultTable, compared: Sequence[PairedDifference], others: Sequence[Twin], names: Sequence[str]
) -> list[Column]:
    """The study itself and its twins; a budget that no study has is a column without scores."""
    updates = spent(table.runs)
    own = f"until convergence (updates: {updates})" if _by_convergence(table) else f"equal updates ({updates})"
    found = [Column(own, {name: ranked(table, name) for name in names}, compared)]
    arms = {row.system for row in table.arms}
    for axis in OTHERS:
        held = [other for other in others if other.equal == axis]
        for other in held:
            scores = {n: {a: v for a, v in ranked(other.table, n).items() if a in arms} for n in names}
            judged = [] if too_short(other.table.runs) else differences(other.table)
            amount = _amount(axis, other.amount)
            found.append(Column(f"equal {EQUAL[axis]} ({amount}, {other.table.study})", scores, judged))
        if not held:
            found.append(Column(f"equal {EQUAL[axis]}", {}))
    return found


def off_snapshots(table: ResultTable, axis: Axis, names: Sequence[str]) -> list[Column]:
    """The scores at the same amount, read off the snapshots; no column where they do not say."""
    rows = [row for row in table.arms if row.good]
    scores, amount = {}, None
    for name in names:
        at, values = read_off({row.system: course(row, name) for row in rows}, axis)
        amount = amount or at
        order = [arm for arm in sorted(values, key=values.__getitem__, reverse=ARROWS[_better(table, name)] == " ↑")]
        scores[name] = {arm: values[arm] for arm in order}
    if amount is None:
        return []
    return [Column(f"{_amount(axis, amount)}, {OFF}", scores)]


def ranks(table: ResultTable, columns: Sequence[Column], names: Sequence[str]) -> Table:
    """Metric and arm x budgets: ``2 (49.6)``, rank and score."""
    body = []
    for name in names:
        for row in (row for row in table.arms if row.good):
            body.append(
                [name + ARROWS[_better(table, name)], row.system, *(_rank(c, name, row.system) for c in columns)]
            )
    return Table(["metric", "arm", *(column.heading for column in columns)], body)


def verdicts(table: ResultTable, columns: Sequence[Column], names: Sequence[str]) -> Table:
    """Metric and pair of arms x studies: which arm is better and by how much, in the words of the study."""
    body = []
    for name in names:
        for pair in between_arms(table, columns[0].compared, name):
            body.append([name, pair.a, pair.b, *(_verdict(column, name, pair.a, pair.b) for column in columns)])
    return Table(["metric", "a", "b", *(column.heading for column in columns)], body)


def _amount(axis: Axis, amount: float) -> str:
    return f"{amount / 1e12:,.3g} TFLOPs" if axis == "flops" else f"{amount:,.0f} {'s' if axis == 'seconds' else axis}"


def _by_convergence(table: ResultTable) -> bool:
    train = table.newest.config.train
    return train is not None and train.budget.by_convergence


def _told(table: ResultTable, sheet: Table, studies: int) -> list[str]:
    """The decided verdicts as a table, and in sentences whether the budget changes any."""
    decided = [row for row in sheet.body if any("better" in cell or "same" in cell for cell in row[-studies:])]
    reversed_ = [row for row in decided if len({cell.split()[0] for cell in row[-studies:] if "better" in cell}) > 1]
    alike = [row for row in sheet.body if len({_kind(cell) for cell in row[-studies:] if cell != MISSING}) == 1]
    lines = [f"{len(alike)} of {count(len(sheet.body), 'comparison')} have the same verdict on every budget measured."]
    named = ", ".join(f"{a} and {b} by `{name}`" for name, a, b, *_ in reversed_)
    lines.append(f"Reversed by the budget: {named}." if named else "No verdict is reversed by the budget.")
    hidden = f"{count(len(sheet.body) - len(decided), 'comparison')} undecided on every budget"
    csv = link("budgets.csv", table.folder / "budgets.csv", table.folder)
    shown = Table(sheet.header, decided).markdown() if decided else ""
    return [bullets(lines), VERDICTS.format(hidden=f"{hidden}; all are in {csv}"), shown]


def _kind(cell: str) -> str:
    return cell.partition(" by ")[0].partition(" within ")[0]


def _verdict(column: Column, name: str, a: str, b: str) -> str:
    """``fm better by 4.9 (p 0.001)``, ``same within 1.2`` or ``undecided``."""
    found = next((d for d in column.compared if d.metric == name and {d.a, d.b} == {a, b}), None)
    if found is None:
        return MISSING
    if found.ranked:
        size, p = abs(found.comparison.difference.estimate), found.judgement.p_adjusted
        return f"{found.ranked[0]} better by {size:.2g} (p {p:.2g})"
    same = found.judgement.verdict == "same"
    return f"same within {found.comparison.margin:.2g}" if same else found.judgement.verdict


def _rank(column: Column, name: str, arm: str) -> str:
    scores = column.scores.get(name, {})
    return f"{list(scores).index(arm) + 1} ({scores[arm]:#.3g})" if arm in scores else MISSING


def _better(table: ResultTable, name: str) -> str:
    return next((r.metrics[name].better for row in table.arms for r in row.good if name in r.metrics), "neither")


def draw(table: ResultTable) -> Figure | None:
    """A row of panels for every metric: its mean over updates, FLOPs and time, a line per arm, a star per twin."""
    names, rows = shown_metrics(table), [row for row in table.arms if row.good and row.good[0].training]
    if not names or len({row.paradigm for row in rows}) < 2:
        return None
    figure, axes = canvas(len(names), 3, 10, 2.1 * len(names) + 0.5)
    colours, others = arm_colours({row.system: row.paradigm for row in rows}), twins(table)
    for panels, name in zip(axes, names):
        for row in rows:
            own = course(row, name)
            for panel, axis in zip(panels, EQUAL):
                panel.plot(
                    getattr(own, axis), own.scores, "o-", color=colours[row.system], markersize=3.5, label=row.system
                )
        for other in others:
            for row in (row for row in other.table.arms if row.system in colours and row.good):
                end = course(row, name)
                for panel, axis in zip(panels, EQUAL):
                    panel.plot(getattr(end, axis)[-1:], end.scores[-1:], "*", color=colours[row.system], markersize=9)
        panels[0].set_ylabel(name, fontsize=9)
        for panel in panels:
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=8)
    for panel, label in zip(axes[-1], ("updates", "training FLOPs", "seconds of training")):
        panel.set_xlabel(label, fontsize=9)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure
