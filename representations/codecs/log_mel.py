"""Log-mel spectrograms as AudioLDM takes them.

The front-end of AudioLDM (Liu et al. 2023; its training code, ``AudioLDM-training-finetuning``) and of the papers built
on it (papers/003 F.1, papers/004 section 4.2): 16 kHz, Hann windows of 1024, hop 160 (100 frames a second), 64 bands on
Slaney's mel scale, area-normalised, from 0 to 8 kHz, of MAGNITUDES; natural log, floored at 1e-5. The waveform is
reflected by (1024 - 160) / 2 samples at both ends, so that frame t is centred on samples 160 t to 160 (t + 1) and N
samples make exactly N / 160 frames. AudioLDM also scales every clip to a peak of 0.5; that is left out here, since a
latent must say everything that the decoder needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class MelConfig:
    """Sizes in samples; the defaults are AudioLDM's."""

    sample_rate: int = 16_000
    n_fft: int = 1024
    hop: int = 160
    bins: int = 64
    floor: float = 1e-5


class Frames(nn.Module):
    """Short-time spectra that hold exactly one frame per hop, and the way back.

    The way back is overlap-add weighted by the window and divided by the sum of its squares: the signal whose spectra
    come nearest to those given (Griffin and Lim 1984, Eq. 6).
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.config, self.edge = config, (config.n_fft - config.hop) // 2
        bank_FM = mel_filter_bank(
            config.n_fft // 2 + 1, config.bins, 0.0, config.sample_rate / 2, config.sample_rate, "slaney", "slaney"
        )
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(bank_FM).float(), persistent=False)

    def spectra(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to complex spectra (B, N / hop, F); a clip too short to be reflected is padded with zeros."""
        mode = "reflect" if wav_BN.shape[-1] > self.edge else "constant"
        padded_BN = nn.functional.pad(wav_BN[:, None], (self.edge, self.edge), mode=mode)[:, 0]
        n_fft, hop = self.config.n_fft, self.config.hop
        return torch.stft(padded_BN, n_fft, hop, window=self.window, center=False, return_complex=True).mT

    def waveform(self, spectra_BTF: Tensor) -> Tensor:
        """Complex spectra (B, T, F) to the waveform (B, T * hop)."""
        n_fft, hop = self.config.n_fft, self.config.hop
        frames_BTn = torch.fft.irfft(spectra_BTF, n_fft) * self.window
        weights_1Tn = self.window.square().expand(1, spectra_BTF.shape[1], -1)
        length = (spectra_BTF.shape[1] - 1) * hop + n_fft
        summed, weight = (
            nn.functional.fold(part_BTn.mT, (1, length), (1, n_fft), stride=(1, hop))[:, 0, 0]
            for part_BTn in (frames_BTn, weights_1Tn)
        )
        inside = slice(self.edge, self.edge + spectra_BTF.shape[1] * hop)
        return summed[:, inside] / weight[:, inside].clamp_min(1e-8)

    def log_mel(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to log-mel frames (B, N / hop, M)."""
        return (self.spectra(wav_BN).abs() @ self.filters).clamp_min(self.config.floor).log()
