"""Samples of one or several systems: what one sample is, warming up, and taking samples in turns.

A round is one sample of every system that is not done yet. The order changes from round to round, so that drift of the
machine affects all systems alike and no system always runs after the same other one. On a GPU a sample that was taken
below 75% of the default clock is thrown away and counted, and the next one waits, longer each time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .....common.lines import count
from .....paradigms.session import warm_up_count
from .monitor import SLOW_CLOCK, GpuMonitor, cpu_time, frequency_mhz, others_share
from .statistics import BUSY, StopRule, median

Work = Callable[[], Any]
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds to cool down after each throttled sample in a row; then the turn is over


@dataclass(frozen=True)
class Sample:
    """One run of the work.

    Attributes:
        wall_s: seconds by the wall clock, from one synchronisation to the next.
        device_s: seconds between events on the device; None on the CPU.
        round: the round in which it was taken.
        energy_j: joules that the GPU counted meanwhile; None if it does not count them.
    """

    wall_s: float
    device_s: float | None = None
    round: int = 0
    energy_j: float | None = None


@dataclass
class Series:
    """The samples of one system.

    Attributes:
        first_call_s: seconds of the first full-size run.
        warm_ups: seconds of the runs after it, before the first sample.
        throttled: number of samples thrown away because the clock was low.
        unmet: criteria that were not met, as text.
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


class Compilations:
    """Counts what torch.compile compiles; inside the clock it must compile nothing."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._start = self._count()

    def some(self) -> bool:
        """Whether anything was compiled since ``restart``."""
        return self._count() > self._start

    def _count(self) -> int:
        from torch._dynamo.utils import counters  # slow to import, and needed only where something is compiled

        return int(counters["stats"]["unique_graphs"])


def take_sample(work: Work, device: str = "cpu", round_: int = 0) -> Sample:
    """Run ``work`` once and time it; its result is freed after the clock has stopped."""
    if device.startswith("cuda"):
        return _sample_on_cuda(work, device, round_)
    start = time.perf_counter_ns()
    result = work()
    end = time.perf_counter_ns()
    del result
    return Sample((end - start) * 1e-9, None, round_)


def _sample_on_cuda(work: Work, device: str, round_: int) -> Sample:
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start = time.perf_counter_ns()
    before.record()
    result = work()
    after.record()
    torch.cuda.synchronize(device)
    end = time.perf_counter_ns()
    del result
    return Sample((end - start) * 1e-9, before.elapsed_time(after) * 1e-3, round_)


def overhead_s(device: str = "cpu", n: int = 101) -> float:
    """Seconds that the tracker itself adds to every sample: the median of ``n`` samples of an empty function."""

    def nothing() -> None:
        return None

    take_sample(nothing, device)
    return median([take_sample(nothing, device).wall_s for _ in range(n)]).value


def warm_up(work: Work, rule: StopRule, device: str = "cpu", compiles: bool = False) -> Series:
    """Run ``work`` for the first time, and again until it is warm.

    A run slower than ``rule.slow`` is not repeated: filling caches does not matter at its length. The first call does
    not count for this if it ``compiles``. On a GPU runs are repeated in any case until one neither captures a step nor
    calls a captured step for the first time.
    """
    series = Series(work, take_sample(work, device).wall_s)
    slowest = 0.0 if compiles else series.first_call_s
    warming = device.startswith("cuda")  # the second run captures and calls steps
    while warming or (len(series.warm_ups) < rule.warm_ups and slowest <= rule.slow):
        before = _warmed_up(device)
        series.warm_ups.append(take_sample(work, device).wall_s)
        slowest = series.warm_ups[-1]
        warming = _warmed_up(device) > before
    if len(series.warm_ups) < rule.warm_ups:
        series.unmet.append(f"warm-ups: {len(series.warm_ups)} of {rule.warm_ups} after the first call")
    return series


def _warmed_up(device: str) -> int:
    """Number of steps that were captured or called for the first time so far; 0 anywhere but on a GPU."""
    return warm_up_count() if device.startswith("cuda") else 0


def measure(
    systems: list[Series],
    rule: StopRule,
    device: str = "cpu",
    monitor: GpuMonitor | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Sample warm systems in turns until each is done; fills their ``samples`` and ``unmet``.

    Args:
        monitor: of the GPU; None on the CPU.
        report: called after every round with the share of the sampling that is done, 0 to 1.

    Returns:
        ``state_before`` and ``state_after``: clocks, temperature, power, throttling, the share of the machine that
        others used.
    """
    gc.collect()
    before, start, round_ = _state(monitor), cpu_time(), 0
    while waiting := [series for series in systems if not _finished(series, rule)]:
        turn = round_ % len(waiting)
        for series in [*waiting[turn:], *waiting[:turn]]:
            _sample(series, device, round_, monitor)
        round_ += 1
        report(min(1.0, sum(sum(series.wall) for series in systems) / (rule.cap_seconds * len(systems))))
    others = others_share(start, cpu_time())
    for series in systems:
        series.unmet += rule.unmet(series.wall)
        if series.throttled:
            series.unmet.append(
                f"clock: {count(series.throttled, 'sample')} thrown away below {SLOW_CLOCK:.0%} of the default"
            )
        if monitor is None and others is not None and others > BUSY:
            series.unmet.append(f"quiet machine: others used {others:.0%} of it")
    return {"state_before": before, "state_after": {**_state(monitor), "others_share": _rounded(others)}}


def _finished(series: Series, rule: StopRule) -> bool:
    return rule.done(series.wall) or series.throttled > max(2 * len(PAUSES), 3 * len(series.samples))


def _sample(series: Series, device: str, round_: int, monitor: GpuMonitor | None) -> None:
    for pause in PAUSES:
        joules = monitor.energy_j() if monitor is not None else None
        sample = take_sample(series.work, device, round_)
        share = monitor.state().clock_share if monitor is not None and monitor.quick else None
        if share is None or share >= SLOW_CLOCK:
            used = monitor.energy_j() if monitor is not None else None
            energy = used - joules if used is not None and joules is not None else None
            series.samples.append(Sample(sample.wall_s, sample.device_s, round_, energy))
            return
        series.throttled += 1
        time.sleep(pause)


def _state(monitor: GpuMonitor | None) -> dict[str, Any]:
    if monitor is not None:
        return monitor.state().as_json()
    return {"clock_mhz": _rounded(frequency_mhz(), 0)}


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
