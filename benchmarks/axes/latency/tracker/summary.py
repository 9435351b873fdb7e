"""What a list of samples supports: the median with its interval, and those percentiles that have enough samples.

Median: the interval between two order statistics, which holds whatever the distribution: with n samples the median lies
between the l-th smallest and the l-th largest with probability 1 - 2 P(Binomial(n, 1/2) < l).

Percentiles: MLPerf inference accepts the p-th percentile of n samples when P(Binomial(n, 1 - p) <= t) <= 1 - c, with
c = 0.99 and t = 1 sample beyond it: the 50th needs 11 samples, the 90th 64, the 95th 130, the 99th 662.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Median:
    """A median, its 95% interval (None below 6 samples, which cannot give one), and the number of samples."""

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def spread(self) -> float:
        """Half the interval's width over the median: how far the median itself may be off; infinite without one."""
        if self.low is None or self.high is None or self.value <= 0:
            return math.inf
        return (self.high - self.low) / 2 / self.value


def median(values: Sequence[float], confidence: float = CONFIDENCE) -> Median:
    """The median of ``values`` with its order-statistic interval.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("the median of no samples is not defined")
    ordered = sorted(values)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    rank = _interval_rank(n, confidence)
    if rank == 0:
        return Median(middle, None, None, n)
    return Median(middle, ordered[rank - 1], ordered[n - rank], n)


@cache
def _interval_rank(n: int, confidence: float) -> int:
    """The largest l with 2 P(Binomial(n, 1/2) < l) <= 1 - confidence; 0 where there is none."""
    rank, below = 0, 0.0
    while rank < n // 2:
        below += binomial(rank, n, 0.5)
        if 2 * below > 1 - confidence:
            break
        rank += 1
    return rank


def binomial(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) = k), for 0 < p < 1; by logarithms, since the coefficients outgrow floats near n = 1000."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


@cache
def samples_needed(percentile: float, beyond: int = 1, confidence: float = 0.99) -> int:
    """The fewest samples that support ``percentile`` (0 to 100, exclusive) by MLPerf's rule."""
    n = beyond + 1
    while sum(binomial(k, n, 1 - percentile / 100) for k in range(beyond + 1)) > 1 - confidence:
        n += 1
    return n


def percentile(values: Sequence[float], which: float) -> float | None:
    """The ``which``-th percentile (nearest rank), or None where n does not support it."""
    if len(values) < samples_needed(which):
        return None
    return sorted(values)[math.ceil(which / 100 * len(values)) - 1]
