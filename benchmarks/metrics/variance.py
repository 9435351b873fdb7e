"""Variance components of scores: prompts crossed with training seeds.

Every score belongs to a prompt and to a seed, and scores that share one are not independent: a hard prompt is hard for
all seeds, and an unlucky seed affects all prompts. Scores y_ps = m + a_p + b_s + e_ps of P prompts crossed with S seeds
have a mean of variance

    v_P / P + v_S / S + v_E / (P S)

which the mean squares of the two-way layout estimate without bias, as (MS_P + MS_S - MS_E) / (P S) (Searle, Casella
and McCulloch, 1992, Variance Components, chapter 4).

- MS_P - MS_E is cut at zero and MS_S counts in full, so the estimate is never negative: the estimator that Hillis
  (2007, Statistics in Medicine 26, 596-619) found best for this layout (there cases crossed with readers). The degrees
  of freedom of t come from the mean squares (Satterthwaite, 1946, Biometrics Bulletin 2, 110-114).
- Few seeds need more care, since MS_S may be small by chance. So the degrees of freedom take MS_S as no smaller than
  ``LEAST_SEEDS`` times MS_E, and go ``TOWARDS_SEEDS`` of the way to those of the seeds; and p is at least 1 / ``TAIL``
  of the p with the degrees of freedom of the seeds. These constants are ours. They were chosen by simulation, so that
  intervals of three and more seeds cover 93 to 97% whatever the seeds' share in the variance, and that small p-values
  keep their promise (tests/unit/benchmarks/metrics/test_coverage.py). Two seeds cover 88% or more.
- With one seed the variance is MS_P / P with P - 1 degrees of freedom: a statement about this run, not about others.
- NaN marks an item that the metric does not apply to. A prompt counts where it has a score with every seed; other
  prompts are left out. Where no prompt has one with every seed, the seeds with the fewest scores are left out first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc, stdtr

from ...common.errors import UserError
from ...common.lines import count

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Labels = Sequence[Any] | NDArray[Any]

DIGITS = 12  # that results keep: sums differ in their last bits between processors
LEAST_SEEDS = 0.5  # of MS_E: what MS_S counts in the degrees of freedom at least
TOWARDS_SEEDS = 0.15  # of the way from Satterthwaite's degrees of freedom to those of the seeds, in their inverses
TAIL = 5.0  # p is at least p with the degrees of freedom of the seeds, over this
UNLIKE = 0.05  # p of an F test below which a pair's seeds are not pooled with those of other pairs


@dataclass(frozen=True)
class SeedEffect:
    """A mean square of seeds that was pooled over several comparisons, with its degrees of freedom."""

    mean_square: float
    degrees: float


@dataclass(frozen=True)
class MeanSquares:
    """The two-way layout of P prompts crossed with S seeds: its mean and its mean squares.

    Attributes:
        prompts, seeds, rest: MS_P, MS_S and MS_E; 0 where there is one prompt or one seed. With one seed MS_P holds
            the rest as well.
        n_prompts, n_seeds: P and S.
        scale: the largest size of a value, by which rounding errors are told from a spread.
    """

    mean: float
    prompts: float
    seeds: float
    rest: float
    n_prompts: int
    n_seeds: int
    scale: float

    @property
    def estimate(self) -> float:
        """The mean, rounded; exactly zero where it is a rounding error."""
        return rounded(self.mean) if abs(self.mean) > self.scale * 10.0**-DIGITS else 0.0

    @property
    def components(self) -> tuple[float, float, float]:
        """Unbiased estimates of v_P, v_S and v_E; those of v_P and v_S may be negative."""
        return (self.prompts - self.rest) / self.n_seeds, (self.seeds - self.rest) / self.n_prompts, self.rest

    def uncertainty(self, seed_effect: SeedEffect | None = None) -> tuple[float, float, float]:
        """Standard error of the mean, its degrees of freedom, and those of the seeds (infinite with one seed).

        Args:
            seed_effect: takes the place of the layout's own mean square of seeds.
        """
        n_p, n_s = self.n_prompts, self.n_seeds
        if n_p == 1 and n_s == 1:
            return math.inf, 1.0, math.inf
        if n_s == 1 or n_p == 1:
            square, n = (self.prompts, n_p) if n_s == 1 else (self.seeds, n_s)
            return self._root(square, n), n - 1.0, math.inf
        own = SeedEffect(self.seeds, n_s - 1.0) if seed_effect is None else seed_effect
        beyond = max(self.prompts - self.rest, 0.0)
        raised = max(own.mean_square, LEAST_SEEDS * self.rest)
        squares = raised**2 / own.degrees
        if beyond > 0:
            squares += self.prompts**2 / (n_p - 1) + self.rest**2 / ((n_p - 1) * (n_s - 1))
        total = (raised + beyond) ** 2
        inverse = squares / total if total > 0 else 1.0 / own.degrees
        inverse = (1 - TOWARDS_SEEDS) * inverse + TOWARDS_SEEDS / own.degrees
        return self._root(own.mean_square + beyond, n_p * n_s), 1.0 / inverse, own.degrees

    def p_value(self, seed_effect: SeedEffect | None = None) -> float:
        """Two-sided p of a mean of zero, from t.

        Where all values are equal and not zero, it is that of the sign test over prompts, 2^(1 - P).
        """
        error, degrees, of_seeds = self.uncertainty(seed_effect)
        if self.estimate == 0.0 or math.isinf(error):
            return 1.0
        if error == 0.0:
            return 2.0 ** (1 - self.n_prompts)
        t = abs(self.mean) / error
        p = 2.0 * float(stdtr(degrees, -t))
        return rounded(p if math.isinf(of_seeds) else max(p, 2.0 * float(stdtr(of_seeds, -t)) / TAIL))

    def _root(self, square: float, n: int) -> float:
        error = math.sqrt(square / n)
        return error if error > self.scale * 10.0**-DIGITS else 0.0


def mean_squares(values: ArrayLike, prompts: Labels | None = None, seeds: Labels | None = None) -> MeanSquares:
    """The two-way layout of per-item scores; arguments and errors as for ``layout``."""
    return of_layout(layout(values, prompts, seeds))


def layout(values: ArrayLike, prompts: Labels | None, seeds: Labels | None) -> Float:
    """Scores of the prompts that have one with every seed, (P, S).

    Args:
        values: one score per item (n,); NaN: does not apply to this item.
        prompts: prompt of each item; ``None``: every item is a prompt of its own. Items that share prompt and seed are
            averaged first.
        seeds: seed of each item; ``None``: all have one.

    Raises:
        UserError: no scored item, infinite scores, or labels of another length.
    """
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or np.isinf(scores).any():
        raise UserError(f"need one finite score per item, not shape {scores.shape} or infinities; correct the metric")
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
    shape = int(prompt.max()) + 1, int(seed.max()) + 1
    cell, cells = prompt * shape[1] + seed, shape[0] * shape[1]
    times_PS = np.bincount(cell, minlength=cells).reshape(shape)
    sums_PS = np.bincount(cell, scores[kept], cells).reshape(shape)
    columns = list(range(shape[1]))
    while not (whole_P := times_PS[:, columns].all(axis=1)).any():
        columns.remove(min(columns, key=lambda s: int((times_PS[:, s] > 0).sum())))
    return np.asarray(sums_PS[whole_P][:, columns] / times_PS[whole_P][:, columns])


def of_layout(table_PS: Float) -> MeanSquares:
    """Mean squares of a layout (P, S)."""
    n_p, n_s = table_PS.shape
    mean = float(table_PS.mean())
    of_P, of_S = table_PS.mean(axis=1) - mean, table_PS.mean(axis=0) - mean
    rest_PS = table_PS - mean - of_P[:, None] - of_S
    prompts = n_s * float(np.square(of_P).sum()) / max(n_p - 1, 1)
    seeds = n_p * float(np.square(of_S).sum()) / max(n_s - 1, 1)
    rest = float(np.square(rest_PS).sum()) / max((n_p - 1) * (n_s - 1), 1)
    return MeanSquares(mean, prompts, seeds, rest, n_p, n_s, float(np.abs(table_PS).max()))


def pool_seeds(layouts: Mapping[tuple[str, ...], MeanSquares]) -> dict[tuple[str, ...], SeedEffect]:
    """For comparisons of the arms of a table on one metric: their mean squares of seeds, pooled.

    Three seeds say little about one pair; the arms together say more. The mean over all pairs is twice the mean square
    of the interaction of arm and seed, with (K - 1) (S - 1) degrees of freedom for K arms, as in the analysis of
    variance of Dorfman, Berbaum and Metz (1992, Investigative Radiology 27, 723-731). It takes for granted that the
    arms vary alike between seeds. So a comparison whose own mean square is larger than those of the other arms
    (F test at ``UNLIKE``) keeps its own, and so does one without two other arms to be held against.

    Args:
        layouts: the arms of a comparison (one where it is against a reference) -> layout of its differences.

    Returns:
        Those that are pooled; nothing where prompts or seeds differ in number, or there is one seed.
    """
    sizes = {(one.n_prompts, one.n_seeds) for one in layouts.values()}
    if len(sizes) != 1 or min(next(iter(sizes))) < 2:
        return {}
    more = next(iter(sizes))[1] - 1
    arms = {arm for key in layouts for arm in key}
    pooled = SeedEffect(float(np.mean([one.seeds for one in layouts.values()])), (len(arms) - 1.0) * more)
    found = {}
    for key, own in layouts.items():
        apart = {other: one.seeds for other, one in layouts.items() if not set(other) & set(key)}
        others = len(set(itertools.chain(*apart)))
        if others < 2:
            continue
        theirs = float(np.mean(list(apart.values())))
        alike = own.seeds <= 0 if theirs <= 0 else fdtrc(more, (others - 1) * more, own.seeds / theirs) >= UNLIKE
        if alike:
            found[key] = pooled
    return found


def effect_size(table_PS: Float, scale: float) -> float | None:
    """Cohen's d_z over per-prompt means, ``None`` where it is not defined."""
    means = table_PS.mean(axis=1)
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return rounded(float(means.mean()) / spread) if spread > scale * 10.0**-DIGITS else None


def rounded(value: float) -> float:
    """``value`` to ``DIGITS`` digits."""
    return float(f"{value:.{DIGITS}g}")


def _dense(labels: Labels) -> Index:
    """Labels as numbers 0..k-1."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.intp)
