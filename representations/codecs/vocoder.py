"""From a log-mel spectrogram to a waveform: HiFi-GAN, or a guess of the phase where there is no vocoder.

``HifiGan`` is AudioLDM's (Kong et al. 2020), transformers' ``SpeechT5HifiGan`` in the sub-folder ``vocoder`` of its
pipelines. ``GriffinLim`` needs no weights: magnitudes that the mel bands allow are found by non-negative least squares
(multiplicative updates, Lee and Seung 2001), then the phase by fast Griffin-Lim (Perraudin et al. 2013). It always
starts from the same phase, so a clip sounds the same alone and in a batch. Both are the ceiling of whatever predicts
mels: the axis ``reconstruction`` measures them with nothing in between (representation ``mel``).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...common.errors import UserError
from .log_mel import Frames, MelConfig
from .pretrained import load_pretrained

PHASE_STEPS, MOMENTUM = 32, 0.99  # as librosa has them
MAGNITUDE_STEPS = 128


class Vocoder(nn.Module):
    """Log-mel (B, T, M) to waveform (B, T * hop). ``identity``: what decides the result, weights apart."""

    identity: str

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        raise NotImplementedError


class GriffinLim(Vocoder):
    """The phase guessed, without weights."""

    identity = f"griffin-lim {PHASE_STEPS} {MOMENTUM} {MAGNITUDE_STEPS}"

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.frames = Frames(config)

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        magnitude_BTF = self.magnitudes(mel_BTM)
        generator = torch.Generator().manual_seed(0)
        angle_TF = 2 * math.pi * torch.rand(magnitude_BTF.shape[1:], generator=generator)
        phase_BTF = torch.polar(torch.ones_like(angle_TF), angle_TF).to(mel_BTM.device)[None]
        before = torch.zeros_like(phase_BTF)
        for _ in range(PHASE_STEPS):
            rebuilt_BTF = self.frames.spectra(self.frames.waveform(magnitude_BTF * phase_BTF))
            ahead_BTF = rebuilt_BTF - MOMENTUM / (1 + MOMENTUM) * before
            phase_BTF, before = ahead_BTF / ahead_BTF.abs().clamp_min(1e-12), rebuilt_BTF
        return self.frames.waveform(magnitude_BTF * phase_BTF)

    def magnitudes(self, mel_BTM: Tensor) -> Tensor:
        """Non-negative magnitudes (B, T, F) whose mel bands come nearest to those of ``mel_BTM``."""
        bank_FM = self.frames.filters
        wanted_BTF = mel_BTM.exp() @ bank_FM.mT
        found_BTF = wanted_BTF.clone()
        for _ in range(MAGNITUDE_STEPS):
            found_BTF = found_BTF * wanted_BTF / ((found_BTF @ bank_FM) @ bank_FM.mT).clamp_min(1e-12)
        return found_BTF


class HifiGan(Vocoder):
    """A frozen ``SpeechT5HifiGan``."""

    identity = "hifi-gan"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Waveform (B, T * hop)."""
        wav_BN: Tensor = self.model(mel_BTM)
        return wav_BN


def load_vocoder(source: str, mel: MelConfig) -> HifiGan:
    """The vocoder of a folder (its sub-folder ``vocoder``, or itself) or of a hub id (its sub-folder).

    Raises:
        UserError: none there, or it was made for another mel than ``mel``.
    """
    from transformers import SpeechT5HifiGan

    folder = Path(source).expanduser()
    if folder.is_dir():
        inside = folder / "vocoder"
        model = load_pretrained(SpeechT5HifiGan, str(inside if inside.is_dir() else folder), "HiFi-GAN vocoder")
    else:
        model = load_pretrained(SpeechT5HifiGan, source, "HiFi-GAN vocoder", subfolder="vocoder")
    config = model.config
    made_for = (config.model_in_dim, config.sampling_rate, math.prod(config.upsample_rates))
    if made_for != (mel.bins, mel.sample_rate, mel.hop):
        raise UserError(
            f"{source}: its vocoder reads {made_for[0]} mel bands at {made_for[1]} Hz with hop {made_for[2]}, the mel "
            f"has {mel.bins} at {mel.sample_rate} Hz with hop {mel.hop}; take AudioLDM's, or guess the phase by "
            "the representation mel or mel_vae:SOURCE@griffin-lim"
        )
    return HifiGan(model)
