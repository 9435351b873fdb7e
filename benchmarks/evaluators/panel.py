"""The fidelity panel: every metric of two sets of clips, from arrays of samples to set-level and per-clip scores.

Three sets of equal n take part: the reference set of the distances, the generated clips, and the real clip of each
caption, with which paired metrics compare. The last may be the reference set itself. Names carry the evaluator's
suffix (``fad_builtin``):

- set-level, each with its bootstrap interval: ``fad`` and ``fad_inf`` (Frechet distance, and extrapolated to infinitely
  many clips), ``kad`` (kernel distance), ``mad`` (MAUVE), ``precision``, ``recall``, ``density``, ``coverage``, ``is``;
- per clip: ``kl`` (summed over attributes), ``adherence_<attribute>`` and ``adherence`` (their mean per clip),
  ``clap``, and an evaluator's own scores (``pq_audiobox``).

Rows for real audio, codec output, noise or shuffled captions are made with the same function on other arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...common.errors import UserError
from ..metrics.adherence import Chance, agreement, chance
from ..metrics.catalogue import about, family
from ..metrics.kl import joint_kl
from ..metrics.statistics import Interval, Labels, contributions, interval, interval_of
from . import audio as policy
from .base import Audio, Evaluator, Float, EvaluatorOutput
from .set_level import SLOW_DRAWS, SMOOTH, SetLevel, SetMetric


@dataclass(frozen=True)
class PanelScores:
    """What the panel found.

    Attributes:
        set_metrics: name -> value, the set-level metrics and the mean of every per-clip one.
        per_item: name -> (n,) scores; NaN where a metric does not apply to a clip (nothing asked for).
        chance: per-attribute adherence metric -> what guessing would score.
        generated, reference: what the evaluator heard, for ``intervals`` and for comparisons between arms.
        details: evaluator, policy, sample rate, n of both sets, silent clips, clipped eigenvalues, fit of FAD-infinity,
            what could not be scored; JSON-ready.
        sets: the set-level metrics, ready for other draws of clips.
    """

    set_metrics: dict[str, float]
    per_item: dict[str, Float]
    chance: dict[str, Chance]
    generated: EvaluatorOutput = field(repr=False)
    reference: EvaluatorOutput = field(repr=False)
    details: dict[str, Any]
    sets: SetLevel = field(repr=False)

    def set_level(self) -> dict[str, SetMetric]:
        """Set-level metrics as functions of the indices of generated clips, for any draw of clips."""
        return {f"{name}_{self.details['evaluator']}": metric for name, metric in self.sets.functions.items()}

    def contributions(self) -> dict[str, Float]:
        """Each clip's share in the smooth set-level metrics, name -> (n,), by which arms are compared clip by clip.

        None for fewer than three clips: the jackknife leaves one out, and a set of one clip has no spread.
        """
        n, suffix = len(self.generated.embeddings), self.details["evaluator"]
        if n < 3:
            return {}
        smooth = {name: metric for name, metric in self.sets.functions.items() if name in SMOOTH}
        return {f"{name}_{suffix}": contributions(metric, n) for name, metric in smooth.items()}

    def intervals(
        self, prompts: Labels, seeds: Labels | None = None, *, n_draws: int = 2000, set_draws: int = 200, seed: int = 0
    ) -> dict[str, Interval]:
        """Bootstrap interval of every metric, clustered on prompt and seed; the reference set is held fixed."""
        means = {name: interval(v, prompts, seeds, n_draws=n_draws, seed=seed) for name, v in self.per_item.items()}
        sets = {}
        for name, metric in self.set_level().items():
            draws, kind = min(set_draws, SLOW_DRAWS.get(family(name), set_draws)), about(name)
            drawn = interval_of(metric, prompts, seeds, n_draws=draws, seed=seed)
            low, high = max(drawn.low, kind.least), min(drawn.high, kind.most)
            sets[name] = dataclasses.replace(drawn, low=low, high=high)
        return {**sets, **means}


def score_set(
    reference: Audio | EvaluatorOutput,
    generated: Audio | EvaluatorOutput,
    captions: Sequence[str],
    asked: Sequence[Mapping[str, str]],
    evaluator: Evaluator,
    sample_rate: int,
    paired: Audio | EvaluatorOutput | None = None,
) -> PanelScores:
    """Score generated clips against the real clips of the same captions.

    Args:
        reference, generated: mono float32 clips (N,); or what ``evaluator.hear`` made of them, so that a reference
        shared by
            many arms is heard once.
        captions: the caption of each clip.
        asked: attributes that each caption asks for, as ``Clip.attributes``.
        sample_rate: of all sets, Hz.
        paired: the real clip of each caption, in the order of ``generated``; ``None``: the reference set is that.

    Raises:
        UserError: unequal numbers, fewer than two clips, or a clip that cannot be scored.
    """
    sizes = {
        "reference": _size(reference),
        "generated": _size(generated),
        "captions": len(captions),
        "asked": len(asked),
    }
    sizes |= {} if paired is None else {"paired": _size(paired)}
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{n} {name}" for name, n in sizes.items())
        raise UserError(f"unequal sets ({counts}): scores compare at equal n only, give as many of each")
    reference_outputs = _hear(reference, None, evaluator, sample_rate, "reference")
    heard_paired = reference_outputs if paired is None else _hear(paired, None, evaluator, sample_rate, "paired")
    heard = _hear(generated, captions, evaluator, sample_rate, "generated")
    per_item, levels = _adherence(heard, asked, evaluator)
    per_item |= clip_scores(heard, heard_paired, evaluator.name)
    return panel(reference_outputs, heard, evaluator, per_item, levels, {"sample_rate": sample_rate})


def clip_scores(generated: EvaluatorOutput, paired: EvaluatorOutput | None, suffix: str) -> dict[str, Float]:
    """Per-clip metrics that need no list of what was asked for, name -> (n,).

    Args:
        paired: the real clip of each generated one; ``None``: there is none, so no ``kl``.
    """
    scores = {f"{axis}_{suffix}": values for axis, values in generated.scores.items()}
    if paired is not None and generated.posteriors:
        scores[f"kl_{suffix}"] = joint_kl(paired.posteriors, generated.posteriors)
    if generated.similarity is not None:
        scores[f"clap_{suffix}"] = generated.similarity
    return scores


def panel(
    reference: EvaluatorOutput,
    generated: EvaluatorOutput,
    evaluator: Evaluator,
    per_item: dict[str, Float],
    levels: dict[str, Chance],
    about_sets: Mapping[str, Any],
) -> PanelScores:
    """Scores from what an evaluator heard and from the per-clip scores made of it; ``about_sets`` joins the details."""
    sets, suffix = SetLevel(reference, generated), evaluator.name
    everything = np.arange(len(generated.embeddings))
    set_metrics = {f"{name}_{suffix}": metric(everything) for name, metric in sets.functions.items()}
    set_metrics |= {name: float(np.nanmean(values)) for name, values in per_item.items()}
    details = {
        "evaluator": suffix,
        "evaluator_identity": evaluator.identity,
        "evaluator_checkpoint": evaluator.checkpoint,
        **about_sets,
        "n_reference": len(reference.embeddings),
        "n_generated": len(generated.embeddings),
        "silent_clips": generated.silent,
        "silent_reference_clips": reference.silent,
        "policy": policy.POLICY,
        **sets.details(),
    }
    return PanelScores(set_metrics, per_item, levels, generated, reference, details, sets)


def _size(audio: Audio | EvaluatorOutput) -> int:
    return len(audio.embeddings) if isinstance(audio, EvaluatorOutput) else len(audio)


def _hear(
    audio: Audio | EvaluatorOutput, captions: Sequence[str] | None, evaluator: Evaluator, sample_rate: int, name: str
) -> EvaluatorOutput:
    if isinstance(audio, EvaluatorOutput):
        return audio
    policy.check(audio, sample_rate, name)
    return evaluator.hear(audio, sample_rate, captions)


def _adherence(
    heard: EvaluatorOutput, asked: Sequence[Mapping[str, str]], evaluator: Evaluator
) -> tuple[dict[str, Float], dict[str, Chance]]:
    """0/1 per clip and attribute, their mean per clip, and chance levels; attributes nobody asked for are left out."""
    scores, levels = {}, {}
    for name, values in evaluator.classes.items():
        wanted = [attributes.get(name) for attributes in asked]
        if any(value is not None for value in wanted):
            metric = f"adherence_{name}_{evaluator.name}"
            scores[metric] = agreement(wanted, [values[i] for i in heard.posteriors[name].argmax(1)])
            levels[metric] = chance(wanted, values)
    if scores:
        table = np.stack(list(scores.values()))
        asked_for = ~np.isnan(table)
        total = asked_for.sum(0)
        mean = np.where(asked_for, table, 0.0).sum(0) / np.where(total, total, np.nan)
        return {f"adherence_{evaluator.name}": mean, **scores}, levels
    return scores, levels
