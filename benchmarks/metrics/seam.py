"""Seam score of edited audio: how abrupt are the boundaries of an edit, compared with moments inside real audio?

At a time t the ``SIDE`` seconds before t are compared with those after it:

    flux(t) = mean over mel bands of |log after - log before|          (nepers)
    jump(t) = |level after - level before|                             (dB, of the root mean square)

Music has strong onsets of its own, so the values are read against real audio. The percentile of a boundary is the rank
of its statistic among the same statistic at every ``STEP`` seconds of real clips, averaged over both statistics: 0.5 is
the mean of real audio, 1 is more abrupt than all of it. The score of a clip is the percentile of its worse boundary,
minus the mean of the larger of two percentiles drawn from real audio (2/3), so that 0 means "like real audio".
This score is defined here; it has no published source.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from librosa.filters import mel

SIDE = 0.05  # seconds on either side
STEP = 0.05  # seconds between the times at which real audio is measured
BANDS = 40
QUIET = 1e-5  # root mean square below which a side counts as this loud
WORSE_OF_TWO = 2 / 3  # mean of the larger of two uniform numbers


@dataclass(frozen=True)
class Abruptness:
    """The two statistics at M times: ``flux_M`` in nepers, ``jump_M`` in dB."""

    flux_M: np.ndarray
    jump_M: np.ndarray


def abruptness(audio_N: np.ndarray, sample_rate: int, times: Sequence[float]) -> Abruptness:
    """The two statistics at each of ``times`` (seconds), which must lie ``SIDE`` inside the clip."""
    side = round(SIDE * sample_rate)
    at = [round(time * sample_rate) for time in times]
    before_MN, after_MN = (np.stack([audio_N[i + shift : i + shift + side] for i in at]) for shift in (-side, 0))
    levels = [20 * np.log10(np.maximum(np.sqrt(np.mean(x**2, axis=1)), QUIET)) for x in (before_MN, after_MN)]
    spectra = [np.log(_mel(x_MN, sample_rate) + QUIET) for x_MN in (before_MN, after_MN)]
    return Abruptness(np.abs(spectra[1] - spectra[0]).mean(axis=1), np.abs(levels[1] - levels[0]))


class RealSeams:
    """The statistics inside real audio, against which edited clips are scored.

    Args:
        clips: real audio (N,), which does not contain the clips to be scored.
        sample_rate: of all clips.
    """

    def __init__(self, clips: Iterable[np.ndarray], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        found = [abruptness(x_N, sample_rate, _moments(len(x_N) / sample_rate)) for x_N in clips]
        self._flux = np.sort(np.concatenate([one.flux_M for one in found]))
        self._jump = np.sort(np.concatenate([one.jump_M for one in found]))

    def percentiles(self, audio_N: np.ndarray, times: Sequence[float]) -> np.ndarray:
        """Percentile in [0, 1] of each time among those of real audio, mean of both statistics, (M,)."""
        found = abruptness(audio_N, self.sample_rate, times)
        return np.asarray((_rank(found.flux_M, self._flux) + _rank(found.jump_M, self._jump)) / 2)

    def score(self, audio_N: np.ndarray, boundaries: Sequence[float]) -> float:
        """Seam score of a clip edited at two ``boundaries`` (seconds): 0 is like real audio, 1/3 the maximum."""
        return float(self.percentiles(audio_N, boundaries).max() - WORSE_OF_TWO)


def _moments(seconds: float) -> list[float]:
    return np.arange(2 * SIDE, seconds - 2 * SIDE, STEP).tolist()


def _rank(values_M: np.ndarray, sorted_R: np.ndarray) -> np.ndarray:
    """Share of the sorted values below, ties counted half."""
    below, upto = (np.searchsorted(sorted_R, values_M, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / 2 / len(sorted_R))


def _mel(x_MN: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel-band magnitudes (M, BANDS) of whole sides under a Hann window."""
    spectrum_MF = np.abs(np.fft.rfft(x_MN * np.hanning(x_MN.shape[1]), axis=1))
    return np.asarray(spectrum_MF @ _bands(sample_rate, x_MN.shape[1]).T)


@functools.lru_cache(maxsize=8)
def _bands(sample_rate: int, window: int) -> np.ndarray:
    return np.asarray(mel(sr=sample_rate, n_fft=window, n_mels=BANDS, norm=None)) / window
