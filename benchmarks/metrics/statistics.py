"""Uncertainty and comparison of scores: intervals, paired comparisons, Holm's correction, verdicts.

Conventions:

- Intervals and tests are those of t, from variance components with prompts and seeds crossed: ``variance.py``.
- Arms are compared on the differences of the same prompts and seeds, never as two unrelated samples. A metric of a set
  is compared by the contribution of each clip (jackknife), as in Dorfman, Berbaum and Metz (1992, Investigative
  Radiology 27, 723-731).
- The p-values of a family of comparisons are corrected together by Holm's step-down (Holm, 1979, Scandinavian Journal
  of Statistics 6(2)). A family is all comparisons of a study's table, or all that decide the claims of a paper.
- A verdict needs evidence: better, worse, same (inside a margin stated beforehand), or undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from ...common.errors import UserError
from ...common.lines import count
from .variance import (
    Float,
    Index,
    Labels,
    MeanSquares,
    SeedEffect,
    effect_size,
    layout,
    mean_squares,
    of_layout,
    rounded,
)

Verdict = Literal["better", "worse", "same", "undecided"]

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # adjusted p below which a difference counts


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and sample sizes.

    Attributes:
        estimate, low, high: in the metric's own unit; infinite ends where nothing is known of the spread.
        level: of the interval.
        n_items, n_prompts, n_seeds: scores that count, and the prompts and seeds they belong to. With one seed the
            interval is that of this run and leaves out how another training would come out.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_items: int
    n_prompts: int
    n_seeds: int


@dataclass(frozen=True)
class Comparison:
    """Arm A against arm B on the same prompts and seeds.

    Attributes:
        difference: interval of score(A) - score(B).
        p_value: two-sided p of "no difference", from t. Where all differences are equal and not zero it is that of the
            sign test over prompts, 2^(1 - P).
        effect_size: Cohen's d_z, mean over standard deviation of the per-prompt differences; ``None`` for fewer than
            two prompts, or where all differences are equal.
        higher_is_better: direction of the metric.
        margin: differences up to this size count as none; ``None``: no margin, so nothing is called the same.
    """

    difference: Interval
    p_value: float
    effect_size: float | None
    higher_is_better: bool
    margin: float | None


@dataclass(frozen=True)
class Judgement:
    """A comparison's verdict inside its family, with the Holm-adjusted p it rests on."""

    verdict: Verdict
    p_adjusted: float


def interval(values: ArrayLike, prompts: Labels | None = None, seeds: Labels | None = None) -> Interval:
    """Interval of the mean of per-item scores, with prompts and seeds as crossed random effects.

    Args:
        values: one score per item (n,); NaN: does not apply to this item.
        prompts: prompt of each item; ``None``: every item is a prompt of its own. Items that share prompt and seed are
            averaged first.
        seeds: training or sampling seed of each item; ``None``: all have one, and the interval leaves out its effect.

    Raises:
        UserError: no scored item, infinite scores, or labels of another length.
    """
    return _interval(mean_squares(values, prompts, seeds))


def compare(
    values_a: ArrayLike,
    values_b: ArrayLike,
    prompts: Labels | None = None,
    seeds: Labels | None = None,
    *,
    higher_is_better: bool,
    margin: float | None = None,
    seed_effect: SeedEffect | None = None,
) -> Comparison:
    """Compare two arms by their per-item scores; item i of both has the same prompt and seed.

    A system that has no seeds, such as real audio, is given with its scores repeated for every seed: they cancel in the
    mean squares of the seeds and of the rest.

    Args:
        margin: differences up to this size count as none.
        seed_effect: a mean square of seeds pooled over more comparisons (``pool_seeds``).

    Raises:
        UserError: unequal numbers of items; see ``interval``.
    """
    a, b = np.asarray(values_a, np.float64), np.asarray(values_b, np.float64)
    if a.shape != b.shape:
        raise UserError(
            f"cannot pair {count(a.size, 'item')} with {b.size}: compare arms on the same prompts and seeds"
        )
    table_PS = layout(a - b, prompts, seeds)
    squares = of_layout(table_PS)
    difference, p = _interval(squares, seed_effect), squares.p_value(seed_effect)
    return Comparison(difference, p, effect_size(table_PS, squares.scale), higher_is_better, margin)


def contributions(metric: Callable[[Index], float], n: int) -> Float:
    """Contribution of each of ``n`` items to a set-level metric, (n,); their mean is the metric of the whole set.

    Jackknife pseudo-values, ``n m(all) - (n - 1) m(all but i)`` (Tukey, 1958; Efron and Tibshirani, 1993, section
    11.5), shifted so that their mean is the metric itself, bias included. They are paired and crossed with seeds like
    per-item scores, so ``interval`` and ``compare`` serve set-level metrics. Their spread errs to the wide side (Efron
    and Stein, 1981). Use them for metrics that change smoothly with one item, which those of nearest neighbours do not.
    """
    everyone = np.arange(n)
    whole = metric(everyone)
    pseudo = n * whole - (n - 1) * np.array([metric(np.delete(everyone, i)) for i in range(n)])
    return np.asarray(pseudo - pseudo.mean() + whole)


def resampled(metric: Callable[[Index], float], n: int, n_draws: int = 200) -> Interval:
    """Bootstrap interval of a set-level metric of nearest neighbours, for one run; other metrics use ``contributions``.

    Such a metric jumps when one item leaves, so the jackknife does not hold for it. The items are drawn with
    replacement and the percentiles taken (Efron and Tibshirani, 1993, chapter 13). A draw with repeats holds fewer
    distinct items, which shifts the metric as a smaller n would; so the draws are first centred on the estimate.

    Args:
        metric: takes item indices (with repeats) and returns the metric of those items.
        n: number of items, each a prompt of its own.
    """
    estimate = float(metric(np.arange(n)))
    rng = np.random.default_rng(0)
    draws = np.array([metric(rng.integers(n, size=n)) for _ in range(n_draws)], np.float64)
    low, high = np.quantile(draws - draws.mean() + estimate, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(rounded(estimate), rounded(float(low)), rounded(float(high)), LEVEL, n, n, 1)


def runs_interval(runs: Sequence[tuple[float, float | None, float | None, int]]) -> Interval:
    """Interval of the mean over seeds of a metric that has no scores per item.

    The variance is that between the runs, plus that within one, which more seeds do not shrink because they share the
    prompts. The former holds a part of the latter, so the interval errs to the wide side.

    Args:
        runs: value, ends of the interval (None: unknown) and n of each run, one per seed.
    """
    values, n = np.array([value for value, _, _, _ in runs]), min(n for _, _, _, n in runs)
    halves = [(high - low) / 2 for _, low, high, _ in runs if low is not None and high is not None]
    mean, total = float(values.mean()), sum(n for _, _, _, n in runs)
    if len(runs) < 2 or len(halves) < len(runs) or n < 2:
        return Interval(rounded(mean), -math.inf, math.inf, LEVEL, total, n, len(runs))
    between = float(values.var(ddof=1)) / len(runs)
    within = float(np.square(halves).mean()) / float(stdtrit(n - 1, (1 + LEVEL) / 2)) ** 2
    squares = between**2 / (len(runs) - 1) + within**2 / (n - 1)
    degrees = (between + within) ** 2 / squares if squares > 0 else 1.0
    half = float(stdtrit(degrees, (1 + LEVEL) / 2)) * math.sqrt(between + within)
    return Interval(rounded(mean), rounded(mean - half), rounded(mean + half), LEVEL, total, n, len(runs))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    With the m p-values sorted upwards, the adjusted k-th is the largest of (m - j + 1) p_(j) over j <= k, at most 1.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1.0)
    adjusted = np.empty_like(p)
    adjusted[order] = stepped
    return [float(value) for value in adjusted]


def verdict(comparison: Comparison, p_adjusted: float | None = None) -> Verdict:
    """The verdict on arm A against arm B.

    ``same``: the whole interval lies within the margin. ``better`` or ``worse``: the adjusted p is below ``ALPHA``,
    zero lies outside the interval, and the estimate outside the margin. Else ``undecided``: absence of evidence is not
    sameness, and evidence of a difference too small to matter decides nothing.
    """
    gap, margin = comparison.difference, comparison.margin
    if margin is not None and -margin <= gap.low and gap.high <= margin:
        return "same"
    p = comparison.p_value if p_adjusted is None else p_adjusted
    small = margin is not None and abs(gap.estimate) <= margin
    if small or not p < ALPHA or gap.low <= 0.0 <= gap.high:
        return "undecided"
    return "better" if (gap.estimate > 0) == comparison.higher_is_better else "worse"


def judge(comparisons: Mapping[str, Comparison]) -> dict[str, Judgement]:
    """Verdicts for all comparisons of one family (a table, or a paper's claims), with Holm's correction over them."""
    adjusted = holm([comparison.p_value for comparison in comparisons.values()])
    pairs = zip(comparisons.items(), adjusted)
    return {name: Judgement(verdict(comparison, p), p) for (name, comparison), p in pairs}


def _interval(squares: MeanSquares, seed_effect: SeedEffect | None = None) -> Interval:
    error, degrees, _ = squares.uncertainty(seed_effect)
    half = math.inf if math.isinf(error) else float(stdtrit(degrees, (1 + LEVEL) / 2)) * error
    ends = rounded(squares.mean - half), rounded(squares.mean + half)
    n_p, n_s = squares.n_prompts, squares.n_seeds
    return Interval(squares.estimate, *ends, LEVEL, n_p * n_s, n_p, n_s)
