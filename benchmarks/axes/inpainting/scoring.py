"""Filled spans, judged: by themselves, at their seams, and against what surrounds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.seam import RealSeams
from ...metrics.similarity import cosine_similarity

if TYPE_CHECKING:
    from ....paradigms.pipeline import Data
    from ..eval_set import EvalSet
    from ..scoring import Scored
    from .fill import Span


class SpanEvalSet:
    """What spans are judged against: the same spans of prompts and of reference clips, and real audio's abruptness.

    The reference clips lose the spans of the prompts, in the same order, so that spans of both lie at like places.
    """

    def __init__(self, eval_set: EvalSet, spans: Sequence[Span], evaluation: dict[str, Any], data: Data) -> None:
        from ..eval_set import reference_audio

        self.rate, self.spans, self.prompts = eval_set.sample_rate, spans, eval_set.prompts
        reference_BN = reference_audio(evaluation, data)
        self.real = RealSeams(reference_BN, self.rate)
        listener, own_BN = eval_set.evaluator, self._inside(eval_set.prompt_audio_BN)
        self.inside = dataclasses.replace(
            eval_set,
            prompt_audio_BN=own_BN,
            prompt_outputs=listener.hear(list(own_BN), self.rate),
            reference_outputs=listener.hear(list(self._inside(reference_BN)), self.rate),
        )

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Fidelity's scores of the spans alone (names end in ``_span``), seams, likeness of span and surroundings."""
        from ..scoring import item_scores, joined, renamed, score

        inside_BN = self._inside(audio_BN)
        alone = renamed(score(inside_BN, self.inside), "span")
        own = {"seam": self._seams(audio_BN), "context_similarity": self._likeness(audio_BN, inside_BN)}
        return joined(alone, item_scores(own, self.prompts, {}))

    def _seams(self, audio_BN: np.ndarray) -> np.ndarray:
        return np.array([self.real.score(audio_N, span.boundaries) for audio_N, span in zip(audio_BN, self.spans)])

    def _likeness(self, audio_BN: np.ndarray, inside_BN: np.ndarray) -> np.ndarray:
        """Cosine between the evaluator's embeddings of the span and of the rest of the clip, put together."""
        listener = self.inside.evaluator
        around = [np.delete(audio_N, span.samples(self.rate)) for audio_N, span in zip(audio_BN, self.spans)]
        return cosine_similarity(listener.embed(list(inside_BN), self.rate), listener.embed(around, self.rate))

    def _inside(self, audio_BN: np.ndarray) -> np.ndarray:
        return np.stack([audio_N[span.samples(self.rate)] for audio_N, span in zip(audio_BN, self.spans)])
