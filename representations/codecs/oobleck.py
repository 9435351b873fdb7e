"""Oobleck, the VAE of Stable Audio (Evans et al. 2024), through diffusers' ``AutoencoderOobleck``.

Continuous only: no codebooks, hence no discrete view. The latent of a clip is the posterior's mean, so that encoding is
deterministic. Audio is mono: a stereo model gets the waveform on both channels, and its output is averaged.

    load_representation("oobleck:/models/stable-audio-open-1.0/vae")    44.1 kHz, 21.5 Hz, D 64
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...common.errors import UserError
from ..base import Representation, fingerprint, fit_length, load_pretrained
from ..spec import LatentSpec


class Oobleck(Representation):
    """A frozen ``AutoencoderOobleck``."""

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.hop, self.channels = model, model.hop_length, model.config.audio_channels
        rate = model.config.sampling_rate
        self.spec = LatentSpec(name, rate, rate / self.hop, model.config.decoder_input_channels)
        self.fingerprint = fingerprint(model, {"class": "oobleck"})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> posterior mean (B, T, D); N is cropped or zero-padded to T * hop samples."""
        frames = max(1, self.spec.frames(wav_BN.shape[-1] / self.spec.sample_rate))
        wav_BcN = fit_length(wav_BN, frames * self.hop)[:, None].expand(-1, self.channels, -1)
        z_BDT: Tensor = self.model.encode(wav_BcN).latent_dist.mode()
        return z_BDT.mT

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D) -> waveform (B, T * hop)."""
        wav_BcN = self.model.decode(z_BTD.mT).sample
        return fit_length(wav_BcN.mean(dim=1), z_BTD.shape[1] * self.hop)


def oobleck_class() -> Any:
    """``diffusers.AutoencoderOobleck``.

    Raises:
        UserError: diffusers is not installed.
    """
    try:
        from diffusers import AutoencoderOobleck
    except ImportError as error:
        raise UserError("oobleck needs diffusers; install it with: pip install 'paradigm-bench[vae]'") from error
    return AutoencoderOobleck


def load_oobleck(argument: str) -> Oobleck:
    """Load the VAE of a folder or hub id.

    Raises:
        UserError: diffusers is not installed, or the weights cannot be found.
    """
    model = load_pretrained(oobleck_class(), argument, "Oobleck VAE")
    return Oobleck(model, f"oobleck:{argument.rstrip('/').rsplit('/', 1)[-1]}")
