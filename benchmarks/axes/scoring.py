"""Scores of one system's clips: metrics with intervals for its record, and per-clip scores for its items file."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...corpora import Clip
from ..evaluators import score_set
from ..metrics.catalogue import metric_of
from ..metrics.loudness import FLOOR_LUFS, loudness_lufs, peak
from ..metrics.metric import Metric
from ..metrics.statistics import interval
from ..study.axis import ItemRow
from .eval_set import EvalSet, RealOutputs

INTERVALS = "t, from variance components"  # the rule; records without it had bootstrap intervals
Scored = tuple[dict[str, Metric], list[ItemRow], dict[str, Any]]
"""Metrics by name, one row of scores per clip, and details on how the scores were computed."""


def score(audio_BN: np.ndarray, eval_set: EvalSet) -> Scored:
    """Scores of one clip per prompt by the tagger and by every judge, and the clips' loudness and peak.

    The details are those of the tagger (preparation of audio, numbers of clips, chance levels), with those of the
    judges by name under ``judges``.

    Args:
        audio_BN: the clips (n, N), in the order of the prompts.
    """
    by_evaluator = [_by_evaluator(audio_BN, eval_set, real) for real in (eval_set.tagger, *eval_set.judges)]
    judged = {real.evaluator.name: details for real, (*_, details) in zip(eval_set.judges, by_evaluator[1:])}
    level = item_scores(_levels(audio_BN, eval_set.sample_rate), eval_set.prompts, {"loudness_floor": FLOOR_LUFS})
    metrics, rows, _ = functools.reduce(joined, [*by_evaluator, level])
    details = {**by_evaluator[0][2], **level[2], "intervals": INTERVALS}
    return metrics, rows, {**details, **({"judges": judged} if judged else {})}


def _by_evaluator(audio_BN: np.ndarray, eval_set: EvalSet, real: RealOutputs) -> Scored:
    """Scores by one evaluator; what captions ask for is asked of the tagger alone."""
    begun, prompts = time.perf_counter(), eval_set.prompts
    tags = real is eval_set.tagger
    scores = score_set(
        real.reference,
        list(audio_BN),
        captions=[clip.caption for clip in prompts],
        asked=[clip.attributes if tags else {} for clip in prompts],
        evaluator=real.evaluator,
        sample_rate=eval_set.sample_rate,
        paired=real.prompts,
    )
    intervals = scores.intervals([clip.id for clip in prompts])
    metrics = {name: metric_of(name, found) for name, found in intervals.items()}
    chance = {name: dataclasses.asdict(level) for name, level in scores.chance.items()}
    rows = _rows(scores.per_item | scores.contributions(), prompts)
    details = {**scores.details, "seconds": audio_BN.shape[1] / eval_set.sample_rate}
    details |= {"chance": chance} if tags else {}
    return metrics, rows, {**details, "scoring_seconds": round(time.perf_counter() - begun, 3)}


def _levels(audio_BN: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
    """Loudness and peak of every clip, each (n,)."""
    return {
        "loudness_lufs": np.array([loudness_lufs(audio_N, sample_rate) for audio_N in audio_BN]),
        "peak": np.array([peak(audio_N) for audio_N in audio_BN]),
    }


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
