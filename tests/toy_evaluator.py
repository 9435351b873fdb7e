"""An evaluator whose embeddings of music follow a known distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from paradigm_bench.benchmarks.evaluators import Evaluator, EvaluatorOutput


class Statistician(Evaluator):
    """Computes four numbers of a clip: standard normal for music, far away for anything else."""

    name, identity, classes = "stat", "1", {"key": ["C", "D"]}
    role: Literal["tagger", "judge"] = "tagger"

    def evaluate(
        self, audio: Sequence[np.ndarray], sample_rate: int, captions: Sequence[str] | None = None
    ) -> EvaluatorOutput:
        rows = np.stack(
            [np.asarray(wav[:2000], np.float64).reshape(4, 500).sum(1) * 10 / np.sqrt(500) for wav in audio]
        )
        posteriors = {"key": np.tile([0.9, 0.1], (len(audio), 1))}
        return EvaluatorOutput(rows, posteriors, None if captions is None else np.full(len(audio), 0.5))


class Roughness(Evaluator):
    """A judge: level and difference of neighbouring samples of a clip's halves; it counts the clips it was given."""

    name, identity, classes = "rough", "r1", {}
    heard: ClassVar[list[int]] = []

    def __init__(self, **context: object) -> None:
        """``context`` (corpus, representation) is ignored."""

    def evaluate(
        self, audio: Sequence[np.ndarray], sample_rate: int, captions: Sequence[str] | None = None
    ) -> EvaluatorOutput:
        self.heard.append(len(audio))
        halves = [np.array_split(np.asarray(wav, np.float64), 2) for wav in audio]
        rows = [[f(half) for half in pair for f in (np.std, lambda x: np.std(np.diff(x)))] for pair in halves]
        return EvaluatorOutput(np.array(rows), {}, None)


rough = Roughness  # a second name
