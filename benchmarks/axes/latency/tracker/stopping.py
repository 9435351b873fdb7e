"""When there are enough samples: the rule, the caps, and the names of what was not reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....common.errors import UserError
from .summary import median

BUSY = 0.10  # other processes may use this share of the machine before a CPU time is called disturbed


@dataclass(frozen=True)
class StopRule:
    """How long a system is sampled.

    Enough: at least ``samples`` samples that took ``seconds`` together, and a relative spread of at most ``spread``,
    which is half the width of the median's 95% interval over the median. Whatever is missing then, sampling ends at
    ``cap_samples`` samples or ``cap_seconds`` seconds (never before the first sample).

    Attributes:
        warm_ups: full-shape runs before the first sample, the first call not counted.
        slow: a run that takes longer than so many seconds is not repeated for warming up: the first call must do.
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
        """Which of the three criteria the samples' times do not meet, with the figures."""
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
        """Whether a cap ends the sampling."""
        return len(seconds) >= self.cap_samples or sum(seconds) >= self.cap_seconds

    def done(self, seconds: Sequence[float]) -> bool:
        """Whether sampling ends here."""
        if not seconds:
            return False
        cheap = len(seconds) >= self.samples and sum(seconds) >= self.seconds
        return self.capped(seconds) or (cheap and not self.unmet(seconds))


PARTS = StopRule(samples=11, seconds=1.0, spread=0.05, cap_samples=101, cap_seconds=20.0, warm_ups=1)
"""For parts that are timed beside the whole: time to first audio, and the decoder alone."""
