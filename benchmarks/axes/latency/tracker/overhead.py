"""What the tracker adds to every sample: the time it reads for an empty function."""

from __future__ import annotations

from .sampling import take_sample
from .summary import median


def overhead_s(device: str = "cpu", n: int = 101) -> float:
    """Median seconds of ``n`` samples of nothing."""

    def nothing() -> None:
        return None

    take_sample(nothing, device)
    return median([take_sample(nothing, device).wall_s for _ in range(n)]).value
