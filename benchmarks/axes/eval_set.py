"""The evaluation set of a study: prompts, their own audio, a reference set, and the evaluator, the same for every
system.

The clips of the split that are long enough are sorted by hashes of their ids. The first n are the prompts, the next n
the reference set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...common.seeds import seed_for
from ...corpora import Clip, Corpus
from ...training.sources import Data
from ..evaluators import Evaluator, EvaluatorOutput, get_evaluator
from ..study.cells import EvaluationConfig


@dataclass(frozen=True)
class EvalSet:
    """Prompts and reference audio with the evaluator's outputs for them.

    Attributes:
        prompts: n clips whose captions are the prompts.
        prompt_audio_BN: their own audio (n, N).
        prompt_outputs: the evaluator's output for it.
        reference_outputs: its output for n other clips of the split, the reference set of distances.
        sample_rate: of the audio, in Hz.
    """

    prompts: list[Clip]
    prompt_audio_BN: np.ndarray
    prompt_outputs: EvaluatorOutput
    reference_outputs: EvaluatorOutput
    sample_rate: int
    evaluator: Evaluator


def load_eval_set(evaluation: EvaluationConfig, evaluator: str, data: Data) -> EvalSet:
    """The evaluation set of a cell, with the evaluator of that name."""
    return make_eval_set(evaluation, load_evaluator(evaluator, data), data.corpus)


def make_eval_set(evaluation: EvaluationConfig, evaluator: Evaluator, corpus: Corpus) -> EvalSet:
    """The evaluation set from clips of ``corpus``."""
    clips, rate = eligible(corpus, evaluation.split, evaluation.seconds), evaluation.sample_rate
    prompts = clips[: evaluation.prompts]
    prompt_audio_BN = beginnings(prompts, rate, round(evaluation.seconds * rate))
    return EvalSet(
        prompts=prompts,
        prompt_audio_BN=prompt_audio_BN,
        prompt_outputs=evaluator.evaluate(list(prompt_audio_BN), rate),
        reference_outputs=evaluator.evaluate(list(reference_audio(evaluation, corpus)), rate),
        sample_rate=rate,
        evaluator=evaluator,
    )


def reference_audio(evaluation: EvaluationConfig, corpus: Corpus) -> np.ndarray:
    """The audio (n, N) of the reference set."""
    clips = eligible(corpus, evaluation.split, evaluation.seconds)
    n, rate = evaluation.prompts, evaluation.sample_rate
    return beginnings(clips[n : 2 * n], rate, round(evaluation.seconds * rate))


def eligible(corpus: Corpus, split: str, seconds: float) -> list[Clip]:
    """Clips of ``split`` that last ``seconds`` (to 10 ms), sorted by hashes of their ids."""
    return sorted(
        (clip for clip in corpus.clips(split) if clip.seconds >= seconds - 0.01),
        key=lambda clip: seed_for("prompt", clip.id),
    )


def load_evaluator(name: str, data: Data, coded: bool = True) -> Evaluator:
    """The evaluator called ``name``, or in the folder ``name``; one that has to be trained on the corpus is cached.

    Args:
        coded: whether such an evaluator is also trained on the representation's output; False where one evaluator
            scores several representations.
    """
    if Path(name).is_dir():
        return get_evaluator("builtin", folder=Path(name))
    return get_evaluator(name, corpus=data.corpus, representation=data.representation if coded else None)


def beginnings(clips: Sequence[Clip], sample_rate: int, samples: int) -> np.ndarray:
    """The first ``samples`` of clips, (B, samples); the few that rounding may lack at the end of a clip are zeros."""
    rows = [clip.audio(sample_rate)[:samples] for clip in clips]
    return np.stack([np.pad(row, (0, samples - len(row))) for row in rows]).astype(np.float32)
