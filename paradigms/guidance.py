"""Classifier-free guidance (Ho and Salimans 2022) and its schedules.

The standard form is used everywhere: guided = null + w (conditional - null); w = 1 is no guidance. Yang et al. 2025,
eq. 4 is conditional + w (conditional - null), the standard form at w + 1 (published inconsistency X54).

With temporal controls there may be a third branch, which has the text alone (JASCO, Tal et al. 2024):
guided = null + w (all - null) + w_text (text - null). All branches of a step run in one batch, the null branch last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..common.config import later

Schedule = Literal["constant", "linear", "cosine", "cosine_iterations", "annealed", "annealed_to_2"]


@dataclass(frozen=True, kw_only=True)
class Guided:
    """Settings of guidance, which every sampler has.

    Attributes:
        guidance: scale w of all conditions against the null condition; 1: no guidance.
        guidance_text: additional scale of the text alone against the null condition; 0: none.
    """

    guidance: float = 3.0
    guidance_text: float = later(0.0)

    @property
    def branches(self) -> int:
        """Rows per clip: one each for all conditions, for the text alone if it has a scale, for the null condition."""
        if self.guidance_text:
            return 3
        return 1 if self.guidance == 1 else 2


def scale_at(schedule: Schedule, scale: float, progress: float, iterations: float | None = None) -> float:
    """Guidance scale when a fraction p = ``progress`` in [0, 1] of the clip is generated.

        constant           w
        linear             1 + (w - 1) p, up (MAR)
        annealed           1 + (w - 1) (1 - p), down (Yang et al. 2025, eq. 5, p = (i - 1) / (n - 1) at position i of n)
        annealed_to_2      2 + (w - 2) (1 - p), the same with eq. 4 as printed, whose scale is w - 1 (X54)
        cosine             1 + (w - 1) cos(pi p / 2), down
        cosine_iterations  1 + (w - 1) cos(pi t / 2T), down, after iteration t of T (Huang et al. 2025, eq. 5)

    Where tokens are revealed by the same cosine, as in mar, a share 1 - cos(pi t / 2T) of the clip is generated after
    iteration t, so that ``cosine_iterations`` equals ``annealed`` but for rounding to whole tokens; ``cosine`` falls
    later.

    Args:
        iterations: share t / T of the iterations that are done; None: equal to ``progress``.
    """
    if schedule == "constant":
        return scale
    if schedule == "linear":
        return 1 + (scale - 1) * progress
    if schedule == "cosine_iterations":
        progress = progress if iterations is None else iterations
    if schedule.startswith("cosine"):
        return 1 + (scale - 1) * math.cos(math.pi / 2 * progress)
    end = 2 if schedule == "annealed_to_2" else 1
    return end + (scale - end) * (1 - progress)


def guide(rows: Tensor, settings: Guided, scale: Tensor | float | None = None) -> Tensor:
    """Combine the stacked branches (n B, ...) of ``settings`` into (B, ...), in float32.

    A difference of two outputs that are nearly equal is multiplied by the scale, and with it the rounding of the
    arithmetic. So a model that samples in bf16 leaves bf16 here, and all that follows (softmax, top-k, solver) is
    float32.

    Args:
        scale: replaces ``settings.guidance`` where a schedule changes it; a number, or a tensor of one.
    """
    rows = rows.float()
    if settings.branches == 1:
        return rows
    everything, *text, null = rows.chunk(settings.branches)
    guided = torch.lerp(null, everything, settings.guidance if scale is None else scale)
    return guided + settings.guidance_text * (text[0] - null) if text else guided
