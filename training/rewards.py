"""What a reward is: a function that scores clips, whose scores are checked before a model is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.errors import UserError
from ..common.lines import count

Score = Callable[[Sequence[np.ndarray], int, Sequence[str]], Any]
"""(audio, sample_rate, captions) -> one number per clip; ``audio`` is a list of mono float32 arrays."""


@dataclass(frozen=True)
class Reward:
    """A scorer of clips.

    Attributes:
        name: in records and messages; without folders.
        identity: digest of what decides its scores.
        evaluator: identity of the evaluator that it is made of; empty for a function of the user's own.
    """

    name: str
    identity: str
    evaluator: str
    function: Score

    def score(self, audio: Sequence[np.ndarray], sample_rate: int, captions: Sequence[str]) -> np.ndarray:
        """One finite score per clip, (n,) float64.

        Raises:
            UserError: the function failed, did not return one number per clip, or returned one that is not finite.
        """
        try:
            given = self.function(audio, sample_rate, captions)
            scores = np.asarray(given, dtype=np.float64)
        except UserError:
            raise
        except Exception as error:  # the function is the user's own code, which may go wrong in any way
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

    def check_useful(self, scores: np.ndarray) -> None:
        """Check that the scores differ between clips.

        Raises:
            UserError: they are all the same.
        """
        if len(scores) > 1 and np.ptp(scores) == 0:
            raise UserError(
                f"reward {self.name!r} gave {scores[0]:g} for all {len(scores)} clips; there is nothing to learn from"
            )
