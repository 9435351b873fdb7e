"""The highest rates of a device, measured: bandwidth of a memory copy and throughput of a matrix product.

They bound the time of any computation on the device (``backbones.cost.bound_seconds``). The copy has the size of the
data that the computation reads again and again, its weights, because a model that fits into a cache is bounded by the
bandwidth of the cache. The fastest repetition counts, since disturbances can only slow a device down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

COPY_SECONDS = 0.5  # time spent on each of the two measurements
LARGEST = 2 << 30  # bytes; no cache is larger
MATRIX = {"cpu": 1536, "cuda": 8192}  # rows of the square matrices


@dataclass(frozen=True)
class Rates:
    """Rates of a device.

    Attributes:
        copy_bytes_per_s: bytes read plus bytes written, per second.
        flops_per_s: floating-point operations per second; a multiply-add counts as two.
        working_set_bytes: size of the data that was copied.
    """

    copy_bytes_per_s: float
    flops_per_s: float
    working_set_bytes: int


def measure_rates(working_set: int, dtype: torch.dtype, device: str = "cpu") -> Rates:
    """Measure both rates, in about a second.

    Args:
        working_set: bytes to work on; one half is copied to the other half.
        dtype: number format of the matrices.
    """
    import torch  # not at the top: ``bench list`` and ``bench report`` load this module and measure nothing

    half = max(4096, min(working_set, LARGEST) // 2)
    copy_rate = 2 * half / _copy_seconds(half, device)
    side = MATRIX["cuda" if device.startswith("cuda") else "cpu"]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    rates = Rates(copy_rate, 2 * side**3 / _fastest(lambda: a @ b, device), 2 * half)
    if device.startswith("cuda"):
        torch.cuda.empty_cache()  # otherwise the allocator keeps the memory, and a later peak would count it
    return rates


def _copy_seconds(size: int, device: str) -> float:
    """Seconds of copying ``size`` bytes."""
    import torch

    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    repeats = max(1, (4 << 20) // size)  # a copy of kilobytes would measure the overhead of the call

    def copy() -> None:
        for _ in range(repeats):
            target.copy_(source)

    return _fastest(copy, device) / repeats


def _fastest(work: Callable[[], Any], device: str) -> float:
    """Seconds of the fastest run of ``work``, after one that does not count."""
    import torch

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    work()
    spent, best = 0.0, float("inf")
    while spent < COPY_SECONDS:
        wait()
        start = time.perf_counter()
        result = work()
        wait()
        seconds = time.perf_counter() - start
        del result  # freed outside the measured time
        spent, best = spent + seconds, min(best, seconds)
    return best
