"""Replication: is a generated clip nearer to a training clip than held-out real clips are?

A model that returns training clips has perfect fidelity. So the nearest training clip of each generated clip is
searched, and its distance is read against the same distance of real clips that no model was trained on. Two measures:

- **Distance in an embedding** (``Standardised``): Euclidean, after each of the D dimensions is standardised by the
  training clips, divided by the square root of 2D, so that two unrelated clips are about 1 apart. Clips are brought to
  one level first (``levelled``), so that a quieter copy is a copy.
- **Spectral alignment** (``Alignment``): 1 minus the largest normalised cross-correlation of two log-mel spectrograms
  over all shifts in time with half of the clip in common. 0: the same clip, however shifted; about 1: unrelated. Each
  band's mean is subtracted, and bands more than ``RANGE`` dB below the clip's peak count as that quiet, so that
  equalisation and a noise floor change little. It is measured to the ``CANDIDATES`` nearest training clips by each
  embedding and by the alignment of coarse spectrograms, which alone finds copies in noise.

Neither end is better: white noise is far from every training clip. What counts is the share of generated clips that are
nearer to a training clip than all but the nearest 1% of held-out real clips; of real audio it is 1%. (Nearest training
clips by embedding: e.g. Somepalli et al., 2023, for images. The alignment is defined here.)
"""

from __future__ import annotations

import functools

import numpy as np
from librosa import stft
from librosa.filters import mel

from .arrays import Float

CANDIDATES = 10
LEVEL = 0.1  # root mean square to which clips are brought
CLOSEST = 0.01  # share of held-out real clips that define "too near"
FRAME_SECONDS, HOP_SECONDS = 0.064, 0.02
BANDS = 48
RANGE = 40.0  # dB below a clip's peak
COARSE_FRAMES, COARSE_BANDS = 5, 4  # frames and bands that ``coarse`` averages
OVERLAP = 0.5  # least part of a clip that two clips must have in common
SILENT = 1e-6  # squared energy, dB^4, below which nothing can be aligned


def levelled(audio_N: np.ndarray) -> np.ndarray:
    """The clip with a root mean square of ``LEVEL``; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(audio_N, dtype=np.float64))))
    return np.asarray(audio_N * (LEVEL / rms if rms > 0 else 1.0), dtype=np.float32)


class Standardised:
    """Distances to training clips by their embeddings (T, D)."""

    def __init__(self, training_TD: Float) -> None:
        self._mean_D = training_TD.mean(axis=0)
        spread_D = training_TD.std(axis=0)
        self._scale_D = np.where(spread_D > 0, spread_D, 1.0) * np.sqrt(2 * training_TD.shape[1])
        self._training_TD = (training_TD - self._mean_D) / self._scale_D

    def nearest(self, clips_QD: Float, k: int) -> tuple[Float, np.ndarray]:
        """Distances (Q, k) and indices (Q, k) of the ``k`` nearest training clips, nearest first."""
        scaled_QD = (clips_QD - self._mean_D) / self._scale_D
        squared_QT = (
            np.square(scaled_QD).sum(axis=1)[:, None]
            + np.square(self._training_TD).sum(axis=1)
            - 2 * scaled_QD @ self._training_TD.T
        )
        index_Qk = np.argsort(squared_QT, axis=1, kind="stable")[:, :k]
        exact_QkD = scaled_QD[:, None] - self._training_TD[index_Qk]  # without the rounding of the difference above
        return np.linalg.norm(exact_QkD, axis=2), index_Qk


def spectrogram(audio_N: np.ndarray, sample_rate: int) -> Float:
    """Log-mel spectrogram in dB for ``Alignment``, cut ``RANGE`` below its peak, less each band's mean, (T, BANDS)."""
    size, hop = round(FRAME_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
    padded_N = np.pad(np.asarray(audio_N, dtype=np.float32), (0, max(0, size - len(audio_N))))
    power_FT = np.abs(stft(padded_N, n_fft=size, hop_length=hop)) ** 2
    level_TM = 10 * np.log10(power_FT.T @ _bands(sample_rate, size).T + 1e-12)
    level_TM = np.maximum(level_TM, level_TM.max() - RANGE)
    return np.asarray(level_TM - level_TM.mean(axis=0), dtype=np.float64)


def coarse(spectrogram_TM: Float) -> Float:
    """The spectrogram in few bands and long frames, (T / 5, BANDS / 4), by which all training clips are searched."""
    frames = len(spectrogram_TM) // COARSE_FRAMES * COARSE_FRAMES
    blocks = spectrogram_TM[:frames].reshape(-1, COARSE_FRAMES, BANDS // COARSE_BANDS, COARSE_BANDS)
    return np.asarray(blocks.mean(axis=(1, 3)))


class Alignment:
    """Distances to clips of one length at their best alignment in time.

    Args:
        clips_CTM: their spectrograms (C, T, M), fine (``spectrogram``) or coarse.
        hop_seconds: of their frames.
    """

    def __init__(self, clips_CTM: Float, hop_seconds: float = HOP_SECONDS) -> None:
        self._frames, self._hop = clips_CTM.shape[1], hop_seconds
        self._size = 1 << (2 * self._frames - 1).bit_length()
        self._spectra_CFM = np.conj(np.fft.rfft(clips_CTM, self._size, axis=1)).astype(np.complex64)
        self._energy_CT = _running_energy(clips_CTM)

    def distances(self, clip_TM: Float) -> tuple[Float, Float]:
        """Distance of one clip, of the same length, to each, and the shift at which it is found.

        Returns:
            1 - correlation, in [0, 2], (C,); and by how many seconds the clip's content comes later than theirs, (C,).
        """
        frames = self._frames
        spectrum_FM = np.fft.rfft(clip_TM, self._size, axis=0).astype(np.complex64)
        products_CS = np.fft.irfft(np.einsum("fm,cfm->cf", spectrum_FM, self._spectra_CFM), self._size)
        most = frames - max(round(OVERLAP * frames), 1)
        shifts_S = np.arange(-most, most + 1)  # frame t of the clip beside frame t - shift of the others
        begin_S, end_S = np.maximum(shifts_S, 0), np.minimum(shifts_S + frames, frames)
        energy_T = _running_energy(clip_TM)
        energies_CS = (energy_T[end_S] - energy_T[begin_S]) * (
            self._energy_CT[:, end_S - shifts_S] - self._energy_CT[:, begin_S - shifts_S]
        )
        silent_CS = energies_CS <= SILENT
        correlation_CS = products_CS[:, shifts_S] / np.sqrt(np.where(silent_CS, 1.0, energies_CS))
        correlation_CS[silent_CS] = 0.0
        best_C = correlation_CS.argmax(axis=1)
        distance_C = 1 - np.take_along_axis(correlation_CS, best_C[:, None], axis=1)[:, 0]
        return np.clip(distance_C, 0.0, 2.0), shifts_S[best_C] * self._hop


def _running_energy(clips_CTM: Float) -> Float:
    """Energy of the frames before each, (..., T + 1)."""
    energy_CT = np.square(clips_CTM).sum(axis=-1).cumsum(axis=-1)
    return np.concatenate([np.zeros_like(energy_CT[..., :1]), energy_CT], axis=-1)


def too_near(real_R: Float) -> float:
    """The distance below which a clip is nearer to a training clip than all but 1% of held-out real clips are."""
    return float(np.quantile(real_R, CLOSEST))


@functools.lru_cache(maxsize=4)
def _bands(sample_rate: int, size: int) -> Float:
    return np.asarray(mel(sr=sample_rate, n_fft=size, n_mels=BANDS), dtype=np.float64)
