"""One system's clips, scored: metrics with intervals for the record, and per-clip scores for its items file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.evaluators import score_set
from benchmarks.metrics.catalogue import about
from benchmarks.records import ItemRow, Metric, metric

if TYPE_CHECKING:
    from benchmarks.axes.judging import Exam


def score(audio_BN: np.ndarray, exam: Exam) -> tuple[dict[str, Metric], list[ItemRow], dict[str, Any]]:
    """Metrics, per-clip rows, and what the scores rest on (evaluator, audio policy, chance levels).

    Args:
        audio_BN: one clip per prompt of the exam, in its order.
    """
    prompts = exam.prompts
    scores = score_set(
        exam.heard_reference, list(audio_BN), [clip.caption for clip in prompts], [clip.attributes for clip in prompts],
        exam.evaluator, exam.sample_rate, paired=exam.heard_prompts,
    )  # fmt: skip
    metrics = {
        name: metric(value.estimate, low=value.low, high=value.high, n=value.n_items, better=about(name).better)
        for name, value in scores.intervals([clip.id for clip in prompts]).items()
    }
    columns = {name: values.tolist() for name, values in (scores.per_item | scores.contributions()).items()}
    items: list[ItemRow] = [
        {"item": clip.id, "caption": clip.caption, **{name: column[i] for name, column in columns.items()}}
        for i, clip in enumerate(prompts)
    ]
    chance = {name: dataclasses.asdict(level) for name, level in scores.chance.items()}
    return metrics, items, {**scores.details, "seconds": audio_BN.shape[1] / exam.sample_rate, "chance": chance}
