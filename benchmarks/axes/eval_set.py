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
from ...representations import Representation
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


def make_eval_set(evaluation: EvaluationConfig, evaluator: Evaluator, corpus: Corpus) -> EvalSet:
    """The evaluation set from clips of ``corpus``."""
    return split_eval_set(*eval_audio(evaluation, corpus), evaluation, evaluator)


def split_eval_set(
    clips: Sequence[Clip], audio_BN: np.ndarray, evaluation: EvaluationConfig, evaluator: Evaluator
) -> EvalSet:
    """The evaluation set of 2n clips with their audio (2n, N): n prompts, then the reference set."""
    n, rate = evaluation.prompts, evaluation.sample_rate
    own, reference = (evaluator.evaluate(list(part_BN), rate) for part_BN in (audio_BN[:n], audio_BN[n:]))
    return EvalSet(list(clips[:n]), audio_BN[:n], own, reference, rate, evaluator)


def eval_audio(evaluation: EvaluationConfig, corpus: Corpus) -> tuple[list[Clip], np.ndarray]:
    """The n prompts and n clips of the reference set, with their audio (2n, N)."""
    clips = eligible(corpus, evaluation.split, evaluation.seconds)[: 2 * evaluation.prompts]
    return clips, beginnings(clips, evaluation.sample_rate, round(evaluation.seconds * evaluation.sample_rate))


def eligible(corpus: Corpus, split: str, seconds: float) -> list[Clip]:
    """Clips of ``split`` that last ``seconds`` (to 10 ms), sorted by hashes of their ids."""
    return sorted(
        (clip for clip in corpus.clips(split) if clip.seconds >= seconds - 0.01),
        key=lambda clip: seed_for("prompt", clip.id),
    )


def load_evaluator(name: str, corpus: Corpus, representation: Representation | None = None) -> Evaluator:
    """The evaluator called ``name``, or in the folder ``name``; one that has to be trained on the corpus is cached.

    Args:
        representation: such an evaluator is also trained on its output; None where one evaluator scores several.
    """
    if Path(name).is_dir():
        return get_evaluator("builtin", folder=Path(name))
    return get_evaluator(name, corpus=corpus, representation=representation)


def beginnings(clips: Sequence[Clip], sample_rate: int, samples: int) -> np.ndarray:
    """The first ``samples`` of clips, (B, samples); the few that rounding may lack at the end of a clip are zeros."""
    rows = [clip.audio(sample_rate)[:samples] for clip in clips]
    return np.stack([np.pad(row, (0, samples - len(row))) for row in rows]).astype(np.float32)
