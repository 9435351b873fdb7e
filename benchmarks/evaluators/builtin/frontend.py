"""Two views of a window of audio: a pitch-class spectrogram and a log-mel spectrogram.

All audio is at 16 kHz.

- The pitch view is a log-frequency spectrogram of three bins per semitone, folded so that the twelve pitch classes are
  one axis, and octave and sub-bin are channels. Transposition is then a rotation along that axis, over which a circular
  convolution shares its weights. A mel axis does not resolve semitones below 1 kHz.
- The mel view has short windows, for timbre, onsets and drums.

The filters are fixed and computed in float64 with numpy, so that they do not depend on the version of a library. Mel
scale: Slaney's, as in Auditory Toolbox (1998). Both views are log10(1e-5 + power), scaled to about [-1, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SAMPLE_RATE = 16_000
PITCH_FFT, PITCH_HOP, MEL_FFT, MEL_HOP = 4096, 2000, 1024, 320
LOWEST_HZ, OCTAVES, BINS_PER_SEMITONE = 440.0 * 2 ** (-33 / 12), 6, 3  # from C2, 65.4 Hz, to B7
MELS = 64


class Frontend(nn.Module):
    """Audio windows (B, N) to the pitch view (B, octaves * 3, 12, T_p) and the mel view (B, 64, T_m)."""

    pitch_filters_PF: Tensor
    mel_filters_MF: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pitch_filters_PF", _tensor(pitch_filters()), persistent=False)
        self.register_buffer("mel_filters_MF", _tensor(mel_filters()), persistent=False)

    def forward(self, wav_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Both views of windows (B, N)."""
        pitch_BPT = compress(self.pitch_filters_PF @ power(wav_BN, PITCH_FFT, PITCH_HOP))
        mel_BMT = compress(self.mel_filters_MF @ power(wav_BN, MEL_FFT, MEL_HOP))
        batch, frames = len(wav_BN), pitch_BPT.shape[-1]
        folded = pitch_BPT.view(batch, OCTAVES, 12, BINS_PER_SEMITONE, frames).permute(0, 1, 3, 2, 4)
        return folded.reshape(batch, OCTAVES * BINS_PER_SEMITONE, 12, frames), mel_BMT


def power(wav_BN: Tensor, n_fft: int, hop: int) -> Tensor:
    """Power spectrogram (B, n_fft / 2 + 1, T) with a Hann window, scaled so that a full-scale sine peaks near 1."""
    window = torch.hann_window(n_fft, dtype=wav_BN.dtype, device=wav_BN.device)
    spectrum = torch.stft(wav_BN, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return (spectrum.abs() * (2.0 / window.sum())) ** 2


def compress(power_BFT: Tensor) -> Tensor:
    """log10(1e-5 + power), from [-5, 0] to [-1, 1]."""
    return torch.log10(1e-5 + power_BFT) * 0.4 + 1.0


def pitch_filters() -> NDArray[np.float64]:
    """Triangles on a log-frequency axis (216, bins): one per third of a semitone, at least one FFT bin wide."""
    n = 12 * OCTAVES * BINS_PER_SEMITONE
    steps = np.arange(-1, n + 1) - (BINS_PER_SEMITONE - 1) / 2  # the middle sub-bin is the equal-tempered pitch
    edges = LOWEST_HZ * 2 ** (steps / (12 * BINS_PER_SEMITONE))
    return _triangles(edges, PITCH_FFT)


def mel_filters() -> NDArray[np.float64]:
    """Triangles on Slaney's mel scale (64, bins), from 0 Hz to half the sample rate."""
    return _triangles(_mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE / 2), MELS + 2)), MEL_FFT)


def _triangles(edges: NDArray[np.float64], n_fft: int) -> NDArray[np.float64]:
    """Triangle k rises from edge k to k + 1 and falls to k + 2; a narrow one is widened to one FFT bin to each side."""
    width = SAMPLE_RATE / n_fft
    frequency = np.arange(n_fft // 2 + 1) * width
    low, centre, high = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    rise = (frequency - centre) / np.maximum(centre - low, width)
    fall = (centre - frequency) / np.maximum(high - centre, width)
    return np.maximum(0.0, 1.0 + np.minimum(np.minimum(rise, 0.0), np.minimum(fall, 0.0)))


def _hz_to_mel(hz: float) -> float:
    return hz / (200 / 3) if hz < 1000 else 15 + np.log(hz / 1000) / (np.log(6.4) / 27)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _tensor(filters: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(filters.astype(np.float32))
