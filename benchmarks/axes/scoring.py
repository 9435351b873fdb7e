"""One system's clips, scored: metrics with intervals for the record, and per-clip scores for its items file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluators import score_set
from ..metrics.catalogue import about
from ..metrics.metric import Metric, metric
from ..metrics.statistics import interval
from ..study.axis import ItemRow

if TYPE_CHECKING:
    from ...corpora import Clip
    from .eval_set import EvalSet


Scored = tuple[dict[str, Metric], list[ItemRow], dict[str, Any]]


def score(audio_BN: np.ndarray, eval_set: EvalSet) -> Scored:
    """Metrics, per-clip rows, and what the scores rest on (evaluator, audio policy, chance levels).

    Args:
        audio_BN: one clip per prompt of the exam, in its order.
    """
    prompts = eval_set.prompts
    scores = score_set(
        eval_set.reference_outputs, list(audio_BN), [clip.caption for clip in prompts], [clip.attributes for clip in prompts],
        eval_set.evaluator, eval_set.sample_rate, paired=eval_set.prompt_outputs,
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
    return metrics, items, {**scores.details, "seconds": audio_BN.shape[1] / eval_set.sample_rate, "chance": chance}


def item_scores(columns: Mapping[str, np.ndarray], prompts: Sequence[Clip], basis: dict[str, Any]) -> Scored:
    """Per-clip scores (n,) by name as metrics with intervals over prompts; NaN: does not apply to that clip.

    A metric that applies to no clip is left out.
    """
    kept = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    metrics = {}
    for name, values in kept.items():
        found = interval(values, [clip.id for clip in prompts])
        metrics[name] = metric(
            found.estimate, low=found.low, high=found.high, n=found.n_items, better=about(name).better
        )
    rows: list[ItemRow] = [
        {"item": clip.id, "caption": clip.caption, **{name: float(values[i]) for name, values in kept.items()}}
        for i, clip in enumerate(prompts)
    ]
    return metrics, rows, basis


def renamed(scored: Scored, part: str) -> Scored:
    """Scores of a ``part`` of the clips: ``_<part>`` stands behind every name, and what they rest on below ``part``."""
    metrics, rows, basis = scored
    kept = ("item", "caption")
    marked: list[ItemRow] = [{k if k in kept else f"{k}_{part}": v for k, v in row.items()} for row in rows]
    return {f"{name}_{part}": value for name, value in metrics.items()}, marked, {part: basis}


def joined(first: Scored, second: Scored) -> Scored:
    """Two sets of scores of the same clips as one."""
    rows: list[ItemRow] = [{**a, **b} for a, b in zip(first[1], second[1])]
    return {**first[0], **second[0]}, rows, {**first[2], **second[2]}
