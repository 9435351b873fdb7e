"""Measurement of sample-size cells: score draws of n clips again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from ....common.seeds import seed_for
from ....corpora import Clip
from ...evaluators import EvaluatorOutput, score_set
from ...evaluators.cache import output_of, row_of
from ...metrics.catalogue import about
from ...metrics.metric import Metric, metric
from ...study.axis import Context, Measurement
from ...study.cells import Cell
from ...study.references import as_loud_noise
from .cells import SAMPLE_RATE, SampleSizeConfig, eligible_clips, open_sources

AT_ONCE = 64  # clips in memory


class SampleSizeGroup:
    """All cells of a study: the evaluator's outputs for every clip, from which the draws are taken."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        how, seconds = cells[0].how, cells[0].read(SampleSizeConfig).evaluation.seconds
        corpus, self.evaluator = open_sources(how["corpus"], how["evaluator"])
        clips = eligible_clips(corpus, seconds)
        half = len(clips) // 2
        self.clips, self.context = clips[half : 2 * half], context
        with_noise = any(cell.system == "noise" for cell in cells)
        samples = round(seconds * SAMPLE_RATE)
        self.reference = self._evaluate(clips[:half], samples, done=0.0, captioned=False)
        self.real = self._evaluate(self.clips, samples, done=0.4)
        self.noise = self._evaluate(self.clips, samples, done=0.7, noise=True) if with_noise else None

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
        generated = self.real if cell.system == "real" else self.noise
        assert generated is not None
        clips = [self.clips[i] for i in drawn]
        scores = score_set(
            _select(self.reference, reference),
            _select(generated, drawn),
            captions=[clip.caption for clip in clips],
            asked=[clip.attributes for clip in clips],
            evaluator=self.evaluator,
            sample_rate=SAMPLE_RATE,
            paired=_select(self.real, drawn),
        )
        return scores.set_metrics

    def _evaluate(
        self, clips: Sequence[Clip], samples: int, done: float, captioned: bool = True, noise: bool = False
    ) -> EvaluatorOutput:
        """The evaluator's output for the beginnings of clips, or for noise as loud as each of them."""
        parts = []
        for start in range(0, len(clips), AT_ONCE):
            part = clips[start : start + AT_ONCE]
            self.context.report(done + 0.3 * start / len(clips), f"embedding {'noise' if noise else 'real clips'}")
            audio_BN = np.stack([clip.audio(SAMPLE_RATE)[:samples] for clip in part]).astype(np.float32)
            if noise:
                seeds = [seed_for("samplesize", clip.id) for clip in part]
                audio_BN = np.concatenate([as_loud_noise(row[None], seed) for row, seed in zip(audio_BN, seeds)])
            captions = [clip.caption for clip in part] if captioned else None
            parts.append(self.evaluator.evaluate(list(audio_BN), SAMPLE_RATE, captions))
        rows = [row_of(part, i) for part in parts for i in range(len(part.embeddings))]
        return output_of(rows, sum(part.silent for part in parts))


def _spread(values: Sequence[float], name: str, n: int, shrunk: float) -> Metric:
    """Mean of the draws' values, and the interval in which 95% of single measurements fall."""
    kind, mean, half = about(name), float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / shrunk
    low, high = max(mean - half, kind.least), min(mean + half, kind.most)
    return metric(mean, low=low, high=high, n=n, better=kind.better)


def _select(output: EvaluatorOutput, index: np.ndarray) -> EvaluatorOutput:
    return output_of([row_of(output, int(i)) for i in index], 0)
