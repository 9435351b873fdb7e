"""How many prompts and seeds a difference between two arms needs, from the variance components in a study's records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, stdtrit

from ...common.errors import UserError, did_you_mean
from ..metrics.catalogue import about
from ..metrics.statistics import ALPHA
from ..metrics.variance import TAIL, MeanSquares, SeedEffect
from .metric_validity import margin, why_no_verdict
from .pooling import differences, layouts, metric_names
from .result_table import ResultTable

SEEDS = (1, 3, 5, 10)  # numbers of seeds that are tried
MOST_PROMPTS = 20_000  # more are not tried


@dataclass(frozen=True)
class Components:
    """Variances of the difference between two arms: of prompts, of seeds, and of the rest; mean over pairs of arms.

    Attributes:
        arms: number of arms whose seeds a table pools.
        n_seeds: seeds they were estimated from. With one, ``prompts`` holds the rest and ``seeds`` is not known.
    """

    prompts: float
    seeds: float
    rest: float
    arms: int
    n_seeds: int

    def power(self, difference: float, n_prompts: int, n_seeds: int, alpha: float = ALPHA) -> float:
        """Chance that a true difference is found, by the test of ``statistics.compare`` with pooled seeds.

        Args:
            alpha: p below which it counts.
        """
        of_prompts, of_seeds = self.rest + n_seeds * self.prompts, self.rest + n_prompts * self.seeds
        expected = MeanSquares(difference, of_prompts, of_seeds, self.rest, n_prompts, n_seeds, abs(difference))
        if n_seeds == 1:
            expected = MeanSquares(difference, of_prompts, 0.0, 0.0, n_prompts, 1, abs(difference))
        pooled = self.arms > 3 and n_seeds > 1  # ``pool_seeds`` holds a pair against two other arms at least
        effect = SeedEffect(of_seeds, (self.arms - 1.0) * (n_seeds - 1)) if pooled else None
        error, degrees, of_seeds_degrees = expected.uncertainty(effect)
        if error == 0.0:
            return 1.0
        critical = float(stdtrit(degrees, 1 - alpha / 2))
        if math.isfinite(of_seeds_degrees) and TAIL * alpha < 1:
            critical = max(critical, float(stdtrit(of_seeds_degrees, 1 - TAIL * alpha / 2)))
        return 1.0 - float(nctdtr(degrees, abs(difference) / error, critical))


@dataclass(frozen=True)
class SampleNeed:
    """Prompts that one number of seeds needs, None: more than ``MOST_PROMPTS``.

    Attributes:
        alone: for one comparison by itself.
        in_table: for the first step of Holm's correction over the comparisons of the study's table.
    """

    metric: str
    difference: float
    n_seeds: int
    alone: int | None
    in_table: int | None


def needs(table: ResultTable, metric: str, difference: float | None, power: float) -> tuple[list[SampleNeed], int]:
    """What metrics need for a difference, and the number of comparisons in the table.

    Args:
        metric: its full name; empty: all that may decide in the table.
        difference: in the metric's unit; None: the metric's margin.
        power: wished-for chance to find the difference, between 0 and 1.

    Raises:
        UserError: no such metric, fewer than two arms, no scores per item, or no margin.
    """
    names = [metric] if metric else _deciding(table)
    if not names:
        raise UserError(f"no metric gives a verdict in {table.study}; name one with --metric and give --difference")
    comparisons = max(1, len(differences(table)))
    return [need for name in names for need in _needs(table, name, difference, power, comparisons)], comparisons


def components(table: ResultTable, name: str) -> Components:
    """The variance components of a metric's differences between the arms of a table.

    Negative estimates are averaged in and the mean is cut at zero, so that the mean is as unbiased as it can be.

    Raises:
        UserError: fewer than two arms have scores per item.
    """
    arms = [row for row in table.arms if row.good]
    found = list(layouts(table, itertools.combinations(arms, 2), name).values())
    found = [one for one in found if one.n_prompts > 1]
    if not found:
        raise UserError(f"{table.study} has no two arms with scores per clip of {name}, so its spread is not known")
    of_P, of_S, rest = (max(0.0, float(value)) for value in np.mean([one.components for one in found], axis=0))
    return Components(of_P, of_S, rest, len(arms), min(one.n_seeds for one in found))


def _deciding(table: ResultTable) -> list[str]:
    names = [name for name in metric_names(table) if about(name).compared and not why_no_verdict(table, name)]
    return [name for name in names if margin(table, name)]


def _needs(table: ResultTable, name: str, difference: float | None, power: float, comparisons: int) -> list[SampleNeed]:
    known = list(dict.fromkeys(own for row in table.arms for record in row.good for own in record.metrics))
    if name not in known:
        raise UserError(f"{table.study} has no metric {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}")
    wanted = margin(table, name) if difference is None else difference
    if not wanted:
        raise UserError(f"{name} has no margin in {table.study}; say which difference matters, --difference D")
    spread = components(table, name)
    tried = [n for n in SEEDS if n == 1 or spread.n_seeds > 1]
    return [
        SampleNeed(
            name,
            wanted,
            n_seeds,
            *(
                fewest(lambda n, s=n_seeds, a=alpha: spread.power(wanted, n, s, a) >= power)  # type: ignore[misc]
                for alpha in (ALPHA, ALPHA / comparisons)
            ),
        )
        for n_seeds in tried
    ]


def fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number of prompts, from two on, that is enough; None: not even ``MOST_PROMPTS`` are."""
    if not enough(MOST_PROMPTS):
        return None
    low, high = 1, MOST_PROMPTS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
