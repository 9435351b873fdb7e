"""Classifier-free guidance (Ho and Salimans 2022) and its schedules.

The standard form is used everywhere: guided = null + w (conditional - null); w = 1 is no guidance. papers/003 eq. 4
writes conditional + w (conditional - null), which is the standard form at w + 1 (published inconsistency X54).
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Schedule = Literal["constant", "linear", "cosine", "annealed"]


def scale_at(schedule: Schedule, scale: float, progress: float) -> float:
    """Guidance scale when a fraction ``progress`` in [0, 1] of the clip is decided.

    ``constant``: w. ``linear``: from 1 up to w (MAR). ``cosine``: 1 + cos(pi progress / 2) (w - 1), from w down to 1
    (papers/004 appendix A). ``annealed``: from w down to 1 in a straight line (papers/003 eq. 5).
    """
    if schedule == "constant":
        return scale
    if schedule == "linear":
        return 1 + (scale - 1) * progress
    if schedule == "cosine":
        return 1 + (scale - 1) * math.cos(math.pi / 2 * progress)
    return 1 + (scale - 1) * (1 - progress)


def guide(both: Tensor, scale: float) -> Tensor:
    """Combine stacked branches (2B, ...), conditional rows first, into (B, ...)."""
    conditional, null = both.chunk(2)
    return null + scale * (conditional - null)
