"""What every system of a fidelity study is judged against: prompts, reference audio and evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.seeds import seed_for
from ..evaluators import get_evaluator

if TYPE_CHECKING:
    from ...corpora import Clip, Corpus
    from ...paradigms.pipeline import Data
    from ..evaluators import Evaluator, EvaluatorOutput


@dataclass(frozen=True)
class EvalSet:
    """The same for every system of a study.

    Attributes:
        prompts: clips whose captions are the prompts.
        prompt_audio_BN: their own audio (n, N); ``prompt_outputs`` holds the evaluator's output for it.
        heard_reference: its output for n other clips of the split, the reference set of distances.
    """

    prompts: list[Clip]
    prompt_audio_BN: np.ndarray
    prompt_outputs: EvaluatorOutput
    reference_outputs: EvaluatorOutput
    sample_rate: int
    evaluator: Evaluator


def load_eval_set(evaluation: dict[str, Any], evaluator: str, data: Data) -> EvalSet:
    """The exam that a cell's ``evaluation`` config describes."""
    return make_eval_set(evaluation, load_evaluator(evaluator, data), data.corpus)


def make_eval_set(evaluation: dict[str, Any], listener: Evaluator, corpus: Corpus) -> EvalSet:
    """An exam from clips of ``corpus``, embedded by ``listener``."""
    clips = eligible(corpus, evaluation["split"], evaluation["seconds"])
    n, rate = evaluation["prompts"], evaluation["sample_rate"]
    prompt_audio_BN = beginnings(clips[:n], rate, round(evaluation["seconds"] * rate))
    return EvalSet(
        prompts=clips[:n],
        prompt_audio_BN=prompt_audio_BN,
        prompt_outputs=listener.hear(list(prompt_audio_BN), rate),
        reference_outputs=listener.hear(list(_reference_audio(evaluation, corpus)), rate),
        sample_rate=rate,
        evaluator=listener,
    )


def reference_audio(evaluation: dict[str, Any], data: Data) -> np.ndarray:
    """The audio (n, N) of the reference set of the exam that ``evaluation`` describes."""
    return _reference_audio(evaluation, data.corpus)


def _reference_audio(evaluation: dict[str, Any], corpus: Corpus) -> np.ndarray:
    clips = eligible(corpus, evaluation["split"], evaluation["seconds"])
    n, rate = evaluation["prompts"], evaluation["sample_rate"]
    return beginnings(clips[n : 2 * n], rate, round(evaluation["seconds"] * rate))


def eligible(corpus: Corpus, split: str, seconds: float) -> list[Clip]:
    """Clips of ``split`` that last ``seconds`` (to 10 ms), by hashes of their ids, which no file order biases."""
    return sorted(
        (clip for clip in corpus.clips(split) if clip.seconds >= seconds - 0.01),
        key=lambda clip: seed_for("prompt", clip.id),
    )


def load_evaluator(name: str, data: Data, coded: bool = True) -> Evaluator:
    """The evaluator called ``name``, or in the folder ``name``; one that has to be trained for a corpus is cached.

    Args:
        coded: whether the evaluator is also trained on the representation's output; False to judge several alike.
    """
    if Path(name).is_dir():
        return get_evaluator("builtin", folder=Path(name))
    return get_evaluator(name, corpus=data.corpus, representation=data.representation if coded else None)


def beginnings(clips: Sequence[Clip], sample_rate: int, samples: int) -> np.ndarray:
    """The beginnings of clips as (B, N); rounding may leave the last few samples of a clip to be padded."""
    rows = [clip.audio(sample_rate)[:samples] for clip in clips]
    return np.stack([np.pad(row, (0, samples - len(row))) for row in rows]).astype(np.float32)
