"""Statistics of a list of times: median with interval, percentiles, and the rule that ends the sampling.

Median: the interval between two order statistics, which holds for any distribution: of n samples the median lies
between the l-th smallest and the l-th largest with probability 1 - 2 P(Binomial(n, 1/2) < l).

Percentiles: MLPerf inference accepts the p-th percentile of n samples if P(Binomial(n, 1 - p) <= t) <= 1 - c, with
c = 0.99 and t = 1 sample beyond it: the 50th needs 11 samples, the 90th 64, the 95th 130, the 99th 662.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .....common.errors import UserError

CONFIDENCE = 0.95
BUSY = 0.10  # if other processes use more than this share of the machine, times on the CPU are called disturbed


@dataclass(frozen=True)
class Median:
    """A median, its 95% interval (None for fewer than 6 samples, which cannot give one), and the number of samples."""

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def spread(self) -> float:
        """Half the width of the interval over the median: the median's relative error; infinite without an interval."""
        if self.low is None or self.high is None or self.value <= 0:
            return math.inf
        return (self.high - self.low) / 2 / self.value


def median(values: Sequence[float], confidence: float = CONFIDENCE) -> Median:
    """The median of ``values`` with its order-statistic interval.

    Raises:
        ValueError: ``values`` is empty.
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
    """The largest l with 2 P(Binomial(n, 1/2) < l) <= 1 - confidence; 0 if there is none."""
    rank, below = 0, 0.0
    while rank < n // 2:
        below += binomial(rank, n, 0.5)
        if 2 * below > 1 - confidence:
            break
        rank += 1
    return rank


def binomial(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) = k), for 0 < p < 1; in logarithms, because the coefficients exceed floats near n = 1000."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


@cache
def samples_needed(percentile: float, beyond: int = 1, confidence: float = 0.99) -> int:
    """The smallest number of samples that supports ``percentile`` (0 to 100, exclusive) by MLPerf's rule."""
    n = beyond + 1
    while sum(binomial(k, n, 1 - percentile / 100) for k in range(beyond + 1)) > 1 - confidence:
        n += 1
    return n


def percentile(values: Sequence[float], which: float) -> float | None:
    """The ``which``-th percentile (nearest rank); None if there are too few values (``samples_needed``)."""
    if len(values) < samples_needed(which):
        return None
    return sorted(values)[math.ceil(which / 100 * len(values)) - 1]


@dataclass(frozen=True)
class StopRule:
    """When the sampling of a system ends.

    It ends when there are at least ``samples`` samples that took ``seconds`` together and have a relative spread of at
    most ``spread`` (half the width of the median's 95% interval, over the median). It ends anyway after
    ``cap_samples`` samples or ``cap_seconds`` seconds, but never before the first sample.

    Attributes:
        warm_ups: full-size runs before the first sample, without the first call.
        slow: a run that takes longer than this many seconds is not repeated for warming up.
    """

    samples: int = 11
    seconds: float = 10.0
    spread: float = 0.02
    cap_samples: int = 1000
    cap_seconds: float = 120.0
    warm_ups: int = 3
    slow: float = 20.0

    def __post_init__(self) -> None:
        if min(self.samples, self.cap_samples) < 1 or min(self.seconds, self.spread, self.warm_ups) < 0:
            raise UserError("stop rule: samples and cap_samples must be 1 or more, the rest 0 or more")
        if self.cap_samples < self.samples:
            raise UserError(f"stop rule: cap_samples {self.cap_samples} is below samples {self.samples}; raise it")

    def unmet(self, seconds: Sequence[float]) -> list[str]:
        """The criteria that the times of the samples do not meet, each with its numbers."""
        missing = []
        if len(seconds) < self.samples:
            missing.append(f"samples: {len(seconds)} of {self.samples}")
        total = sum(seconds)
        if total < self.seconds:
            missing.append(f"seconds: {total:.2g} of {self.seconds:g}")
        spread = median(seconds).spread if seconds else float("inf")
        if spread > self.spread:
            size = f"{spread:.1%}" if spread < float("inf") else "no interval"
            missing.append(f"spread: {size}, not {self.spread:.0%}")
        return missing

    def capped(self, seconds: Sequence[float]) -> bool:
        """Whether a cap is reached."""
        return len(seconds) >= self.cap_samples or sum(seconds) >= self.cap_seconds

    def done(self, seconds: Sequence[float]) -> bool:
        """Whether the sampling ends."""
        if not seconds:
            return False
        enough = len(seconds) >= self.samples and sum(seconds) >= self.seconds  # cheap, and so checked first
        return self.capped(seconds) or (enough and not self.unmet(seconds))


PARTS = StopRule(samples=11, seconds=1.0, spread=0.05, cap_samples=101, cap_seconds=20.0, warm_ups=1)
"""The rule for parts that are timed apart: the time to first audio, and the decoder alone."""
