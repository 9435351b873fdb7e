"""Shapes of latents that are known without loading weights, for plans and for timing randomly initialised models.

EnCodec here is that of Tal et al. 2025 (appendix E.3): 32 kHz, 128 channels, 4 codebooks of 2048 entries; its strides
decide the frame rate, and 50 Hz is MusicGen's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..common.errors import UserError
from .spec import LatentSpec

if TYPE_CHECKING:
    from .base import Representation

BUILTIN_LATENT = LatentSpec("codec_builtin", 16000, 25.0, 32, codebooks=4, cardinality=512)
OOBLECK_LATENT = LatentSpec("oobleck", 44100, 44100 / 2048, 64)  # the VAE of Stable Audio Open
ENCODEC_STRIDES = {25: (8, 8, 5, 4), 50: (8, 5, 4, 4), 100: (8, 5, 4, 2)}  # frames per second -> of the decoder
TEXT_WIDTH = 768  # of T5-base's embeddings


def encodec_latent(frame_rate: float | None = None) -> LatentSpec:
    """The latents of EnCodec at ``frame_rate`` frames per second; None: 50.

    Raises:
        UserError: a frame rate for which the paper has no strides.
    """
    rate = 50.0 if frame_rate is None else frame_rate
    if rate not in ENCODEC_STRIDES:
        raise UserError(f"latency.frame_rate is {rate:g} but must be one of {', '.join(map(str, ENCODEC_STRIDES))}")
    return LatentSpec(f"encodec_{rate:g}hz", 32000, rate, 128, codebooks=4, cardinality=2048)


def random_encodec(latent: LatentSpec) -> Representation:
    """An EnCodec with the shape of ``latent`` and random weights, on which its speed does not depend.

    Its activation is the ELU of transformers where the paper has GELU, which costs the same.
    """
    from transformers import EncodecConfig, EncodecModel  # heavy, and needed where an EnCodec is timed only

    from .codecs.waveform import Encodec

    bits = math.log2(latent.cardinality)
    shape = EncodecConfig(
        sampling_rate=latent.sample_rate,
        target_bandwidths=[latent.frame_rate_hz * latent.codebooks * bits / 1000],
        upsampling_ratios=list(ENCODEC_STRIDES[int(latent.frame_rate_hz)]),
        num_filters=64,
        hidden_size=latent.dim,
        codebook_dim=latent.dim,
        codebook_size=latent.cardinality,
        use_causal_conv=False,
    )
    return Encodec(EncodecModel(shape), latent.name, latent.codebooks)
