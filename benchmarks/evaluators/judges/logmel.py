"""A judge without a network: statistics of a clip's log-mel spectrogram, and the levels of its octave bands.

The embedding is the mean and the standard deviation over time of each of 32 mel bands from 0 to 16 kHz, in log10 of
power (64 numbers). Frames last 32 ms at every sample rate, so clips are not resampled; bands above half the sample rate
are empty. It notices timbre, noise and dynamics, and nothing of harmony, rhythm or meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....common.config import config_hash
from ...metrics.bands import octave_levels
from .. import audio as policy
from ..audio import one_thread
from ..base import Audio, Evaluator, EvaluatorOutput, Float
from .mel import slaney_filters, spectrum
from .patches import no_source

SETTINGS = {"format": 1, "bands": 32, "highest_hz": 16_000, "frame_seconds": 0.032, "floor": 1e-8}


class LogMel(Evaluator):
    """See ``Evaluator``; it gives no posteriors."""

    name, checkpoint = "logmel", "no weights: log-mel statistics of this suite"
    reads_captions = False

    def __init__(self) -> None:
        self.classes, self.identity = {}, config_hash(SETTINGS, length=16)

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Embeddings (n, 64) and band levels (n, bands); captions are ignored. See ``Evaluator.evaluate``."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        prepared = [policy.prepare(wav, sample_rate, sample_rate) for wav in audio]
        with torch.inference_mode(), one_thread():
            embeddings = np.stack([_statistics(wav, sample_rate) for wav in prepared])
        levels = np.stack([octave_levels(wav, sample_rate) for wav in prepared])
        silent = sum(policy.is_silent(wav) for wav in audio)
        return EvaluatorOutput(embeddings, {}, None, silent, band_levels=levels)


def _statistics(wav: NDArray[np.float32], sample_rate: int) -> Float:
    """Mean and standard deviation over time of each band, (64,)."""
    filters_MF, window_N = _front_end(sample_rate)
    mel_MT = filters_MF @ spectrum(torch.from_numpy(wav).double(), len(window_N), len(window_N) // 2, window_N)
    log_MT = torch.log10(mel_MT + SETTINGS["floor"])
    return torch.cat([log_MT.mean(1), log_MT.std(1, correction=0)]).numpy()


@lru_cache(maxsize=4)
def _front_end(sample_rate: int) -> tuple[Tensor, Tensor]:
    """Filters (32, F), scaled so that white noise has the same value at every sample rate, and window."""
    size = 2 * round(SETTINGS["frame_seconds"] * sample_rate / 2)
    window_N = torch.hann_window(size, dtype=torch.float64)
    filters_MF = slaney_filters(int(SETTINGS["bands"]), SETTINGS["highest_hz"], sample_rate, size)
    return torch.from_numpy(filters_MF * (2.0 / float(window_N.square().sum()))), window_N


def logmel(source: str = "", **context: Any) -> Evaluator:
    """The judge ``logmel``; ``context`` (corpus, representation) is ignored. It is too fast to be worth a cache."""
    no_source("logmel", source)
    return LogMel()
