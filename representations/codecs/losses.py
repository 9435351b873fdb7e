"""What a codec is trained and judged on: waveform (SNR), spectrum (log-mel), and the compressed spectrum between them.

A spectral loss alone gives a lower log-mel distance and no pitch at all, since it leaves the phase free; so the
waveform term is never dropped, and a codec is never chosen on log-mel distance alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MEL_SCALES = ((512, 40), (1024, 64), (2048, 96))  # (n_fft, mel bands) of the training loss
MEL_FLOOR = 1e-4  # of log-mel magnitudes, where a full-scale sine is about 1
SILENCE = 1e-5  # mean power below which a waveform error is not worth hearing (-50 dB)


def snr(reference_BN: Tensor, estimate_BN: Tensor) -> Tensor:
    """Signal-to-noise ratio in dB, (B,); both powers are floored at ``SILENCE``, so that silence scores 0."""
    signal_B = reference_BN.square().mean(-1) + SILENCE
    noise_B = (reference_BN - estimate_BN).square().mean(-1) + SILENCE
    return 10 * torch.log10(signal_B / noise_B)


def si_snr(reference_BN: Tensor, estimate_BN: Tensor) -> Tensor:
    """Scale-invariant SNR in dB, (B,), means removed (Le Roux et al. 2019, "SDR - half-baked or well done?")."""
    reference_BN = reference_BN - reference_BN.mean(-1, keepdim=True)
    estimate_BN = estimate_BN - estimate_BN.mean(-1, keepdim=True)
    gain_B1 = (reference_BN * estimate_BN).sum(-1, keepdim=True) / (reference_BN.square().sum(-1, keepdim=True) + 1e-8)
    target_BN = gain_B1 * reference_BN
    ratio_B = (target_BN.square().sum(-1) + 1e-8) / ((estimate_BN - target_BN).square().sum(-1) + 1e-8)
    return 10 * torch.log10(ratio_B)


@functools.cache
def _mel_filters(n_fft: int, bands: int, sample_rate: int) -> Tensor:
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(mel_filter_bank(n_fft // 2 + 1, bands, 0.0, sample_rate / 2, sample_rate)).float()


def log_mel(wav_BN: Tensor, sample_rate: int, n_fft: int = 1024, bands: int = 64) -> Tensor:
    """Natural log of mel magnitudes (B, frames, bands), HTK mel scale, Hann window, hop n_fft / 4, floored at 1e-4."""
    window = torch.hann_window(n_fft, device=wav_BN.device)
    x_BFtc = torch.view_as_real(torch.stft(wav_BN, n_fft, n_fft // 4, window=window, return_complex=True))
    magnitude_BFt = (x_BFtc.square().sum(-1) + 1e-9).sqrt() * (2 / window.sum())
    return (magnitude_BFt.mT @ _mel_filters(n_fft, bands, sample_rate).to(wav_BN.device)).clamp_min(MEL_FLOOR).log()


def log_mel_distance(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int) -> Tensor:
    """Mean absolute difference of log-mel magnitudes (64 bands, 1024-point windows), nats, (B,)."""
    difference = log_mel(reference_BN, sample_rate) - log_mel(estimate_BN, sample_rate)
    return difference.abs().mean(dim=(1, 2))


def mel_loss(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int, scale: int) -> Tensor:
    """Log-mel L1 at resolution ``MEL_SCALES[scale % 3]``, a scalar; training takes them in turn, to be cheap."""
    n_fft, bands = MEL_SCALES[scale % len(MEL_SCALES)]
    reference_BtM = log_mel(reference_BN, sample_rate, n_fft, bands)
    return nn.functional.l1_loss(log_mel(estimate_BN, sample_rate, n_fft, bands), reference_BtM)


def multi_mel_distance(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int, windows: Sequence[int]) -> Tensor:
    """L1 plus L2 of log-mels, averaged over window lengths, a scalar (EnCodec, Défossez et al. 2022, equation 2).

    There are n_fft / 8 mel bands, at most 64, so that no band of a short window is empty.
    """
    distances = []
    for n_fft in windows:
        bands = max(1, min(64, n_fft // 8))
        difference = log_mel(reference_BN, sample_rate, n_fft, bands) - log_mel(estimate_BN, sample_rate, n_fft, bands)
        distances.append(difference.abs().mean() + (difference.square().mean() + 1e-12).sqrt())
    return torch.stack(distances).mean()


def gaussian_kl(mean_BTD: Tensor, std_BTD: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, std^2) from N(0, 1) in nats, summed over channels: (B, T)."""
    return 0.5 * (mean_BTD.square() + std_BTD.square() - 1 - 2 * std_BTD.log()).sum(-1)


def perplexity(codes_KM: Tensor, cardinality: int) -> Tensor:
    """Exp of the entropy of code use, per codebook (K,); ``cardinality`` when all are used alike, 1 when one is."""
    counts_KC = torch.stack([torch.bincount(row, minlength=cardinality) for row in codes_KM]).double()
    share_KC = counts_KC / counts_KC.sum(1, keepdim=True)
    return torch.special.entr(share_KC).sum(1).clamp_max(math.log(cardinality)).exp()
