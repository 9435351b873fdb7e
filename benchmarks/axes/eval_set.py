"""The evaluation set of a study: prompts, their own audio, a reference set, and the evaluators, the same for every
system.

The clips of the split that are long enough are sorted by hashes of their ids. The first n are the prompts, the next n
the reference set, or the first n of another split (``evaluation.reference_split``). A study has one tagger
(``evaluation.evaluator``) and any number of judges (``evaluation.judges``). Their outputs for real audio are cached, so
that they are computed once for all systems and all workers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError
from ...common.seeds import seed_for
from ...corpora import Clip, Corpus
from ...representations import Representation
from ..evaluators import Evaluator, EvaluatorOutput, get_evaluator
from ..evaluators.cache import CachedEvaluator
from ..study.cells import EvaluationConfig
from ..study.study import EvaluationChoice


@dataclass(frozen=True)
class RealOutputs:
    """The outputs of one evaluator for the real clips of an evaluation set.

    Attributes:
        prompts: for the prompts' own audio.
        reference: for n other clips of the split, the reference set of distances.
    """

    evaluator: Evaluator
    prompts: EvaluatorOutput
    reference: EvaluatorOutput

    @classmethod
    def of(cls, evaluator: Evaluator, prompts_BN: np.ndarray, reference_BN: np.ndarray, rate: int) -> RealOutputs:
        """By ``evaluator``, from the cache where it has a clip."""
        cached = evaluator if isinstance(evaluator, CachedEvaluator) else CachedEvaluator(evaluator)
        own, reference = (cached.evaluate(list(audio_BN), rate) for audio_BN in (prompts_BN, reference_BN))
        return cls(evaluator, own, reference)


@dataclass(frozen=True)
class EvalSet:
    """Prompts and reference audio with the evaluators' outputs for them.

    Attributes:
        prompts: n clips whose captions are the prompts.
        prompt_audio_BN: their own audio (n, N).
        sample_rate: of the audio, in Hz.
        tagger, judges: the evaluators with their outputs for the real clips.
        starts: where ``prompt_audio_BN`` begins in each clip, in seconds.
    """

    prompts: list[Clip]
    prompt_audio_BN: np.ndarray
    sample_rate: int
    tagger: RealOutputs
    judges: tuple[RealOutputs, ...]
    starts: tuple[float, ...]

    @property
    def evaluator(self) -> Evaluator:
        """The tagger."""
        return self.tagger.evaluator

    def on(self, prompt_audio_BN: np.ndarray, reference_audio_BN: np.ndarray) -> EvalSet:
        """The same prompts and evaluators on other audio of the prompts (n, N) and of the reference set (n, N)."""
        tagger, *judges = (
            RealOutputs.of(real.evaluator, prompt_audio_BN, reference_audio_BN, self.sample_rate)
            for real in (self.tagger, *self.judges)
        )
        return dataclasses.replace(self, prompt_audio_BN=prompt_audio_BN, tagger=tagger, judges=tuple(judges))


def make_eval_set(evaluation: EvaluationConfig, evaluators: Sequence[Evaluator], corpus: Corpus) -> EvalSet:
    """The evaluation set from clips of ``corpus``; ``evaluators`` are the tagger and then the judges."""
    return split_eval_set(*eval_audio(evaluation, corpus), evaluation, evaluators)


def split_eval_set(
    clips: Sequence[Clip],
    audio_BN: np.ndarray,
    evaluation: EvaluationConfig,
    evaluators: Sequence[Evaluator],
    starts: Sequence[float] = (),
) -> EvalSet:
    """The evaluation set of 2n clips with their audio (2n, N): n prompts, then the reference set.

    Args:
        evaluators: the tagger, then the judges.
        starts: where the audio begins in each clip, in seconds; empty: at its beginning.
    """
    n, rate = evaluation.prompts, evaluation.sample_rate
    tagger, *judges = (RealOutputs.of(evaluator, audio_BN[:n], audio_BN[n:], rate) for evaluator in evaluators)
    at = tuple(starts[:n]) if starts else (0.0,) * n
    return EvalSet(list(clips[:n]), audio_BN[:n], rate, tagger, tuple(judges), at)


def eval_audio(evaluation: EvaluationConfig, corpus: Corpus) -> tuple[list[Clip], np.ndarray]:
    """The n prompts and n clips of the reference set, with their audio (2n, N)."""
    clips = eval_clips(corpus, evaluation, evaluation.seconds)
    return clips, beginnings(clips, evaluation.sample_rate, round(evaluation.seconds * evaluation.sample_rate))


def eval_clips(corpus: Corpus, evaluation: EvaluationConfig, seconds: float) -> list[Clip]:
    """The n prompts and the n clips of the reference set, which last ``seconds``."""
    n, split = evaluation.prompts, evaluation.split
    if evaluation.reference_split in ("", split):
        return eligible(corpus, split, seconds)[: 2 * n]
    return eligible(corpus, split, seconds)[:n] + eligible(corpus, evaluation.reference_split, seconds)[:n]


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


def load_evaluators(
    how: Mapping[str, Any], corpus: Corpus, representation: Representation | None = None
) -> list[Evaluator]:
    """The tagger and the judges that a cell's ``how`` names; ``representation`` as for ``load_evaluator``.

    Raises:
        UserError: an evaluator that does not exist or is not installed.
    """
    judges = [get_evaluator(name) for name in how.get("judges", ())]  # of no corpus: independent of the suite
    return [load_evaluator(how["evaluator"], corpus, representation), *judges]


def named_evaluators(chosen: EvaluationChoice) -> dict[str, Any]:
    """The tagger and the judges of a study by the names that it gives them, for ``Cell.how``.

    Raises:
        UserError: a judge is named twice.
    """
    repeated = sorted({name for name in chosen.judges if chosen.judges.count(name) > 1})
    if repeated:
        raise UserError(f"evaluation.judges: {repeated[0]!r} is named twice; remove one")
    return {"evaluator": chosen.evaluator, **({"judges": list(chosen.judges)} if chosen.judges else {})}


def identities(evaluators: Sequence[Evaluator]) -> dict[str, Any]:
    """The tagger and the judges by content, as a cell's config states them; ``judges`` is left out without judges."""
    tagger, *judges = ({"name": evaluator.name, "identity": evaluator.identity} for evaluator in evaluators)
    return {"evaluator": tagger, **({"judges": judges} if judges else {})}


def check_roles(evaluators: Sequence[Evaluator], chosen: EvaluationChoice) -> None:
    """Refuse a study whose evaluators are named where they do not belong.

    Raises:
        UserError: a judge in the place of the tagger, a tagger among the judges, or two judges with one name.
    """
    tagger, *judges = evaluators
    if tagger.role != "tagger":
        raise UserError(
            f"evaluation.evaluator: {chosen.evaluator!r} is a judge, not an attribute tagger; "
            "name it in evaluation.judges, and leave evaluation.evaluator at builtin"
        )
    held: dict[str, str] = {}
    for judge, spec in zip(judges, chosen.judges):
        if judge.role != "judge":
            raise UserError(
                f"evaluation.judges: {spec!r} is an attribute tagger, and its distances are no measure of fidelity; "
                "remove it (evaluation.evaluator names the tagger)"
            )
        if judge.name in held:
            raise UserError(
                f"evaluation.judges: {held[judge.name]!r} and {spec!r} both give metrics called "
                f"..._{judge.name}; remove one"
            )
        held[judge.name] = spec


def beginnings(clips: Sequence[Clip], sample_rate: int, samples: int) -> np.ndarray:
    """The first ``samples`` of clips, (B, samples); the few that rounding may lack at the end of a clip are zeros."""
    rows = [clip.audio(sample_rate)[:samples] for clip in clips]
    return np.stack([np.pad(row, (0, samples - len(row))) for row in rows]).astype(np.float32)
