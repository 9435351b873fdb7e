"""What scores generated clips when a model is tuned, by name.

    clap_EVALUATOR   cosine of each clip and its caption, for any evaluator that reads captions: ``clap_builtin``,
                     ``clap_builtin:7`` (another one, trained from seed 7), ``clap_clap:music``
    aesthetics       mean of the four scores of Audiobox Aesthetics (production quality and complexity, content
                     enjoyment and usefulness: papers/001 section 4.3), from its own environment
    FILE.py:FUNCTION a function (audio, sample_rate, captions) -> one number per clip; ``audio`` is a list of mono
                     float32 arrays

A reward's scores are checked before anything is trained on them.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import UserError
from ...common.files import no_file
from ...common.lines import count
from .base import Audio, Float, get_evaluator

if TYPE_CHECKING:
    from ...corpora import Corpus
    from ...representations import Representation

AESTHETICS = "audiobox"
Score = Callable[[Audio, int, Sequence[str]], Any]


@dataclass(frozen=True)
class Reward:
    """A scorer of clips.

    Attributes:
        name: as records and messages call it; without folders.
        identity: digest of what decides its scores.
        evaluator: identity of the evaluator whose opinion it is; empty for a function of one's own.
    """

    name: str
    identity: str
    evaluator: str
    function: Score

    def score(self, audio: Audio, sample_rate: int, captions: Sequence[str]) -> Float:
        """One finite score per clip, (n,) float64.

        Raises:
            UserError: the function failed, gave other than one number per clip, or one that is not finite.
        """
        try:
            given = self.function(audio, sample_rate, captions)
            scores = np.asarray(given, dtype=np.float64)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"reward {self.name!r} failed: {type(error).__name__}: {error}; correct it") from error
        if scores.shape != (len(audio),):
            raise UserError(
                f"reward {self.name!r} gave shape {scores.shape} for {count(len(audio), 'clip')}; "
                "return one number per clip"
            )
        wrong = np.flatnonzero(~np.isfinite(scores)).tolist()
        if wrong:
            raise UserError(
                f"reward {self.name!r} gave {scores[wrong[0]]} for {len(wrong)} of {count(len(audio), 'clip')}, "
                f"the first for {captions[wrong[0]]!r}; return finite numbers"
            )
        return scores

    def check_useful(self, scores: Float) -> None:
        """Refuse scores that tell no clip from another.

        Raises:
            UserError: they are all the same.
        """
        if len(scores) > 1 and np.ptp(scores) == 0:
            raise UserError(
                f"reward {self.name!r} gave {scores[0]:g} for all {len(scores)} clips; there is nothing to learn from"
            )


def load_reward(spec: str, corpus: Corpus | None = None, representation: Representation | None = None) -> Reward:
    """The reward called ``spec``.

    Raises:
        UserError: no such reward, evaluator, file or function.
    """
    if ".py:" in spec:
        return _of_file(spec)
    if spec == "aesthetics":
        evaluator = get_evaluator(AESTHETICS, corpus=corpus, representation=representation)
        return Reward(
            spec, evaluator.identity, evaluator.identity, lambda a, r, c: _own_scores(evaluator.hear(a, r).scores)
        )
    kind, _, name = spec.partition("_")
    if kind != "clap" or not name:
        raise UserError(f"no reward {spec!r}; known: clap_EVALUATOR (clap_builtin), aesthetics, FILE.py:FUNCTION")
    evaluator = get_evaluator(name, corpus=corpus, representation=representation)
    where, colon, source = spec.partition(":")
    return Reward(
        f"{where}{colon}{Path(source).name}", evaluator.identity, evaluator.identity, evaluator.text_similarity
    )


def _own_scores(scores: dict[str, Float]) -> Float:
    if not scores:
        raise UserError("the evaluator gave no scores of its own; choose another reward")
    return np.mean(list(scores.values()), axis=0)


def _of_file(spec: str) -> Reward:
    where, _, function = spec.rpartition(":")
    path = Path(where)
    if not path.is_file():
        raise UserError(f"reward {spec!r}: {no_file(path)}; give FILE.py:FUNCTION")
    about = importlib.util.spec_from_file_location(path.stem, path)
    assert about is not None
    assert about.loader is not None
    module = importlib.util.module_from_spec(about)
    try:
        about.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"reward {spec!r}: {path.name} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise UserError(f"reward {spec!r}: {path.name} has no function {function!r}")
    name = f"{path.name}:{function}"
    return Reward(name, hashlib.sha256(path.read_bytes() + function.encode()).hexdigest()[:16], "", found)
