"""Clips of several lengths, judged by the same seconds of the same music.

Evaluators average over the windows of a long clip, so sets of long clips vary less than sets of short ones, and
distances at two lengths cannot be compared. So each system is also judged by one window per clip, of the same length
everywhere. A number u in [0, 1) per clip, a hash of its id, fixes the positions: a crop of S seconds begins at
u (L - S) of the whole clip of L seconds, and its window of w seconds at u (S - w) of the crop, which is u (L - w) of
the whole for every S. So real audio has the same windows at every length, and there is one set of reference windows.
Crops lie anywhere in a clip, as those of training do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.seeds import seed_for
from .eval_set import EvalSet, beginnings, eligible, load_evaluator

if TYPE_CHECKING:
    from ...corpora import Clip
    from ...paradigms.pipeline import Data
    from ..evaluators import Evaluator
    from .scoring import Scored


class WindowEvalSet:
    """What crops are judged against (``crops``), and their windows (``windows``).

    Args:
        evaluation: of a cell: ``seconds`` of a crop, of the ``whole`` clip and of the ``window``, beside the usual.
        evaluator: its name; it is not trained on the representation's sound, which differs from point to point.
    """

    def __init__(self, evaluation: dict[str, Any], evaluator: str, data: Data) -> None:
        rate, n = evaluation["sample_rate"], evaluation["prompts"]
        whole, crop, self.window = (round(evaluation[part] * rate) for part in ("whole", "seconds", "window"))
        clips = eligible(data.corpus, evaluation["split"], evaluation["whole"])[: 2 * n]
        audio_BN, listener = beginnings(clips, rate, whole), load_evaluator(evaluator, data, coded=False)
        starts = _starts(clips, whole, crop)
        self.at = [window - start for window, start in zip(_starts(clips, whole, self.window), starts)]
        crops_BN = cut(audio_BN, starts, crop)
        self.crops = _exam(clips, crops_BN, rate, listener)
        self.windows = _exam(clips, cut(crops_BN, self.at, self.window), rate, listener)

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of whole crops, and of their windows with ``_window`` behind the names."""
        from .scoring import joined, renamed, score

        windows_BN = cut(audio_BN, self.at[: len(audio_BN)], self.window)
        return joined(score(audio_BN, self.crops), renamed(score(windows_BN, self.windows), "window"))


def _exam(clips: Sequence[Clip], audio_BN: np.ndarray, rate: int, listener: Evaluator) -> EvalSet:
    """The first half of the clips are the prompts, the other the reference set."""
    n = len(clips) // 2
    own, reference = (listener.hear(list(part_BN), rate) for part_BN in (audio_BN[:n], audio_BN[n:]))
    return EvalSet(list(clips[:n]), audio_BN[:n], own, reference, rate, listener)


def cut(audio_BN: np.ndarray, starts: Sequence[int], samples: int) -> np.ndarray:
    """``samples`` of each row from its start on, (B, samples)."""
    return np.stack([audio_N[start : start + samples] for audio_N, start in zip(audio_BN, starts)])


def _starts(clips: Sequence[Clip], whole: int, samples: int) -> list[int]:
    """Where a part of so many samples begins in each clip of ``whole`` samples."""
    return [math.floor(seed_for("crop", clip.id) / 2**63 * (whole - samples)) for clip in clips]
