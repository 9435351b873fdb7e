"""Log-mel frames (``log_mel.py``) as a representation of their own.

It needs no weights: latents are the frames themselves, and the phase is guessed (``vocoder.py``).
What it loses is therefore what the mel-VAE loses before its first layer, the ceiling of everything built on it.

    load_representation("mel")               64 bands, Griffin-Lim
    load_representation("mel:128@2048")      128 bands from windows of 2048
    load_representation("mel:/models/audioldm")   64 bands, the vocoder of a pipeline's folder (or a vocoder's own)
"""

from __future__ import annotations

import dataclasses
import re

from torch import Tensor

from ...common.config import to_dict
from ...common.errors import UserError
from ..base import LatentSpec, Representation, fingerprint, fit_length
from .log_mel import Frames, MelConfig
from .vocoder import GriffinLim, Vocoder, load_vocoder


class Mel(Representation):
    """Log-mel frames as latents; the phase comes from ``vocoder``, log-mel (B, T, M) -> waveform (B, T * hop)."""

    def __init__(self, config: MelConfig, vocoder: Vocoder, name: str) -> None:
        super().__init__()
        self.frames, self.vocoder = Frames(config), vocoder
        rate, hop = config.sample_rate, config.hop
        self.spec = LatentSpec(name, rate, rate / hop, config.bins)
        self.fingerprint = fingerprint(self, {"class": "mel", "mel": to_dict(config), "phase": vocoder.identity})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> log-mel frames (B, T, M); N is cropped or zero-padded to T * hop samples."""
        frames = max(1, self.spec.frames(wav_BN.shape[-1] / self.spec.sample_rate))
        return self.frames.log_mel(fit_length(wav_BN, frames * self.frames.config.hop))

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Log-mel frames (B, T, M) -> waveform (B, T * hop)."""
        wav_BN: Tensor = self.vocoder(z_BTD)
        return fit_length(wav_BN, z_BTD.shape[1] * self.frames.config.hop)


def load_mel(argument: str) -> Mel:
    """``""``, ``"<bands>@<window>"``, or a folder or hub id with a vocoder.

    Raises:
        UserError: sizes that make no mel, or no vocoder there, or one that does not fit.
    """
    sizes = re.fullmatch(r"(\d+)@(\d+)", argument)
    config = MelConfig()
    if sizes:
        bins, n_fft = int(sizes[1]), int(sizes[2])
        if not (2 <= bins <= n_fft // 4 and n_fft % 2 == 0 and n_fft >= 2 * config.hop):
            raise UserError(
                f"mel:{argument}: give BANDS@WINDOW with an even window of {2 * config.hop} samples or more and at "
                "most a quarter as many bands, for example mel:128@2048"
            )
        config = dataclasses.replace(config, bins=bins, n_fft=n_fft)
    if sizes or not argument:
        return Mel(config, GriffinLim(config), f"mel:{argument}" if argument else "mel")
    return Mel(config, load_vocoder(argument, config), f"mel:{argument.rstrip('/').rsplit('/', 1)[-1]}")
