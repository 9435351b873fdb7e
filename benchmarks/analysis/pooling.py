"""One figure per system and metric, over all its seeds, with its interval; and paired differences between systems.

``differences`` is the one place that compares the systems of a table: its verdicts stand on the study's page, and
``bench compare`` prints them. What may decide, and from which size on a difference counts, is asked in
``metric_validity``; what a system was trained against, in ``declared``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..metrics.catalogue import (
    FIDELITY_FAMILIES,
    TAGGERS,
    MetricInfo,
    about,
    evaluator_of,
    family,
    is_fidelity,
)
from ..metrics.metric import Metric, metric
from ..metrics.statistics import Comparison, Judgement, compare, interval, judge, runs_interval
from ..metrics.variance import MeanSquares, SeedEffect, mean_squares, pool_seeds
from ..study.references import BASELINES
from .declared import trained_against
from .metric_validity import margin, why_no_verdict
from .result_table import Items, ResultTable, TableRow

CAPTIONS = ("adherence", "clap")  # read the caption; the first columns
BY_JUDGE = ("kad", "fad", "kl", "band_level")  # the columns of each judge
Part = Literal["main", "further", "details", "tagger", "replication"]


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
    """The metrics of one part of the study's tables, in order.

    ``main``: adherence and clap, then the distances of each judge, then what else is scored per clip. ``further``:
    other metrics of whole sets, and loudness. ``details``: adherence by attribute. ``tagger``: distances by an
    attribute tagger, which are no measure of fidelity. ``replication``: distances to training clips.
    """
    names = list(dict.fromkeys(name for row in table.rows for record in row.good for name in record.metrics))
    stated = [one.name for one in table.newest.config.evaluation.judges] if names else []
    judges = list(dict.fromkeys([*stated, *map(evaluator_of, names)]))

    def place(name: str) -> tuple[int, int, int, str]:
        kind = family(name)
        if kind in CAPTIONS:
            return 0, CAPTIONS.index(kind), 0, name
        if is_fidelity(name):
            inside = BY_JUDGE.index(kind) if kind in BY_JUDGE else len(BY_JUDGE)
            return 1, judges.index(evaluator_of(name)), inside, name
        return 2, 0, 0, name

    return sorted((name for name in names if _part(name) == part), key=place)


def _part(name: str) -> Part:
    """The part of the tables that a metric stands in."""
    kind = family(name)
    if kind == "adherence" and name.count("_") > 1:
        return "details"
    if kind.startswith("replication"):
        return "replication"
    if kind in FIDELITY_FAMILIES and evaluator_of(name) in TAGGERS:
        return "tagger"
    if kind in FIDELITY_FAMILIES:
        return "main" if kind in BY_JUDGE else "further"
    return "further" if kind in ("loudness_lufs", "peak") else "main"


def pooled(table: ResultTable, row: TableRow, name: str) -> Metric:
    """A metric over all seeds of a row, with its interval.

    From the scores or contributions of all clips, with prompts and seeds crossed. A metric that has none (those of
    nearest neighbours) is averaged over its records.
    """
    key = (name, *(record.stem for record in row.good))
    if key not in table.pooled:
        table.pooled[key] = _pool(table, row, name)
    return table.pooled[key]


def _pool(table: ResultTable, row: TableRow, name: str) -> Metric:
    held = [record.metrics[name] for record in row.good if name in record.metrics]
    known = [m for m in held if m.value is not None]
    if not known:
        return metric(None)
    if len(held) == 1:
        return held[0]
    items = table.items(row, name)
    if any(not math.isnan(score) for score in items.values()):
        found = interval(list(items.values()), [prompt for prompt, _ in items], [seed for _, seed in items])
    else:
        found = runs_interval([(m.value, m.low, m.high, m.n) for m in known if m.value is not None])
    low, high = _cut(found.low, found.high, about(name))
    return metric(found.estimate, low=low, high=high, n=found.n_items, unit=held[0].unit, better=held[0].better)


def _cut(low: float, high: float, kind: MetricInfo) -> tuple[float, float]:
    return max(low, kind.least), min(high, kind.most)


def not_usable(table: ResultTable, name: str) -> str:
    """Why a metric gives no verdict in the table; empty where it does."""
    return why_no_verdict(table, name)


def references(table: ResultTable, name: str) -> dict[str, Metric]:
    """Ceiling or floor -> its figure."""
    return {row.system: pooled(table, row, name) for row in table.rows if row.kind == "reference"}


def differences(table: ResultTable) -> list[PairedDifference]:
    """Every comparison of the table, on each main metric that may decide; Holm's correction over all of them.

    Every pair of arms; every arm against each baseline (``retrieved``, ``sine_chords``); and on metrics that read the
    caption, every arm against real audio of another caption.
    """
    asked: dict[str, tuple[str, str, str]] = {}
    comparisons: dict[str, Comparison] = {}
    for name in metric_names(table):
        if not about(name).compared or why_no_verdict(table, name):
            continue
        least = margin(table, name)
        for a, b in _pairs(table, name):
            compared = compare_rows(table, a, b, name, least)
            if compared is not None:
                key = f"{name}/{a.system}/{b.system}"
                comparisons[key], asked[key] = compared, (name, a.system, b.system)
    verdicts = judge(comparisons) if comparisons else {}
    return [PairedDifference(*asked[key], comparisons[key], verdicts[key]) for key in comparisons]


def _pairs(table: ResultTable, name: str) -> list[tuple[TableRow, TableRow]]:
    """What is compared on a metric."""
    arms = [row for row in table.arms if row.good and not was_trained_against(row, name)]
    against = [*(["shuffled_captions"] if about(name).reads_captions else []), *BASELINES]
    floors = [row for row in map(table.row, against) if row is not None and row.good]
    return [*itertools.combinations(arms, 2), *itertools.product(arms, floors)]


def was_trained_against(row: TableRow, name: str) -> bool:
    """Whether the system of a row was trained or tuned on the evaluator of a metric."""
    return any(evaluator_of(name) in trained_against(record) for record in row.good)


def compare_rows(
    table: ResultTable, a: TableRow, b: TableRow, name: str, margin: float | None = None
) -> Comparison | None:
    """Row ``a`` minus row ``b``, paired on prompt and seed; a reference, which has no seeds, is paired with every seed.

    A set-level metric is compared by what each clip contributes to it (``statistics.contributions``). The mean square
    of the seeds is pooled over the arms of the table where they allow it (``variance.pool_seeds``).

    Returns:
        None where they have fewer than two prompts in common.
    """
    first, other = _scores(table, a, b, name)
    higher = a.good[0].metrics[name].better == "higher"
    return compare_items(first, other, higher, margin, _seed_effect(table, a, b, name))


def compare_items(
    first: Items,
    other: Items,
    higher_is_better: bool,
    margin: float | None = None,
    seed_effect: SeedEffect | None = None,
) -> Comparison | None:
    """Scores per item ``first`` minus ``other``, paired on prompt and seed; None: fewer than two prompts in common."""
    shared = _shared(first, other)
    prompts, seeds = [prompt for prompt, _ in shared], [seed for _, seed in shared]
    if len(set(prompts)) < 2:
        return None
    a, b = ([scores[key] for key in shared] for scores in (first, other))
    return compare(a, b, prompts, seeds, higher_is_better=higher_is_better, margin=margin, seed_effect=seed_effect)


def _scores(table: ResultTable, a: TableRow, b: TableRow, name: str) -> tuple[Items, Items]:
    """The scores per item of both rows; a reference's are repeated for every seed of the other."""
    first, other = table.items(a, name), table.items(b, name)
    if b.kind == "reference":
        by_prompt = {prompt: score for (prompt, _), score in other.items()}
        other = {key: by_prompt[key[0]] for key in first if key[0] in by_prompt}
    return first, other


def _shared(first: Items, other: Items) -> list[tuple[str, int]]:
    return [key for key in first if key in other and not math.isnan(first[key]) and not math.isnan(other[key])]


def _seed_effect(table: ResultTable, a: TableRow, b: TableRow, name: str) -> SeedEffect | None:
    """The mean square of the seeds pooled for this comparison; None where it keeps its own."""
    arms = [row for row in table.arms if row.good]
    if table.seeds < 2 or len(arms) < 3 or len(arms) > len(table.labels) or not {a.system} <= {r.system for r in arms}:
        return None
    reference = b.system if b.kind == "reference" else ""
    place = (name, reference)
    if place not in table.seed_effects:
        against = [(row, b) for row in arms] if reference else list(itertools.combinations(arms, 2))
        table.seed_effects[place] = pool_seeds(layouts(table, against, name))
    pair = (a.system,) if reference else (a.system, b.system)
    return table.seed_effects[place].get(pair) or table.seed_effects[place].get(pair[::-1])


def layouts(
    table: ResultTable, pairs: Iterable[tuple[TableRow, TableRow]], name: str
) -> dict[tuple[str, ...], MeanSquares]:
    """The arms of each pair -> the layout of its differences, of the pairs that have any."""
    found: dict[tuple[str, ...], MeanSquares] = {}
    for a, b in pairs:
        first, other = _scores(table, a, b, name)
        if shared := _shared(first, other):
            values = [first[key] - other[key] for key in shared]
            key = (a.system,) if b.kind == "reference" else (a.system, b.system)
            found[key] = mean_squares(values, [prompt for prompt, _ in shared], [seed for _, seed in shared])
    return found
