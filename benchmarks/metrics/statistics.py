"""Uncertainty and comparison of scores: bootstrap intervals, paired comparisons, Holm's correction, verdicts.

Conventions:

- Every item belongs to a prompt and to a seed, and items that share one are not independent: a hard prompt is hard for
  all seeds, and an unlucky training seed affects all prompts. A draw therefore takes prompts with replacement AND seeds
  with replacement, and an item is repeated as often as its prompt times its seed: the pigeonhole bootstrap (Owen, 2007,
  "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), section 3). Its intervals are slightly wide where
  neither effect matters, and slightly narrow where seeds matter and are fewer than about ten: use several seeds.
- Arms are compared on the differences of the same prompts and seeds, never as two unrelated samples; for set-level
  metrics on the differences of each prompt's contribution (jackknife).
- Intervals are percentiles of the draws (Efron and Tibshirani, 1993, chapter 13). For set-level metrics (a Frechet
  distance) a draw with repeats holds fewer distinct items, which shifts such a metric as a smaller n would; there the
  draws are first centred on the estimate, so that only their spread counts.
- The p-values of all comparisons of a table are corrected together by Holm's step-down
  (Holm, 1979, Scandinavian Journal of Statistics 6(2)).
- A verdict needs evidence: better, worse, same (inside a margin stated beforehand), or undecided. NaN marks an item
  that the metric does not apply to (nothing asked for); it is left out and ``n_items`` says how many remain.
- Sums differ in their last bits between processors. Draws and estimates are rounded to twelve digits, so that a draw
  of exactly zero and a tie are the same on every machine.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.errors import UserError
from ...common.lines import count

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Labels = Sequence[Any] | NDArray[Any]
Verdict = Literal["better", "worse", "same", "undecided"]

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # adjusted p below which a difference counts
DIGITS = 12  # that results keep
_CHUNK = 2_000_000  # cells of the resampling table held at once: 16 MB


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval and sample sizes.

    Attributes:
        estimate, low, high: in the metric's own unit; ``low`` and ``high`` enclose ``level`` of the draws.
        n_items, n_prompts, n_seeds: items scored and the clusters they fall in.
        n_draws: bootstrap draws.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_items: int
    n_prompts: int
    n_seeds: int
    n_draws: int


@dataclass(frozen=True)
class Comparison:
    """Arm A against arm B on the same prompts and seeds.

    Attributes:
        difference: interval of score(A) - score(B).
        p_value: two-sided bootstrap p of "no difference", at least 2 / (n_draws + 1).
        effect_size: Cohen's d_z, mean over standard deviation of the per-prompt differences; ``None`` for fewer than
            two prompts, or where all differences are equal.
        higher_is_better: direction of the metric.
        margin: differences up to this size are called the same; ``None`` never says "same".
    """

    difference: Interval
    p_value: float
    effect_size: float | None
    higher_is_better: bool
    margin: float | None


@dataclass(frozen=True)
class Judgement:
    """A comparison's verdict inside its table, with the Holm-adjusted p it rests on."""

    verdict: Verdict
    p_adjusted: float


def interval(
    values: ArrayLike,
    prompts: Labels | None = None,
    seeds: Labels | None = None,
    *,
    n_draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of the mean of per-item scores, clustered on prompt and seed.

    Args:
        values: one score per item (n,); NaN: does not apply to this item.
        prompts: prompt of each item; ``None``: every item is a prompt of its own.
        seeds: training or sampling seed of each item; ``None``: all have one, and the interval leaves out its effect.
        seed: of the bootstrap's own random numbers.

    Raises:
        UserError: no scored item, infinite scores, or labels of another length.
    """
    table = _Clusters.of(values, prompts, seeds)
    return table.interval(table.mean_draws(n_draws, seed), table.estimate)


def interval_of(
    metric: Callable[[Index], float],
    prompts: Labels,
    seeds: Labels | None = None,
    *,
    n_draws: int = 200,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a set-level metric, clustered on prompt and seed, centred on the estimate.

    Args:
        metric: takes item indices (with repeats) and returns the metric of those items,
            e.g. ``lambda index: frechet_distance(reference, generated[index]).value``.
        prompts, seeds: cluster labels of the items, as in ``interval``.
    """
    table = _Clusters.of(np.zeros(len(prompts)), prompts, seeds)
    estimate = float(metric(np.arange(len(prompts))))
    draws = np.array([metric(index) for index in table.index_draws(n_draws, seed) if len(index)], np.float64)
    return table.interval(draws - draws.mean() + estimate, estimate)


def contributions(metric: Callable[[Index], float], n: int) -> Float:
    """Contribution of each of ``n`` items to a set-level metric, (n,); their mean is the metric of the whole set.

    Jackknife pseudo-values, ``n m(all) - (n - 1) m(all but i)`` (Tukey, 1958; Efron and Tibshirani, 1993, section
    11.5), shifted so that their mean is the metric itself, bias included. They are paired, clustered and drawn like
    per-item scores, so ``compare`` compares systems on a set-level metric. Their spread errs to the wide side (Efron
    and Stein, 1981). Use them for metrics that change smoothly with one item, which those of nearest neighbours do not.
    """
    everyone = np.arange(n)
    whole = metric(everyone)
    pseudo = n * whole - (n - 1) * np.array([metric(np.delete(everyone, i)) for i in range(n)])
    return np.asarray(pseudo - pseudo.mean() + whole)


def compare(
    values_a: ArrayLike,
    values_b: ArrayLike,
    prompts: Labels | None = None,
    seeds: Labels | None = None,
    *,
    higher_is_better: bool,
    margin: float | None = None,
    n_draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two arms by their per-item scores; item i of both has the same prompt and seed.

    Raises:
        UserError: unequal numbers of items; see ``interval``.
    """
    a, b = np.asarray(values_a, np.float64), np.asarray(values_b, np.float64)
    if a.shape != b.shape:
        raise UserError(
            f"cannot pair {count(a.size, 'item')} with {b.size}: compare arms on the same prompts and seeds"
        )
    table = _Clusters.of(a - b, prompts, seeds)
    draws = table.mean_draws(n_draws, seed)
    difference = table.interval(draws, table.estimate)
    return Comparison(difference, _p_value(draws), table.effect_size(), higher_is_better, margin)


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

    ``same``: the whole interval lies within the margin. ``better`` or ``worse``: the adjusted p is below ``ALPHA`` and
    zero lies outside the interval. Else ``undecided``: absence of evidence is not sameness.
    """
    gap = comparison.difference
    if comparison.margin is not None and -comparison.margin <= gap.low and gap.high <= comparison.margin:
        return "same"
    p = comparison.p_value if p_adjusted is None else p_adjusted
    if p >= ALPHA or gap.low <= 0.0 <= gap.high:
        return "undecided"
    return "better" if (gap.estimate > 0) == comparison.higher_is_better else "worse"


def judge(comparisons: Mapping[str, Comparison]) -> dict[str, Judgement]:
    """Verdicts for all comparisons of one table, with Holm's correction over them."""
    adjusted = holm([comparison.p_value for comparison in comparisons.values()])
    pairs = zip(comparisons.items(), adjusted)
    return {name: Judgement(verdict(comparison, p), p) for (name, comparison), p in pairs}


@dataclass(frozen=True)
class _Clusters:
    """Per-item values with dense prompt and seed numbers; sums and counts per (prompt, seed) cell."""

    values: Float
    prompt: Index
    seed: Index
    n_prompts: int
    n_seeds: int

    @classmethod
    def of(cls, values: ArrayLike, prompts: Labels | None, seeds: Labels | None) -> _Clusters:
        scores = np.asarray(values, np.float64)
        if scores.ndim != 1 or np.isinf(scores).any():
            raise UserError(
                f"need one finite score per item, not shape {scores.shape} or infinities; correct the metric"
            )
        prompt = np.arange(len(scores)) if prompts is None else _dense(prompts)
        seed = np.zeros(len(scores), np.intp) if seeds is None else _dense(seeds)
        if not len(scores) == len(prompt) == len(seed):
            raise UserError(
                f"{count(len(scores), 'score')}, {count(len(prompt), 'prompt')} and {count(len(seed), 'seed')}: "
                "give one of each per item"
            )
        kept = ~np.isnan(scores)
        if not kept.any():
            raise UserError("no item has a score, so there is nothing to average; leave this metric out")
        prompt, seed = _dense(prompt[kept]), _dense(seed[kept])
        return cls(scores[kept], prompt, seed, int(prompt.max()) + 1, int(seed.max()) + 1)

    @property
    def estimate(self) -> float:
        return _rounded(float(self.values.mean()))

    @property
    def scale(self) -> float:
        """The largest size of a value."""
        return float(np.abs(self.values).max())

    def multiplicities(self, n_draws: int, seed: int) -> Iterator[tuple[Float, Float]]:
        """Chunks of (draws, prompts) and (draws, seeds): how often each was drawn."""
        drawn = _drawn_once if n_draws * self.n_prompts <= _CHUNK else _drawn
        return iter(drawn(self.n_prompts, self.n_seeds, n_draws, seed))

    def mean_draws(self, n_draws: int, seed: int) -> Float:
        """Bootstrap draws of the mean, (n_draws,); a draw that hits no item (possible with holes) is left out."""
        cell, cells = self.prompt * self.n_seeds + self.seed, self.n_prompts * self.n_seeds
        sums_PS = np.bincount(cell, self.values, cells).reshape(self.n_prompts, self.n_seeds)
        counts_PS = np.bincount(cell, minlength=cells).reshape(self.n_prompts, self.n_seeds).astype(np.float64)
        whole = bool((counts_PS == 1.0).all())  # then every draw has as many items as there are
        draws = []
        for prompts_DP, seeds_DS in self.multiplicities(n_draws, seed):
            totals = ((prompts_DP @ sums_PS) * seeds_DS).sum(axis=1)
            items = np.full(len(totals), float(cells)) if whole else ((prompts_DP @ counts_PS) * seeds_DS).sum(axis=1)
            draws.append(totals[items > 0] / items[items > 0])
        digits = DIGITS - math.ceil(math.log10(self.scale)) if self.scale > 1e-250 else 0
        return np.round(np.concatenate(draws), digits)

    def index_draws(self, n_draws: int, seed: int) -> Iterator[Index]:
        """Item indices of each draw, an item repeated as often as its prompt times its seed was drawn."""
        items = np.arange(len(self.values))
        for prompts_DP, seeds_DS in self.multiplicities(n_draws, seed):
            for prompts_P, seeds_S in zip(prompts_DP, seeds_DS):
                yield np.repeat(items, (prompts_P[self.prompt] * seeds_S[self.seed]).astype(np.intp))

    def interval(self, draws: Float, estimate: float) -> Interval:
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        n = len(self.values)
        ends = _rounded(float(low)), _rounded(float(high))
        return Interval(_rounded(estimate), *ends, LEVEL, n, self.n_prompts, self.n_seeds, len(draws))

    def effect_size(self) -> float | None:
        """Cohen's d_z over per-prompt means, ``None`` where it is not defined."""
        means = np.bincount(self.prompt, self.values) / np.bincount(self.prompt)
        spread = float(means.std(ddof=1)) if self.n_prompts > 1 else 0.0
        return _rounded(float(means.mean()) / spread) if spread > self.scale * 10.0**-DIGITS else None


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _dense(labels: Labels) -> Index:
    """Labels as numbers 0..k-1."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.intp)


def _drawn(n_prompts: int, n_seeds: int, n_draws: int, seed: int) -> Iterator[tuple[Float, Float]]:
    """Chunks of how often each prompt and each seed is drawn, see ``_Clusters.multiplicities``."""
    rng = np.random.default_rng(seed)
    size = max(1, _CHUNK // n_prompts)
    for start in range(0, n_draws, size):
        draws = min(size, n_draws - start)
        yield _counts(n_prompts, draws, rng), _counts(n_seeds, draws, rng)


@functools.lru_cache(maxsize=8)
def _drawn_once(n_prompts: int, n_seeds: int, n_draws: int, seed: int) -> list[tuple[Float, Float]]:
    """The same, kept: all comparisons of a table draw alike, and drawing is most of their work."""
    return list(_drawn(n_prompts, n_seeds, n_draws, seed))


def _counts(n: int, n_draws: int, rng: np.random.Generator) -> Float:
    """How often each of ``n`` clusters is drawn in ``n_draws`` samples of size ``n`` with replacement, (n_draws, n)."""
    drawn = rng.integers(n, size=(n_draws, n)) + n * np.arange(n_draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_draws * n).reshape(n_draws, n).astype(np.float64)


def _p_value(draws: Float) -> float:
    """Two-sided p of zero under the bootstrap distribution, with the one-draw correction."""
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2.0 * (tail + 1) / (len(draws) + 1))
