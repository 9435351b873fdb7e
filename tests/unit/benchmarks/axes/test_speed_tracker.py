"""The tracker against known sleeps, known allocations and GPUs with scripted readings."""

from __future__ import annotations

import time

import numpy as np
import pytest

from paradigm_bench.benchmarks.axes.latency.tracker.monitor import CpuTime, GpuMonitor, GpuState, others_share
from paradigm_bench.benchmarks.axes.latency.tracker.sampling import Series, measure, take_sample, warm_up
from paradigm_bench.benchmarks.axes.latency.tracker.statistics import StopRule
from paradigm_bench.common import memory
from paradigm_bench.common.device_rates import measure_rates

QUICK = StopRule(samples=3, seconds=0, spread=1e9, cap_samples=3)


def test_a_known_sleep_is_read() -> None:
    begun = time.perf_counter()
    sample = take_sample(lambda: time.sleep(0.05))
    assert 0.05 <= sample.wall_s <= time.perf_counter() - begun  # how much longer than asked is the machine's business
    assert sample.device_s is None


def test_a_known_allocation_is_the_peak_although_it_is_gone() -> None:
    memory.reset_peak()
    held = memory.resident()
    big = np.ones(200_000_000, dtype=np.uint8)
    del big
    peak = memory.peak().process
    assert held is not None
    assert peak is not None
    assert 195e6 < peak - held < 260e6
    memory.reset_peak()
    assert (memory.peak().process or 0) < peak - 150e6


def test_first_call_and_warm_ups_are_not_among_the_samples() -> None:
    naps = iter([0.05, *[0.0] * 20])
    series = warm_up(lambda: time.sleep(next(naps)), QUICK)
    measure([series], QUICK)
    assert series.first_call_s >= 0.05
    assert len(series.warm_ups) == 3
    assert len(series.samples) == 3
    assert len(list(naps)) == 21 - 1 - 3 - 3


def test_slow_work_is_warmed_up_by_its_first_call_alone_and_says_so() -> None:
    calls = []
    series = warm_up(lambda: calls.append(time.sleep(0.02)), StopRule(slow=0.01))
    assert len(calls) == 1
    assert series.unmet == ["warm-ups: 0 of 3 after the first call"]


def test_systems_take_turns_and_none_always_goes_first() -> None:
    order: list[str] = []
    systems = [Series(lambda name=name: order.append(name), 0.0) for name in "abc"]  # type: ignore[misc]
    measure(systems, QUICK)
    assert order == list("abcbcacab")
    assert [sample.round for sample in systems[0].samples] == [0, 1, 2]


def test_a_system_that_is_done_leaves_the_others_to_go_on() -> None:
    slow = Series(lambda: time.sleep(0.02), 0.0)
    fast = Series(lambda: None, 0.0)
    measure([slow, fast], StopRule(samples=2, seconds=0, spread=1e9, cap_samples=6, cap_seconds=0.03))
    assert len(slow.samples) == 2
    assert len(fast.samples) >= 2


class FakeMonitor(GpuMonitor):
    """A GPU whose clock falls to half for some readings, and which uses 3 J per reading of its counter."""

    def __init__(self, slow: set[int]) -> None:
        self.slow, self.readings, self.joules = slow, 0, 0.0

    @property
    def quick(self) -> bool:
        return True

    def state(self) -> GpuState:
        self.readings += 1
        return GpuState(clock_mhz=500 if self.readings in self.slow else 1000, default_clock_mhz=1000)

    def energy_j(self) -> float:
        self.joules += 3
        return self.joules


def test_throttled_samples_are_thrown_away_counted_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("paradigm_bench.benchmarks.axes.latency.tracker.sampling.time.sleep", pauses.append)
    series = Series(lambda: None, 0.0)
    measure([series], QUICK, monitor=FakeMonitor(slow={2, 3}))
    assert (len(series.samples), series.throttled, pauses) == (3, 2, [0.1, 0.2])
    assert series.unmet[-1:] == ["clock: 2 samples thrown away below 75% of the default"]
    assert [sample.energy_j for sample in series.samples] == [3, 3, 3]


def test_a_gpu_that_stays_slow_ends_the_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.benchmarks.axes.latency.tracker.sampling.time.sleep", lambda seconds: None)
    series = Series(lambda: None, 0.0)
    measure([series], QUICK, monitor=FakeMonitor(slow=set(range(1000))))
    assert series.samples == []
    assert series.throttled > 10


def test_others_share_is_what_this_process_did_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    before, after = CpuTime(100.0, 10.0, 0.0), CpuTime(130.0, 20.0, 10.0)
    assert others_share(before, after) == pytest.approx(0.5)  # 30 busy less 10 own, of 40 core-seconds
    assert others_share(before, CpuTime(105.0, 20.0, 10.0)) == 0.0  # ticks are coarse; never negative
    assert others_share(None, after) is None


def test_rates_are_of_the_order_of_hardware() -> None:
    import torch

    rates = measure_rates(8 << 20, torch.float32)
    assert rates.working_set_bytes == 8 << 20
    assert 1e8 < rates.copy_bytes_per_s < 1e13
    assert 1e8 < rates.flops_per_s < 1e15
