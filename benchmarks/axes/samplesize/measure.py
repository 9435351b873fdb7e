"""Measurement of sample-size cells: score draws of n clips again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....common.seeds import seed_for
from ....corpora import Clip
from ...evaluators import Evaluator, EvaluatorOutput, score_set
from ...evaluators.cache import output_of, row_of
from ...metrics.catalogue import about
from ...metrics.frechet import frechet_distance
from ...metrics.kad import kernel_distance
from ...metrics.metric import Metric, metric
from ...study.axis import Context, Measurement
from ...study.cells import Cell
from ...study.references import as_loud_noise
from .cells import SAMPLE_RATE, SampleSizeConfig, eligible_clips, open_sources

AT_ONCE = 64  # clips in memory


@dataclass(frozen=True)
class EvaluatedClips:
    """The outputs of one evaluator for all clips of a study.

    Attributes:
        reference: for the half from which reference sets are drawn.
        real: for the other half.
        noise: for noise as loud as each clip of the other half; None where the study has no noise.
    """

    evaluator: Evaluator
    reference: EvaluatorOutput
    real: EvaluatorOutput
    noise: EvaluatorOutput | None


class SampleSizeGroup:
    """All cells of a study: the evaluators' outputs for every clip, from which the draws are taken."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        how, seconds = cells[0].how, cells[0].read(SampleSizeConfig).evaluation.seconds
        corpus, evaluators = open_sources(how)
        clips = eligible_clips(corpus, seconds)
        half, samples = len(clips) // 2, round(seconds * SAMPLE_RATE)
        self.clips, self.context = clips[half : 2 * half], context
        with_noise = any(cell.system == "noise" for cell in cells)
        self.tagger, *self.judges = (
            EvaluatedClips(
                one,
                self._evaluate(one, clips[:half], samples, captioned=False),
                self._evaluate(one, self.clips, samples),
                self._evaluate(one, self.clips, samples, noise=True) if with_noise else None,
            )
            for one in evaluators
        )

    def measure(self, cell: Cell) -> Measurement:
        """Score all draws of a cell."""
        begun, evaluation = time.perf_counter(), cell.read(SampleSizeConfig).evaluation
        n = evaluation.n
        rows = [self._score(cell, n, repeat) for repeat in range(evaluation.repeats)]
        shrunk = math.sqrt(1 - n / len(self.clips))
        metrics = {name: _spread([row[name] for row in rows], name, n, shrunk) for name in rows[0]}
        items = [{"item": f"repeat-{i}", "caption": "", **row} for i, row in enumerate(rows)]
        return Measurement(metrics=metrics, items=items, timing={"measuring_seconds": time.perf_counter() - begun})

    def _score(self, cell: Cell, n: int, repeat: int) -> dict[str, float]:
        """All metrics of one draw, which has the same clips for both kinds of audio."""
        rng = np.random.default_rng(seed_for("samplesize", n, repeat))
        reference, drawn = (rng.permutation(len(self.clips))[:n] for _ in range(2))
        clips, tagger = [self.clips[i] for i in drawn], self.tagger
        scores = score_set(
            _select(tagger.reference, reference),
            _select(_generated(tagger, cell), drawn),
            captions=[clip.caption for clip in clips],
            asked=[clip.attributes for clip in clips],
            evaluator=tagger.evaluator,
            sample_rate=SAMPLE_RATE,
            paired=_select(tagger.real, drawn),
        )
        found = dict(scores.set_metrics)
        for judge in self.judges:
            sets = judge.reference.embeddings[reference], _generated(judge, cell).embeddings[drawn]
            found[f"kad_{judge.evaluator.name}"] = kernel_distance(*sets)
            found[f"fad_{judge.evaluator.name}"] = frechet_distance(*sets).value
        return found

    def _evaluate(
        self, evaluator: Evaluator, clips: Sequence[Clip], samples: int, captioned: bool = True, noise: bool = False
    ) -> EvaluatorOutput:
        """The evaluator's output for the beginnings of clips, or for noise as loud as each of them."""
        parts = []
        for start in range(0, len(clips), AT_ONCE):
            part = clips[start : start + AT_ONCE]
            what = f"embedding {'noise' if noise else 'real clips'} by {evaluator.name}"
            self.context.report(start / len(clips), what)
            audio_BN = np.stack([clip.audio(SAMPLE_RATE)[:samples] for clip in part]).astype(np.float32)
            if noise:
                seeds = [seed_for("samplesize", clip.id) for clip in part]
                audio_BN = np.concatenate([as_loud_noise(row[None], seed) for row, seed in zip(audio_BN, seeds)])
            captions = [clip.caption for clip in part] if captioned else None
            parts.append(evaluator.evaluate(list(audio_BN), SAMPLE_RATE, captions))
        rows = [row_of(part, i) for part in parts for i in range(len(part.embeddings))]
        return output_of(rows, sum(part.silent for part in parts))


def _spread(values: Sequence[float], name: str, n: int, shrunk: float) -> Metric:
    """Mean of the draws' values, and the interval in which 95% of single measurements fall."""
    kind, mean, half = about(name), float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / shrunk
    low, high = max(mean - half, kind.least), min(mean + half, kind.most)
    return metric(mean, low=low, high=high, n=n, better=kind.better)


def _generated(evaluated: EvaluatedClips, cell: Cell) -> EvaluatorOutput:
    """Outputs for the kind of audio that a cell scores."""
    generated = evaluated.real if cell.system == "real" else evaluated.noise
    assert generated is not None
    return generated


def _select(output: EvaluatorOutput, index: np.ndarray) -> EvaluatorOutput:
    return output_of([row_of(output, int(i)) for i in index], 0)
