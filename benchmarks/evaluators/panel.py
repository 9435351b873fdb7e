"""The fidelity panel: every metric of two sets of clips.

Three sets of n clips take part: the reference set of the distances, the generated clips, and the real clip of each
caption, with which paired metrics compare. The last may be the reference set itself. Metric names end in the name of
the evaluator (``fad_builtin``):

- set-level, each with its interval: ``fad`` and ``fad_inf`` (Frechet distance, and its value extrapolated to
  infinitely many clips), ``kad`` (kernel distance), ``mad`` (MAUVE), ``precision``, ``recall``, ``density``,
  ``coverage``, ``is`` (Inception Score), ``band_level`` (difference of octave bands' levels);
- per clip: ``kl`` (summed over attributes), ``adherence_<attribute>`` and ``adherence`` (their mean per clip),
  ``clap``, and the scores that an evaluator computes itself (``pq_audiobox``).

A new set-level metric is called in ``SetLevel``, a new per-clip metric in ``clip_scores``; see docs/metrics.md.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import UserError
from ...common.lines import count
from ..metrics.adherence import Chance, agreement, chance
from ..metrics.arrays import by_content
from ..metrics.bands import band_level
from ..metrics.catalogue import CATALOGUE, about, family
from ..metrics.frechet import MIN_CLIPS, FrechetInfinity, FrechetReference, frechet_distance, frechet_infinity
from ..metrics.kad import KernelTable
from ..metrics.manifold import NEIGHBOURS, manifold
from ..metrics.mauve import counts, divergence, quantise
from ..metrics.posteriors import joint_inception_score, joint_kl
from ..metrics.statistics import LEVEL, Interval, contributions, interval, resampled
from ..metrics.variance import Labels
from . import audio as policy
from .base import Audio, Evaluator, EvaluatorOutput, Float

Index = NDArray[np.intp]
SetMetric = Callable[[Index], float]


@dataclass(frozen=True)
class PanelScores:
    """Scores of a set of clips.

    Attributes:
        set_metrics: name -> value, of the set-level metrics and the mean of every per-clip one.
        per_item: name -> (n,) scores; NaN where a metric does not apply to a clip (nothing asked for).
        chance: per-attribute adherence metric -> its chance levels.
        generated, reference: the evaluator's outputs, for ``intervals`` and for comparisons between systems.
        details: evaluator, policy, sample rate, n of both sets, silent clips, clipped eigenvalues, fit of FAD-infinity,
            what could not be scored; JSON-ready.
        sets: the set-level metrics as functions of the clips that take part.
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
        """Contribution of each clip to the smooth set-level metrics, name -> (n,), for comparisons clip by clip.

        Empty for fewer than three clips: the jackknife leaves one out, and a set of one clip has no spread.
        """
        return dict(self._contributions)

    @functools.cached_property
    def _contributions(self) -> dict[str, Float]:
        n, suffix = len(self.generated.embeddings), self.details["evaluator"]
        if n < 3:
            return {}
        smooth = {name: metric for name, metric in self.sets.functions.items() if CATALOGUE[name].smooth}
        return {f"{name}_{suffix}": contributions(metric, n) for name, metric in smooth.items()}

    def intervals(self, prompts: Labels) -> dict[str, Interval]:
        """Interval of every metric over the prompts of this run; the reference set is held fixed.

        Smooth set-level metrics by the contributions of the clips, those of nearest neighbours by a bootstrap over
        clips. ``fad_inf``, a random extrapolation, has none: its ends are infinite.
        """
        means = {name: interval(values, prompts) for name, values in self.per_item.items()}
        smooth = {name: interval(values, prompts) for name, values in self.contributions().items()}
        sets = {}
        for name, metric in self.set_level().items():
            kind = about(name)
            found = smooth[name] if name in smooth else self._interval(name, metric)
            sets[name] = dataclasses.replace(found, low=max(found.low, kind.least), high=min(found.high, kind.most))
        return {**sets, **means}

    def _interval(self, name: str, metric: SetMetric) -> Interval:
        n = len(self.generated.embeddings)
        if family(name) != "fad_inf" and not about(name).smooth:
            return resampled(metric, n)
        return Interval(self.set_metrics[name], -math.inf, math.inf, LEVEL, n, n, 1)


def score_set(
    reference: Audio | EvaluatorOutput,
    generated: Audio | EvaluatorOutput,
    captions: Sequence[str],
    asked: Sequence[Mapping[str, str]],
    evaluator: Evaluator,
    sample_rate: int,
    paired: Audio | EvaluatorOutput | None = None,
) -> PanelScores:
    """Score generated clips against real clips.

    Args:
        reference, generated: mono float32 clips (N,), or the evaluator's output for them, so that a reference set
            shared by many systems is evaluated once.
        captions: the caption of each generated clip.
        asked: attributes that each caption asks for, as ``Clip.attributes``.
        sample_rate: of all sets, Hz.
        paired: the real clip of each caption, in the order of ``generated``; ``None``: the reference set.

    Raises:
        UserError: unequal numbers, fewer than two clips, or a clip that cannot be scored.
    """
    sets = {"reference": reference, "generated": generated, **({} if paired is None else {"paired": paired})}
    sizes = {name: len(one.embeddings if isinstance(one, EvaluatorOutput) else one) for name, one in sets.items()}
    sizes |= {"captions": len(captions), "asked": len(asked)}
    if len(set(sizes.values())) > 1:
        numbers = ", ".join(f"{n} {name}" for name, n in sizes.items())
        raise UserError(f"unequal sets ({numbers}): scores compare at equal n only, give as many of each")
    real = _evaluate(reference, None, evaluator, sample_rate, "reference")
    partners = real if paired is None else _evaluate(paired, None, evaluator, sample_rate, "paired")
    output = _evaluate(generated, captions, evaluator, sample_rate, "generated")
    per_item, levels = _adherence(output, asked, evaluator)
    per_item |= clip_scores(output, partners, evaluator.name)
    return panel(real, output, evaluator, per_item, levels, {"sample_rate": sample_rate})


def clip_scores(generated: EvaluatorOutput, paired: EvaluatorOutput | None, suffix: str) -> dict[str, Float]:
    """Per-clip metrics that do not need the attributes asked for, name -> (n,).

    Args:
        paired: output for the real clip of each generated one; ``None``: there is none, so no ``kl``.
        suffix: name of the evaluator.
    """
    scores = {f"{name}_{suffix}": values for name, values in generated.scores.items()}
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
    """All scores, from an evaluator's outputs and the per-clip scores; ``about_sets`` is added to the details."""
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


class SetLevel:
    """The set-level metrics of ``generated`` against ``reference``, for any selection of generated clips.

    Jackknife and bootstrap call them for many selections of clips, so the share of the reference set, which is
    held fixed, is computed once. The clusters of MAD and the balls of precision and recall are also computed once, from
    the whole set, and held for all draws. The clips of a draw are sorted by content, so that their order does not
    change the result.

    Args:
        reference, generated: outputs of one evaluator for n clips each.

    Attributes:
        functions: family -> function of the indices of generated clips (with repeats).
        missing: family -> why it is not scored (too few clips, or an output that the evaluator does not have).

    Raises:
        UserError: fewer than two clips, or embeddings of two evaluators.
    """

    def __init__(self, reference: EvaluatorOutput, generated: EvaluatorOutput) -> None:
        self.frechet = frechet_distance(reference.embeddings, generated.embeddings)
        order = np.lexsort(generated.embeddings.T[::-1])
        self._rank = np.argsort(order)
        self._reference, self._generated = by_content(reference.embeddings), generated.embeddings[order]
        self._posteriors = {name: rows[order] for name, rows in generated.posteriors.items()}
        made = generated.band_levels
        real = reference.band_levels
        self._levels = None if real is None else by_content(real), None if made is None else made[order]
        self.missing: dict[str, str] = {}
        self.functions = {name: self._sorted(metric) for name, metric in self._metrics().items()}

    def _metrics(self) -> dict[str, SetMetric]:
        """Every metric that can be prepared; one that cannot leaves the others and has its reason in ``missing``."""
        prepare: dict[tuple[str, ...], Callable[[], tuple[SetMetric, ...]]] = {
            ("fad",): self._fad,
            ("kad",): self._kad,
            ("mad",): self._mad,
            ("fad_inf",): lambda: (self._fad_inf,) if self._enough(MIN_CLIPS, "fad_inf") else (),
            ("precision", "recall", "density", "coverage"): self._balls,
            ("is",): self._inception,
            ("band_level",): self._bands,
        }
        found: dict[str, SetMetric] = {}
        for families, functions in prepare.items():
            try:
                found |= zip(families, functions())
            except UserError as error:
                self.missing |= dict.fromkeys(families, str(error))
        return found

    def _fad(self) -> tuple[SetMetric, ...]:
        fixed, made = FrechetReference.of(self._reference), self._generated
        return (lambda index: fixed.distance(made[index])[0],)

    def _kad(self) -> tuple[SetMetric, ...]:
        kernels, n = KernelTable.of(self._reference, self._generated), len(self._generated)
        return (lambda index: kernels.distance(np.bincount(index, minlength=n).astype(np.float64)),)

    def _mad(self) -> tuple[SetMetric, ...]:
        labels = quantise(self._reference, self._generated)
        shares = counts(labels.reference, labels.clusters)
        return (lambda index: divergence(counts(labels.generated[index], labels.clusters), shares),)

    def _balls(self) -> tuple[SetMetric, ...]:
        """Precision, recall, density and coverage; none where a set is too small."""
        if not self._enough(NEIGHBOURS + 1, "precision", "recall", "density", "coverage"):
            return ()
        balls = manifold(self._reference, self._generated)
        return (
            lambda index: balls.of(index).precision,
            lambda index: balls.of(index).recall,
            lambda index: balls.of(index).density,
            lambda index: balls.of(index).coverage,
        )

    def _inception(self) -> tuple[SetMetric, ...]:
        posteriors = self._posteriors
        if not posteriors:
            raise UserError("this evaluator gives no class posteriors")
        return (lambda index: joint_inception_score({k: rows[index] for k, rows in posteriors.items()}),)

    def _bands(self) -> tuple[SetMetric, ...]:
        """Difference of the octave bands' levels; none from an evaluator that does not measure them."""
        real, made = self._levels
        if real is None or made is None:
            return ()
        return (lambda index: band_level(real, made[index]),)

    def details(self) -> dict[str, Any]:
        """Clipped eigenvalues, the fit of FAD-infinity, and what is missing and why; JSON-ready."""
        found: dict[str, Any] = {"frechet_clipped": self.frechet.clipped, "not_scored": dict(self.missing)}
        if "fad_inf" in self.functions:
            fit = self._whole_fit
            found["fad_inf_fit"] = {"r_squared": fit.r_squared, "sizes": fit.sizes, "distances": fit.distances}
        return found

    def _enough(self, needed: int, *families: str) -> bool:
        n = min(len(self._reference), len(self._generated))
        if n < needed:
            self.missing |= {name: f"{count(n, 'clip')}, it needs {needed}" for name in families}
        return n >= needed

    def _sorted(self, metric: SetMetric) -> SetMetric:
        return lambda index: metric(np.sort(self._rank[index]))

    def _fad_inf(self, index: Index) -> float:
        if np.array_equal(index, np.arange(len(self._generated))):
            return self._whole_fit.value
        return frechet_infinity(self._reference, self._generated[index]).value

    @functools.cached_property
    def _whole_fit(self) -> FrechetInfinity:
        return frechet_infinity(self._reference, self._generated)


def _evaluate(
    audio: Audio | EvaluatorOutput, captions: Sequence[str] | None, evaluator: Evaluator, sample_rate: int, name: str
) -> EvaluatorOutput:
    if isinstance(audio, EvaluatorOutput):
        return audio
    policy.check(audio, sample_rate, name)
    return evaluator.evaluate(audio, sample_rate, captions)


def _adherence(
    output: EvaluatorOutput, asked: Sequence[Mapping[str, str]], evaluator: Evaluator
) -> tuple[dict[str, Float], dict[str, Chance]]:
    """0/1 per clip and attribute, their mean per clip, and chance levels; attributes nobody asked for are left out."""
    scores, levels = {}, {}
    for name, values in evaluator.classes.items():
        wanted = [attributes.get(name) for attributes in asked]
        if any(value is not None for value in wanted):
            metric = f"adherence_{name}_{evaluator.name}"
            scores[metric] = agreement(wanted, [values[i] for i in output.posteriors[name].argmax(1)])
            levels[metric] = chance(wanted, values)
    if scores:
        table = np.stack(list(scores.values()))
        asked_for = ~np.isnan(table)
        total = asked_for.sum(0)
        mean = np.where(asked_for, table, 0.0).sum(0) / np.where(total, total, np.nan)
        return {f"adherence_{evaluator.name}": mean, **scores}, levels
    return scores, levels
