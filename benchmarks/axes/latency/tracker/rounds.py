"""Several systems measured together: each is prepared and warmed up, then they take their samples in turns.

A round is one sample of every system that is not done yet, in an order that turns from round to round, so that drift of
the machine hits all alike and none always runs after the same other. On a GPU a sample below 75% of the default clock
is thrown away and counted, and the next one waits, longer each time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .....common.lines import count
from .gpu_monitor import SLOW_CLOCK, Board
from .processor import cpu_time, frequency_mhz, others_share
from .sampling import Sample, Work, take_sample
from .stopping import BUSY, StopRule

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds to cool down after each throttled sample in a row; then it is given up


@dataclass
class Series:
    """The samples of one system, and what became of the criteria.

    Attributes:
        first_call_s, warm_ups: the first full-shape run, and those after it that warmed up.
        throttled: samples thrown away because the clock was low.
        unmet: criteria that were not met, in words.
    """

    work: Work
    first_call_s: float
    warm_ups: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    throttled: int = 0
    unmet: list[str] = field(default_factory=list)

    @property
    def wall(self) -> list[float]:
        """Seconds of all samples by the wall clock."""
        return [sample.wall_s for sample in self.samples]


def warm_up(work: Work, rule: StopRule, device: str = "cpu", compiles: bool = False) -> Series:
    """Run ``work`` for the first time, and again until it is warm.

    A run slower than ``rule.slow`` is not repeated: it has no caches to fill that matter at its length. A first call
    that ``compiles`` says nothing about that. On a GPU runs are repeated all the same until one neither captures a step
    nor calls one for the first time.
    """
    series = Series(work, take_sample(work, device).wall_s)
    slowest = 0.0 if compiles else series.first_call_s
    warming = device.startswith("cuda")  # the second run does
    while warming or (len(series.warm_ups) < rule.warm_ups and slowest <= rule.slow):
        before = _warmed_up(device)
        series.warm_ups.append(take_sample(work, device).wall_s)
        slowest = series.warm_ups[-1]
        warming = _warmed_up(device) > before
    if len(series.warm_ups) < rule.warm_ups:
        series.unmet.append(f"warm-ups: {len(series.warm_ups)} of {rule.warm_ups} after the first call")
    return series


def _warmed_up(device: str) -> int:
    """Steps captured or called for the first time so far; none anywhere but on a GPU."""
    if not device.startswith("cuda"):
        return 0
    from .....paradigms.session import warm_up_count

    return warm_up_count()


def measure(
    systems: list[Series],
    rule: StopRule,
    device: str = "cpu",
    board: Board | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Sample warm systems in turns until each is done; fills their ``samples`` and ``unmet``.

    Args:
        board: the GPU's, None on the CPU.
        report: told after every round which share of the sampling is done.

    Returns:
        ``state_before`` and ``state_after``: clocks, temperature, power, throttling, others' share of the machine.
    """
    gc.collect()
    before, start, round_ = _state(board), cpu_time(), 0
    while waiting := [series for series in systems if not _finished(series, rule)]:
        turn = round_ % len(waiting)
        for series in [*waiting[turn:], *waiting[:turn]]:
            _sample(series, device, round_, board)
        round_ += 1
        report(min(1.0, sum(sum(series.wall) for series in systems) / (rule.cap_seconds * len(systems))))
    others = others_share(start, cpu_time())
    for series in systems:
        series.unmet += rule.unmet(series.wall)
        if series.throttled:
            series.unmet.append(
                f"clock: {count(series.throttled, 'sample')} thrown away below {SLOW_CLOCK:.0%} of the default"
            )
        if board is None and others is not None and others > BUSY:
            series.unmet.append(f"quiet machine: others used {others:.0%} of it")
    return {"state_before": before, "state_after": {**_state(board), "others_share": _rounded(others)}}


def _finished(series: Series, rule: StopRule) -> bool:
    return rule.done(series.wall) or series.throttled > max(2 * len(PAUSES), 3 * len(series.samples))


def _sample(series: Series, device: str, round_: int, board: Board | None) -> None:
    """Add one sample, or count the ones that were throttled."""
    for pause in PAUSES:
        joules = board.energy_j() if board is not None else None
        sample = take_sample(series.work, device, round_)
        share = board.state().clock_share if board is not None and board.quick else None
        if share is None or share >= SLOW_CLOCK:
            used = board.energy_j() if board is not None else None
            energy = used - joules if used is not None and joules is not None else None
            series.samples.append(Sample(sample.wall_s, sample.device_s, round_, energy))
            return
        series.throttled += 1
        time.sleep(pause)


def _state(board: Board | None) -> dict[str, Any]:
    if board is not None:
        return board.state().as_json()
    return {"clock_mhz": _rounded(frequency_mhz(), 0)}


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
