"""What the device can do at best, measured in the same run: copy bandwidth and matrix rate.

A bound made of these is the time a system cannot beat on this device (backbones/cost.py). The copy is measured at the
size of what is read again and again, the weights: a model that fits into a cache is held against the cache's bandwidth.
The best of the repetitions counts, since nothing can make a device faster than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .sampling import Work, take_sample

COPY_SECONDS = 0.5  # time spent on each of the two
LARGEST = 2 << 30  # bytes; beyond this no cache has a say
MATRIX = {"cpu": 1536, "cuda": 8192}


@dataclass(frozen=True)
class Rates:
    """Best rates: bytes per second (read plus written), floating-point operations per second (a multiply-add is 2)."""

    copy_bytes_per_s: float
    flops_per_s: float
    working_set_bytes: int


def measure_rates(working_set: int, dtype: Any, device: str = "cpu") -> Rates:
    """Measure both, for about a second.

    Args:
        working_set: bytes that are used over and over; half of it is copied to the other half.
        dtype: torch dtype of the matrices.
    """
    import torch

    half = max(4096, min(working_set, LARGEST) // 2)
    rates = Rates(_copy_rate(half, device), _matrix_rate(dtype, device), 2 * half)
    if device.startswith("cuda"):
        torch.cuda.empty_cache()  # or the allocator would hold it, and a peak would count it
    return rates


def _copy_rate(half: int, device: str) -> float:
    """Bytes per second, read plus written, of copying ``half`` bytes."""
    import torch

    source, target = (torch.zeros(half, dtype=torch.uint8, device=device) for _ in range(2))
    repeats = max(1, (4 << 20) // half)  # a copy of kilobytes would time the call and not the copy

    def copy() -> None:
        for _ in range(repeats):
            target.copy_(source)

    return 2 * half * repeats / _best(copy, device)


def _matrix_rate(dtype: Any, device: str) -> float:
    """Operations per second of a square matrix product."""
    import torch

    side = MATRIX["cuda" if device.startswith("cuda") else "cpu"]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: a @ b, device)


def _best(work: Work, device: str) -> float:
    work()
    spent, best = 0.0, float("inf")
    while spent < COPY_SECONDS:
        seconds = take_sample(work, device).wall_s
        spent, best = spent + seconds, min(best, seconds)
    return best
