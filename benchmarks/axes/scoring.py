"""Scores of one system's clips: metrics with intervals for its record, and per-clip scores for its items file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...corpora import Clip
from ..evaluators import score_set
from ..metrics.catalogue import metric_of
from ..metrics.metric import Metric
from ..metrics.statistics import interval
from ..study.axis import ItemRow
from .eval_set import EvalSet

Scored = tuple[dict[str, Metric], list[ItemRow], dict[str, Any]]
"""Metrics by name, one row of scores per clip, and details on how the scores were computed."""


def score(audio_BN: np.ndarray, eval_set: EvalSet) -> Scored:
    """Scores of one clip per prompt; the details are evaluator, preparation of audio, and chance levels.

    Args:
        audio_BN: the clips (n, N), in the order of the prompts.
    """
    prompts = eval_set.prompts
    scores = score_set(
        eval_set.reference_outputs,
        list(audio_BN),
        captions=[clip.caption for clip in prompts],
        asked=[clip.attributes for clip in prompts],
        evaluator=eval_set.evaluator,
        sample_rate=eval_set.sample_rate,
        paired=eval_set.prompt_outputs,
    )
    intervals = scores.intervals([clip.id for clip in prompts])
    metrics = {name: metric_of(name, found) for name, found in intervals.items()}
    chance = {name: dataclasses.asdict(level) for name, level in scores.chance.items()}
    details = {**scores.details, "seconds": audio_BN.shape[1] / eval_set.sample_rate, "chance": chance}
    return metrics, _rows(scores.per_item | scores.contributions(), prompts), details


def item_scores(columns: Mapping[str, np.ndarray], prompts: Sequence[Clip], details: dict[str, Any]) -> Scored:
    """Per-clip scores (n,) by name, as metrics with intervals over prompts; NaN where one does not apply to a clip.

    A metric that applies to no clip is left out.
    """
    kept = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    ids = [clip.id for clip in prompts]
    metrics = {name: metric_of(name, interval(values, ids)) for name, values in kept.items()}
    return metrics, _rows(kept, prompts), details


def renamed(scored: Scored, part: str) -> Scored:
    """Scores of a ``part`` of the clips: names end in ``_<part>``, and the details are stored under ``part``."""
    metrics, rows, details = scored
    kept = ("item", "caption")
    marked: list[ItemRow] = [{k if k in kept else f"{k}_{part}": v for k, v in row.items()} for row in rows]
    return {f"{name}_{part}": value for name, value in metrics.items()}, marked, {part: details}


def joined(first: Scored, second: Scored) -> Scored:
    """Two sets of scores of the same clips as one."""
    rows: list[ItemRow] = [{**a, **b} for a, b in zip(first[1], second[1])]
    return {**first[0], **second[0]}, rows, {**first[2], **second[2]}


def _rows(columns: Mapping[str, np.ndarray], prompts: Sequence[Clip]) -> list[ItemRow]:
    numbers = {name: values.tolist() for name, values in columns.items()}
    return [
        {"item": clip.id, "caption": clip.caption, **{name: column[i] for name, column in numbers.items()}}
        for i, clip in enumerate(prompts)
    ]
