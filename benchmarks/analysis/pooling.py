"""One figure per system and metric, over all its seeds, with its interval; and paired differences between systems."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from ..metrics.catalogue import family
from ..metrics.metric import Metric, metric
from ..metrics.statistics import Comparison, Judgement, compare, interval, judge
from .metric_validity import same_within, unusable
from .result_table import Board, Row

ORDER = ("adherence", "fad", "kad", "kl", "clap")
FURTHER = ("fad_inf", "mad", "precision", "recall", "density", "coverage", "is")  # a table of their own
PAIRED = (
    "adherence",
    "fad",
    "kad",
    "kl",
    "clap",
    "reward",
)  # families on which systems are compared where items are kept
Part = Literal["main", "further", "details"]


@dataclass(frozen=True)
class Difference:
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


def metric_names(board: Board, part: Part = "main") -> list[str]:
    """The metrics of one part of the board's tables, in order."""
    names = list(dict.fromkeys(name for row in board.rows for record in row.good for name in record.metrics))
    order = (*ORDER, *FURTHER)
    chosen = [name for name in names if _part(name) == part]
    return sorted(chosen, key=lambda name: (order.index(family(name)) if family(name) in order else len(order), name))


def _part(name: str) -> Part:
    """Adherence to a single attribute, ``adherence_<attribute>_<evaluator>``, is a detail."""
    if name.startswith("adherence_") and name.count("_") > 1:
        return "details"
    return "further" if family(name) in FURTHER else "main"


def pooled(board: Board, row: Row, name: str) -> Metric:
    """A metric over all seeds of a row.

    Per-item metrics are averaged over all items, with a bootstrap clustered on prompt and seed. Set-level metrics of
    several seeds are averaged, with a normal interval that adds the variance between seeds to that within one (prompts
    are shared, so more seeds do not shrink the latter).
    """
    key = (name, *(record.stem for record in row.good))
    if key not in board.pooled:
        board.pooled[key] = _pool(board, row, name)
    return board.pooled[key]


def _pool(board: Board, row: Row, name: str) -> Metric:
    held = [record.metrics[name] for record in row.good if name in record.metrics]
    values = [m.value for m in held if m.value is not None]
    if not values:
        return metric(None)
    if len(held) == 1:
        return held[0]
    items = board.items(row, name)
    if items:
        drawn = interval(list(items.values()), [prompt for prompt, _ in items], [seed for _, seed in items])
        return metric(drawn.estimate, low=drawn.low, high=drawn.high, n=drawn.n_items, better=held[0].better)
    mean = sum(values) / len(values)
    between = sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1) / len(values)
    widths = [m.high - m.low for m in held if m.high is not None and m.low is not None]
    within = sum((w / 3.92) ** 2 for w in widths) / max(1, len(widths))
    half = 1.96 * math.sqrt(between + within)
    return metric(mean, low=mean - half, high=mean + half, n=sum(m.n for m in held), better=held[0].better)


def not_usable(board: Board, name: str) -> str:
    """Why a metric cannot be used on the board's corpus; empty where it can."""
    return unusable(name, references(board, name))


def references(board: Board, name: str) -> dict[str, Metric]:
    """Ceiling or floor -> its figure."""
    return {row.system: pooled(board, row, name) for row in board.rows if row.kind == "reference"}


def best(board: Board, name: str) -> set[str]:
    """The arms with the best estimate of a metric; none where it has no better end, or all arms are alike."""
    found = {row.system: pooled(board, row, name) for row in board.arms if row.good}
    scored = {system: (m.value, m.better) for system, m in found.items() if m.value is not None}
    if {better for _, better in scored.values()} <= {"neither"} or len({value for value, _ in scored.values()}) < 2:
        return set()
    sign = 1 if next(iter(scored.values()))[1] == "higher" else -1
    top = max(sign * value for value, _ in scored.values())
    return {system for system, (value, _) in scored.items() if sign * value == top}


def differences(board: Board) -> list[Difference]:
    """Every pair of arms, and every arm against shuffled captions, on each usable main metric; Holm over all."""
    comparisons: dict[str, Comparison] = {}
    asked: dict[str, tuple[str, str, str]] = {}
    floor = board.row("shuffled_captions")
    arms = [row for row in board.arms if row.good]
    pairs = [*itertools.combinations(arms, 2), *((arm, floor) for arm in arms if floor is not None and floor.good)]
    for name in metric_names(board):
        margin = same_within(name, references(board, name))
        for a, b in pairs if family(name) in PAIRED and not not_usable(board, name) else []:
            compared = compare_rows(board, a, b, name, margin)
            if compared is not None:
                key = f"{name}/{a.system}/{b.system}"
                comparisons[key], asked[key] = compared, (name, a.system, b.system)
    verdicts = judge(comparisons) if comparisons else {}
    return [Difference(*asked[key], comparisons[key], verdicts[key]) for key in comparisons]


def compare_rows(board: Board, a: Row, b: Row, name: str, margin: float | None = None) -> Comparison | None:
    """Pair items on prompt and seed; a row without seeds of its own (a reference) is paired with every seed.

    A set-level metric is compared by what each clip contributes to it (``statistics.contributions``). ``None``: fewer
    than two prompts in common.
    """
    first, other = board.items(a, name), board.items(b, name)
    if b.kind == "reference":
        by_prompt = {prompt: score for (prompt, _), score in other.items()}
        other = {key: by_prompt[key[0]] for key in first if key[0] in by_prompt}
    shared = [key for key in first if key in other and not math.isnan(first[key]) and not math.isnan(other[key])]
    if len({prompt for prompt, _ in shared}) < 2:
        return None
    return compare(
        [first[key] for key in shared], [other[key] for key in shared],
        [prompt for prompt, _ in shared], [seed for _, seed in shared],
        higher_is_better=a.good[0].metrics[name].better == "higher", margin=margin,
    )  # fmt: skip
