"""What a metric makes of real audio in steps of a degradation: its scores, and paired tests of their differences.

Every step is scored on the same prompts as clean audio, so differences are tested prompt by prompt
(``statistics.compare``), of set-level metrics by each clip's contribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .statistics import compare
from .variance import Labels

REFERENCES = "references"  # the chain of systems without a model, which are in no order
Float = NDArray[np.float64]
Tested = tuple[float | None, float | None, float | None]
"""Low and high end of a difference's interval, and its p."""


@dataclass(frozen=True)
class SetScore:
    """A metric's score of one set of clips.

    Attributes:
        value: the score.
        items: the score or contribution of each clip (n,), NaN where the metric does not apply; None: it has none.
    """

    value: float
    items: Float | None = None


@dataclass(frozen=True)
class StepScore:
    """A metric's score of one step of a degradation; p-values are None where the metric has no scores per clip.

    Attributes:
        step: in the chain's unit.
        value: the score.
        difference: value minus the value of clean audio; ``low`` and ``high`` bound its 95% interval.
        p: of no difference from clean audio, paired by prompt, two-sided.
        change: value minus the value of the step before, of the first step minus that of clean audio.
        p_change: of no change from the step before, paired by prompt, two-sided.
    """

    step: float
    value: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    change: float = 0.0
    p_change: float | None = None


@dataclass(frozen=True)
class MetricLadder:
    """What one metric makes of all chains.

    Attributes:
        clean: its score of the clean clips.
        better: its better end.
        chains: name of the chain -> the scores of its steps, in increasing severity.
    """

    clean: float
    better: Literal["higher", "lower", "neither"]
    chains: dict[str, tuple[StepScore, ...]]


def step_scores(
    clean: SetScore, steps: Sequence[float], scored: Sequence[SetScore], prompts: Labels, higher_is_better: bool
) -> list[StepScore]:
    """The scores of a chain's steps, in order, with their tests against clean audio and against the step before.

    Args:
        scored: the metric's scores of the steps.
        prompts: of the items of every set.
    """
    found, before = [], clean
    for step, now in zip(steps, scored):
        low, high, p = _compared(now, clean, prompts, higher_is_better)
        *_, p_change = _compared(now, before, prompts, higher_is_better)
        gaps = now.value - clean.value, now.value - before.value
        found.append(StepScore(step, now.value, gaps[0], low, high, p, gaps[1], p_change))
        before = now
    return found


def _compared(a: SetScore, b: SetScore, prompts: Labels, higher_is_better: bool) -> Tested:
    """Interval of a - b and its p; None where one has no items, or no two items in common."""
    if a.items is None or b.items is None:
        return None, None, None
    kept = np.isfinite(a.items) & np.isfinite(b.items)
    if kept.sum() < 2:
        return None, None, None
    if np.array_equal(a.items[kept], b.items[kept]):
        return 0.0, 0.0, 1.0
    labels = [prompt for prompt, use in zip(prompts, kept) if use]
    found = compare(a.items[kept], b.items[kept], labels, higher_is_better=higher_is_better)
    return found.difference.low, found.difference.high, found.p_value
