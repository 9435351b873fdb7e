"""The fidelity panel: every metric of two sets of clips, from arrays of samples to set-level and per-clip scores.

Three sets of equal n take part: the reference set of the distances, the generated clips, and the real clip of each
caption, with which paired metrics compare. The last may be the reference set itself. Names carry the evaluator's
suffix (``fad_builtin``):

- set-level: ``fad`` (Frechet distance), ``kad`` (kernel distance), each with its bootstrap interval;
- per clip: ``kl`` (summed over attributes), ``adherence_<attribute>`` and ``adherence`` (their mean per clip),
  ``clap``, and an evaluator's own scores (``pq_audiobox``).

Rows for real audio, codec output, noise or shuffled captions are made with the same function on other arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluators import audio as policy
from benchmarks.evaluators.base import Audio, Evaluator, Float, Hearing
from benchmarks.metrics.adherence import Chance, agreement, chance
from benchmarks.metrics.frechet import frechet_distance
from benchmarks.metrics.kad import kernel_distance, median_bandwidth
from benchmarks.metrics.kl import joint_kl
from benchmarks.statistics import Interval, Labels, interval, interval_of
from common.errors import UserError

SET_LEVEL = ("fad", "kad")
LOWER_IS_BETTER = ("fad", "kad", "kl")


@dataclass(frozen=True)
class PanelScores:
    """What the panel found.

    Attributes:
        set_metrics: name -> value, the set-level metrics and the mean of every per-clip one.
        per_item: name -> (n,) scores; NaN where a metric does not apply to a clip (nothing asked for).
        chance: per-attribute adherence metric -> what guessing would score.
        generated, reference: what the evaluator heard, for ``intervals`` and for comparisons between arms.
        details: evaluator, policy, sample rate, n of both sets, silent clips, clipped eigenvalues; JSON-ready.
    """

    set_metrics: dict[str, float]
    per_item: dict[str, Float]
    chance: dict[str, Chance]
    generated: Hearing = field(repr=False)
    reference: Hearing = field(repr=False)
    details: dict[str, Any]

    def set_level(self) -> dict[str, Callable[[NDArray[np.intp]], float]]:
        """Set-level metrics as functions of the indices of generated clips, for ``statistics.compare_of``."""
        suffix, reference, generated = self.details["evaluator"], self.reference.embeddings, self.generated.embeddings
        width = median_bandwidth(reference)
        return {
            f"fad_{suffix}": lambda index: frechet_distance(reference, generated[index]).value,
            f"kad_{suffix}": lambda index: kernel_distance(reference, generated[index], width),
        }

    def intervals(
        self, prompts: Labels, seeds: Labels | None = None, *, n_draws: int = 2000, set_draws: int = 200, seed: int = 0
    ) -> dict[str, Interval]:
        """Bootstrap interval of every metric, clustered on prompt and seed; the reference set is held fixed."""
        means = {name: interval(v, prompts, seeds, n_draws=n_draws, seed=seed) for name, v in self.per_item.items()}
        sets = {
            name: interval_of(metric, prompts, seeds, n_draws=set_draws, seed=seed)
            for name, metric in self.set_level().items()
        }
        return {**sets, **means}


def score_set(
    reference: Audio | Hearing,
    generated: Audio | Hearing,
    captions: Sequence[str],
    asked: Sequence[Mapping[str, str]],
    evaluator: Evaluator,
    sample_rate: int,
    paired: Audio | Hearing | None = None,
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
    heard_reference = _hear(reference, None, evaluator, sample_rate, "reference")
    heard_paired = heard_reference if paired is None else _hear(paired, None, evaluator, sample_rate, "paired")
    heard = _hear(generated, captions, evaluator, sample_rate, "generated")
    suffix = evaluator.name
    per_item, levels = _adherence(heard, asked, evaluator)
    if heard.posteriors:
        per_item[f"kl_{suffix}"] = joint_kl(heard_paired.posteriors, heard.posteriors)
    if heard.similarity is not None:
        per_item[f"clap_{suffix}"] = heard.similarity
    per_item |= {f"{axis}_{suffix}": values for axis, values in heard.scores.items()}
    frechet = frechet_distance(heard_reference.embeddings, heard.embeddings)
    set_metrics = {
        f"fad_{suffix}": frechet.value,
        f"kad_{suffix}": kernel_distance(heard_reference.embeddings, heard.embeddings),
        **{name: float(np.nanmean(values)) for name, values in per_item.items()},
    }
    details = {
        "evaluator": suffix,
        "evaluator_identity": evaluator.identity,
        "evaluator_checkpoint": evaluator.checkpoint,
        "sample_rate": sample_rate,
        "n_reference": frechet.n_reference,
        "n_generated": frechet.n_generated,
        "frechet_clipped": frechet.clipped,
        "silent_clips": heard.silent,
        "policy": policy.POLICY,
    }
    return PanelScores(set_metrics, per_item, levels, heard, heard_reference, details)


def _size(audio: Audio | Hearing) -> int:
    return len(audio.embeddings) if isinstance(audio, Hearing) else len(audio)


def _hear(
    audio: Audio | Hearing, captions: Sequence[str] | None, evaluator: Evaluator, sample_rate: int, name: str
) -> Hearing:
    if isinstance(audio, Hearing):
        return audio
    policy.check(audio, sample_rate, name)
    return evaluator.hear(audio, sample_rate, captions)


def _adherence(
    heard: Hearing, asked: Sequence[Mapping[str, str]], evaluator: Evaluator
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
