"""The waveform models of papers/002, table E.3, built from configs of transformers and diffusers.

EnCodec's strides are listed as audiocraft and transformers do, from the decoder's side; the VAE's from the encoder's.
Channels double with each stride from ``width``, and 64 latent channels need a VAE of width 128 (mean and spread).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...common.errors import UserError


@dataclass(frozen=True)
class WaveModel:
    """Sizes of an EnCodec or of a VAE (which has 0 codebooks of cardinality 0).

    Args:
        strides: their product is the hop, in samples.
        width: channels next to the waveform.
        dim: channels of the latent; of a VAE half its width, as its encoder's last layer is as wide.
    """

    family: Literal["encodec", "vae"]
    strides: tuple[int, ...]
    width: int
    dim: int
    codebooks: int = 0
    cardinality: int = 0
    sample_rate: int = 32000

    def __post_init__(self) -> None:
        sizes = (*self.strides, self.width, self.dim, self.sample_rate)
        if not self.strides or min(sizes) <= 0 or min(self.codebooks, self.cardinality) < 0:
            raise UserError("codec: strides, width, dim and sample_rate must be above 0; check --set model.*")
        if self.family == "vae" and (self.codebooks or self.cardinality or self.width != 2 * self.dim):
            raise UserError(f"codec: a VAE must have 0 codebooks and a width of 2 x dim ({2 * self.dim})")
        if self.family == "encodec" and not (self.codebooks and self.cardinality >= 2):
            raise UserError("codec: an EnCodec must have 1 or more codebooks of 2 or more entries")

    @property
    def hop(self) -> int:
        """Samples of a latent frame."""
        return math.prod(self.strides)

    @property
    def frame_rate_hz(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.hop


def encodec_model(model: WaveModel) -> Any:
    """A new EnCodec as MusicGen's is: not causal, two LSTM layers, no convolution on residual shortcuts."""
    from transformers import EncodecConfig, EncodecModel

    # transformers takes the number of codebooks from the bandwidth, rounding down.
    bits = math.ceil(math.log2(model.cardinality))
    kbps = (model.codebooks + 0.5) * bits * math.ceil(model.frame_rate_hz) / 1000
    return EncodecModel(
        EncodecConfig(
            target_bandwidths=[kbps],
            sampling_rate=model.sample_rate,
            audio_channels=1,
            hidden_size=model.dim,
            codebook_dim=model.dim,
            codebook_size=model.cardinality,
            num_filters=model.width,
            upsampling_ratios=list(model.strides),
            use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )


def oobleck_model(model: WaveModel) -> Any:
    """A new mono Oobleck VAE.

    Raises:
        UserError: diffusers is not installed.
    """
    from .oobleck import oobleck_class

    return oobleck_class()(
        encoder_hidden_size=model.width,
        downsampling_ratios=list(model.strides),
        channel_multiples=[2**i for i in range(len(model.strides))],
        decoder_channels=model.width,
        decoder_input_channels=model.dim,
        audio_channels=1,
        sampling_rate=model.sample_rate,
    )


def config_text(model: Any) -> str:
    """What stands in the ``config.json`` of a model, as ``save_pretrained`` writes it."""
    text: str = model.config.to_json_string() if hasattr(model.config, "to_json_string") else model.to_json_string()
    return text
