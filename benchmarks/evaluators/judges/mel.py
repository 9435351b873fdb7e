"""Mel spectrograms of the judges, computed in float64 with torch on one clip at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Float = NDArray[np.float64]
HTK_SCALE = 2595 / np.log(10)  # mel per unit of log(1 + f / 700)


def spectrum(wav_N: Tensor, n_fft: int, hop: int, window_N: Tensor) -> Tensor:
    """Power |STFT|^2 (F, T) of float64 samples, framed around every ``hop``-th one, with zeros beyond the ends."""
    spectrum_FT: Tensor = torch.stft(
        wav_N, n_fft, hop, window=window_N, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum_FT.abs().square()


def slaney_filters(bands: int, highest_hz: float, sample_rate: int, n_fft: int) -> Float:
    """Triangles of unit area on Slaney's mel scale from 0 Hz, (bands, n_fft / 2 + 1), as librosa's ``filters.mel``.

    Bands above half the sample rate are zero.
    """
    edges = _slaney_to_hz(np.linspace(0.0, _hz_to_slaney(highest_hz), bands + 2))
    return _triangles(edges, _bins(sample_rate, n_fft)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def htk_filters(bands: int, sample_rate: int, n_fft: int) -> Float:
    """Triangles on the HTK mel scale from 0 Hz to half the sample rate, (bands, n_fft / 2 + 1), each with sum 1.

    They are linear in mel, not in Hz, as essentia's ``MelBands`` with ``unit_sum`` and ``htkMel``.
    """
    bins = HTK_SCALE * np.log1p(_bins(sample_rate, n_fft) / 700)
    filters: Float = _triangles(np.linspace(0.0, HTK_SCALE * np.log1p(sample_rate / 1400), bands + 2), bins)
    shares: Float = filters / filters.sum(1, keepdims=True)
    return shares


def _triangles(edges: Float, bins: Float) -> Float:
    """Triangle k rises from 0 at edge k to 1 at k + 1 and falls to 0 at k + 2; (len(edges) - 2, len(bins))."""
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    sides: Float = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return np.maximum(sides, 0.0)


def _bins(sample_rate: int, n_fft: int) -> Float:
    bins: Float = np.arange(n_fft // 2 + 1, dtype=np.float64) * (sample_rate / n_fft)
    return bins


def _hz_to_slaney(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _slaney_to_hz(mel: Float) -> Float:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
