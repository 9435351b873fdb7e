"""New EnCodec and VAE models with the sizes of Tal et al. 2025, table E.3, through transformers and diffusers.

EnCodec's strides are listed from the decoder's side, as audiocraft and transformers do; the VAE's from the encoder's.
Channels start at ``width`` and double with each stride. A VAE of 64 latent channels has width 128 (mean and spread).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...common.errors import UserError
from .oobleck import oobleck_class


@dataclass(frozen=True)
class WaveModel:
    """Sizes of an EnCodec or of a VAE (which has 0 codebooks of cardinality 0).

    Args:
        strides: of the convolutions; their product is the hop, in samples.
        width: channels of the layer next to the waveform.
        dim: channels of the latent; a VAE has half its width, since its encoder puts out means and spreads.
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
        """Samples per latent frame."""
        return math.prod(self.strides)

    @property
    def frame_rate_hz(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.hop


def encodec_model(model: WaveModel) -> Any:
    """A new EnCodec like MusicGen's: not causal, two LSTM layers, no convolution on residual shortcuts."""
    from transformers import EncodecConfig, EncodecModel  # transformers is slow to import

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
    """The content of ``config.json`` as the model's ``save_pretrained`` writes it."""
    text: str = model.config.to_json_string() if hasattr(model.config, "to_json_string") else model.to_json_string()
    return text
