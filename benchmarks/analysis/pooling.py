"""One figure per system and metric, over all its seeds, with its interval; and paired differences between systems."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from ..metrics.catalogue import about, family
from ..metrics.metric import Metric, metric
from ..metrics.statistics import Comparison, Judgement, compare, interval, judge
from .metric_validity import same_within, unusable
from .result_table import Items, ResultTable, TableRow

ORDER = ("adherence", "fad", "kad", "kl", "clap")
FURTHER = ("fad_inf", "mad", "precision", "recall", "density", "coverage", "is")  # a table of their own
Part = Literal["main", "further", "details"]


@dataclass(frozen=True)
class PairedDifference:
    """System ``a`` minus system ``b`` on the same prompts, with its verdict inside the table."""

    metric: str
    a: str
    b: str
    comparison: Comparison
    judgement: Judgement

    @property
    def ranked(self) -> tuple[str, str] | None:
        """Winner and loser; None where neither is evidently better."""
        return {"better": (self.a, self.b), "worse": (self.b, self.a)}.get(self.judgement.verdict)


def metric_names(table: ResultTable, part: Part = "main") -> list[str]:
    """The metrics of one part of the study's tables, in order."""
    names = list(dict.fromkeys(name for row in table.rows for record in row.good for name in record.metrics))
    order = (*ORDER, *FURTHER)
    chosen = [name for name in names if _part(name) == part]
    return sorted(chosen, key=lambda name: (order.index(family(name)) if family(name) in order else len(order), name))


def _part(name: str) -> Part:
    """Adherence to a single attribute, ``adherence_<attribute>_<evaluator>``, is a detail."""
    if name.startswith("adherence_") and name.count("_") > 1:
        return "details"
    return "further" if family(name) in FURTHER else "main"


def pooled(table: ResultTable, row: TableRow, name: str) -> Metric:
    """A metric over all seeds of a row.

    Per-item metrics are averaged over all items, with a bootstrap clustered on prompt and seed. Set-level metrics of
    several seeds are averaged, with a normal interval that adds the variance between seeds to that within one (prompts
    are shared, so more seeds do not shrink the latter).
    """
    key = (name, *(record.stem for record in row.good))
    if key not in table.pooled:
        table.pooled[key] = _pool(table, row, name)
    return table.pooled[key]


def _pool(table: ResultTable, row: TableRow, name: str) -> Metric:
    held = [record.metrics[name] for record in row.good if name in record.metrics]
    values = [m.value for m in held if m.value is not None]
    if not values:
        return metric(None)
    if len(held) == 1:
        return held[0]
    items = table.items(row, name)
    if items:
        drawn = interval(list(items.values()), [prompt for prompt, _ in items], [seed for _, seed in items])
        return metric(drawn.estimate, low=drawn.low, high=drawn.high, n=drawn.n_items, better=held[0].better)
    mean = sum(values) / len(values)
    between = sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1) / len(values)
    widths = [m.high - m.low for m in held if m.high is not None and m.low is not None]
    within = sum((w / 3.92) ** 2 for w in widths) / max(1, len(widths))
    half = 1.96 * math.sqrt(between + within)
    return metric(mean, low=mean - half, high=mean + half, n=sum(m.n for m in held), better=held[0].better)


def not_usable(table: ResultTable, name: str) -> str:
    """Why a metric cannot be used on the table's corpus; empty where it can."""
    return unusable(name, references(table, name))


def references(table: ResultTable, name: str) -> dict[str, Metric]:
    """Ceiling or floor -> its figure."""
    return {row.system: pooled(table, row, name) for row in table.rows if row.kind == "reference"}


def best(table: ResultTable, name: str) -> set[str]:
    """The arms with the best estimate of a metric; none where it has no better end, or all arms are alike."""
    found = {row.system: pooled(table, row, name) for row in table.arms if row.good}
    scored = {system: (m.value, m.better) for system, m in found.items() if m.value is not None}
    if {better for _, better in scored.values()} <= {"neither"} or len({value for value, _ in scored.values()}) < 2:
        return set()
    sign = 1 if next(iter(scored.values()))[1] == "higher" else -1
    top = max(sign * value for value, _ in scored.values())
    return {system for system, (value, _) in scored.items() if sign * value == top}


def differences(table: ResultTable) -> list[PairedDifference]:
    """Every pair of arms, and every arm against shuffled captions, on each usable main metric; Holm over all."""
    comparisons: dict[str, Comparison] = {}
    asked: dict[str, tuple[str, str, str]] = {}
    floor = table.row("shuffled_captions")
    arms = [row for row in table.arms if row.good]
    pairs = [*itertools.combinations(arms, 2), *((arm, floor) for arm in arms if floor is not None and floor.good)]
    for name in metric_names(table):
        margin = same_within(name, references(table, name))
        for a, b in pairs if about(name).compared and not not_usable(table, name) else []:
            compared = compare_rows(table, a, b, name, margin)
            if compared is not None:
                key = f"{name}/{a.system}/{b.system}"
                comparisons[key], asked[key] = compared, (name, a.system, b.system)
    verdicts = judge(comparisons) if comparisons else {}
    return [PairedDifference(*asked[key], comparisons[key], verdicts[key]) for key in comparisons]


def compare_rows(
    table: ResultTable, a: TableRow, b: TableRow, name: str, margin: float | None = None
) -> Comparison | None:
    """Row ``a`` minus row ``b``, paired on prompt and seed; a reference, which has no seeds, is paired with every seed.

    A set-level metric is compared by what each clip contributes to it (``statistics.contributions``).

    Returns:
        None where they have fewer than two prompts in common.
    """
    first, other = table.items(a, name), table.items(b, name)
    if b.kind == "reference":
        by_prompt = {prompt: score for (prompt, _), score in other.items()}
        other = {key: by_prompt[key[0]] for key in first if key[0] in by_prompt}
    return compare_items(first, other, a.good[0].metrics[name].better == "higher", margin)


def compare_items(first: Items, other: Items, higher_is_better: bool, margin: float | None = None) -> Comparison | None:
    """Scores per item ``first`` minus ``other``, paired on prompt and seed; None: fewer than two prompts in common."""
    shared = [key for key in first if key in other and not math.isnan(first[key]) and not math.isnan(other[key])]
    prompts, seeds = [prompt for prompt, _ in shared], [seed for _, seed in shared]
    if len(set(prompts)) < 2:
        return None
    a, b = ([scores[key] for key in shared] for scores in (first, other))
    return compare(a, b, prompts, seeds, higher_is_better=higher_is_better, margin=margin)
