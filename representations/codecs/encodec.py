"""EnCodec (Défossez et al. 2022) through transformers' ``EncodecModel``: latents of MusicGen and Tal et al. 2025.

Continuous view: the output of the convolutional encoder, before the quantiser (Tal et al. 2025, appendix E.1). Discrete
view: the model's own residual quantiser, cut to a fixed number of codebooks (4 by default, as in MusicGen).

    load_representation("encodec:facebook/encodec_32khz")      32 kHz, 50 Hz, D 128, 4 x 2048
    load_representation("encodec:facebook/encodec_24khz@8")    24 kHz, 75 Hz, D 128, 8 x 1024

Audio is mono: a stereo model gets the waveform on both channels, and its output is averaged. The 48 kHz model is not
supported: it works in chunks of 1 s, each divided by its own loudness, which the latents do not hold.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...common.errors import UserError
from ...common.lines import count
from ..base import Representation, fingerprint, fit_length, load_pretrained
from ..spec import LatentSpec

DEFAULT_CODEBOOKS = 4


class Encodec(Representation):
    """A frozen ``EncodecModel``.

    Args:
        model: the transformers model.
        name: for records.
        codebooks: number of levels of its quantiser to use; None: 4, or all if it has fewer.

    Raises:
        UserError: the model normalises or works in chunks, or has fewer codebooks than ``codebooks``.
    """

    def __init__(self, model: Any, name: str, codebooks: int | None = None) -> None:
        super().__init__()
        config = model.config
        if config.normalize or config.chunk_length_s is not None:
            raise UserError(f"{name}: the 48 kHz EnCodec is not supported; use 24 or 32 kHz")
        available = len(model.quantizer.layers)
        self.codebooks = min(DEFAULT_CODEBOOKS, available) if codebooks is None else codebooks
        if not 1 <= self.codebooks <= available:
            raise UserError(f"{name}: asked for {count(self.codebooks, 'codebook')}, the model has 1 to {available}")
        self.model, self.hop, self.channels = model, config.hop_length, config.audio_channels
        rate = config.sampling_rate
        size = config.codebook_size
        self.spec = LatentSpec(name, rate, rate / self.hop, config.hidden_size, self.codebooks, size)
        self.fingerprint = fingerprint(model, {"class": "encodec", "codebooks": self.codebooks})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> encoder output (B, T, D); N is cropped or zero-padded to T * hop samples."""
        frames = max(1, self.spec.frames(wav_BN.shape[-1] / self.spec.sample_rate))
        wav_BcN = fit_length(wav_BN, frames * self.hop)[:, None].expand(-1, self.channels, -1)
        z_BDT: Tensor = self.model.encoder(wav_BcN)
        return z_BDT.mT

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D), quantised or not -> waveform (B, T * hop)."""
        wav_BcN = self.model.decoder(z_BTD.mT.contiguous())
        return fit_length(wav_BcN.mean(dim=1), z_BTD.shape[1] * self.hop)

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D) -> codes (B, K, T)."""
        residual_BDT, codes = z_BTD.mT, []
        for layer in self.model.quantizer.layers[: self.codebooks]:
            codes.append(layer.encode(residual_BDT))
            residual_BDT = residual_BDT - layer.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) -> latents (B, T, D)."""
        z_BDT: Tensor = self.model.quantizer.decode(codes_BKT.transpose(0, 1))
        return z_BDT.mT


def load_encodec(argument: str) -> Encodec:
    """Load ``"<folder or hub id>"`` or ``"<folder or hub id>@<codebooks>"``.

    Raises:
        UserError: the weights cannot be found or are of an unsupported kind.
    """
    from transformers import EncodecModel  # transformers is slow to import

    source, _, count = argument.rpartition("@")
    if not (source and count.isdigit()):
        source, count = argument, ""
    model = load_pretrained(EncodecModel, source, "EnCodec model")
    return Encodec(model, f"encodec:{source.rstrip('/').rsplit('/', 1)[-1]}", int(count) if count else None)
