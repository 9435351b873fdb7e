"""One sample: the work between two synchronisations, timed by the wall clock and by device events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Sample:
    """One run of the work.

    Attributes:
        wall_s: seconds by the wall clock, from one synchronisation to the other.
        device_s: seconds between the device's events; None on the CPU, which has none.
        round: in which of the interleaved rounds it was taken.
        energy_j: joules that the board counted meanwhile; None where it does not count.
    """

    wall_s: float
    device_s: float | None = None
    round: int = 0
    energy_j: float | None = None


def take_sample(work: Work, device: str = "cpu", round_: int = 0) -> Sample:
    """Run ``work`` once and time it; what it returns is freed after the clock has stopped."""
    if device.startswith("cuda"):
        return _on_cuda(work, device, round_)
    start = time.perf_counter_ns()
    result = work()
    end = time.perf_counter_ns()
    del result
    return Sample((end - start) * 1e-9, None, round_)


def synchronise(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def _on_cuda(work: Work, device: str, round_: int) -> Sample:
    import torch

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
