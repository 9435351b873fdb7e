"""Measurement of frame-rate cells: clips of several lengths, scored whole and by one window of a common length.

Evaluators average over the windows of a long clip, so a set of long clips varies less than a set of short ones, and
distances at two lengths do not compare. So one window per clip, of the same length at every point, is scored too. A
number u in [0, 1) per clip, a hash of its id, fixes the positions: a crop of S seconds begins at u (L - S) of the whole
clip of L seconds, and its window of w seconds at u (S - w) of the crop, which is u (L - w) of the whole clip for every
S. Real audio therefore has the same windows at every point, and there is one set of reference windows. Crops are taken
from anywhere in a clip, as in training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....common.seeds import seed_for
from ....corpora import Clip
from ....training.sources import Data
from ...study.cells import Cell
from ..eval_set import EvalSet, beginnings, eval_clips, load_evaluators, split_eval_set
from ..fidelity.measure import FidelityGroup
from ..scoring import Scored, joined, renamed, score
from .cells import FrameRateConfig, WindowEvaluation


class FrameRateGroup(FidelityGroup):
    """One arm trained at one point, or that point's references."""

    def load_eval_set(self, cell: Cell) -> EvalSet:
        """Crops of the point's duration; their windows are kept beside them."""
        config = cell.read(FrameRateConfig)
        self.window_eval_set = WindowEvalSet(config.evaluation, cell.how, self.data)
        return self.window_eval_set.crops

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of whole clips and of windows."""
        return self.window_eval_set.score(audio_BN)


class WindowEvalSet:
    """Crops of prompts and reference clips (``crops``), and their windows (``windows``).

    Args:
        evaluation: the lengths and the rate of the clips.
        how: ``Cell.how``, which names the evaluators; none is trained on the representations' output, which differs
            between points.
    """

    def __init__(self, evaluation: WindowEvaluation, how: Mapping[str, Any], data: Data) -> None:
        rate = evaluation.sample_rate
        lengths = (evaluation.whole, evaluation.seconds, evaluation.window)
        whole, crop, self.window = (round(seconds * rate) for seconds in lengths)
        clips = eval_clips(data.corpus, evaluation, evaluation.whole)
        audio_BN, loaded = beginnings(clips, rate, whole), load_evaluators(how, data.corpus)
        starts = _starts(clips, whole, crop)
        self.at = [window - start for window, start in zip(_starts(clips, whole, self.window), starts)]
        crops_BN = cut(audio_BN, starts, crop)
        self.crops = split_eval_set(clips, crops_BN, evaluation, loaded, [start / rate for start in starts])
        self.windows = split_eval_set(clips, cut(crops_BN, self.at, self.window), evaluation, loaded)

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of whole crops (n, N), and of their windows with ``_window`` behind the names."""
        windows_BN = cut(audio_BN, self.at[: len(audio_BN)], self.window)
        return joined(score(audio_BN, self.crops), renamed(score(windows_BN, self.windows), "window"))


def cut(audio_BN: np.ndarray, starts: Sequence[int], samples: int) -> np.ndarray:
    """``samples`` of each row from its start on, (B, samples)."""
    return np.stack([audio_N[start : start + samples] for audio_N, start in zip(audio_BN, starts)])


def _starts(clips: Sequence[Clip], whole: int, samples: int) -> list[int]:
    """Where a part of ``samples`` begins in each clip of ``whole`` samples."""
    return [math.floor(seed_for("crop", clip.id) / 2**63 * (whole - samples)) for clip in clips]
