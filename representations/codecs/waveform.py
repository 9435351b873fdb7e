"""EnCodec through transformers and Oobleck, the VAE of Stable Audio, through diffusers: published models and new ones.

    load_representation("encodec:facebook/encodec_32khz")      32 kHz, 50 Hz, D 128, 4 x 2048
    load_representation("encodec:facebook/encodec_24khz@8")    24 kHz, 75 Hz, D 128, 8 x 1024
    load_representation("oobleck:/models/stable-audio-open-1.0/vae")    44.1 kHz, 21.5 Hz, D 64

EnCodec (Défossez et al. 2022) gives the latents of MusicGen and Tal et al. 2025. Continuous view: the output of the
convolutional encoder, before the quantiser (Tal et al. 2025, appendix E.1). Discrete view: the model's own residual
quantiser, cut to a fixed number of codebooks (4 by default, as in MusicGen). The 48 kHz model is not supported: it
works in chunks of 1 s, each divided by its own loudness, which the latents do not hold.

Oobleck (Evans et al. 2024) has no codebooks, hence no discrete view. The latent of a clip is the posterior's mean, so
that encoding is deterministic.

Audio is mono: a stereo model gets the waveform on both channels, and its output is averaged.

``encodec_model`` and ``oobleck_model`` make new models with the sizes of Tal et al. 2025, table E.3. EnCodec's strides
are listed from the decoder's side, as audiocraft and transformers do; the VAE's from the encoder's. Channels start at
``width`` and double with each stride. A VAE of 64 latent channels has width 128 (mean and spread).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ...common.errors import UserError
from ...common.lines import count
from ..base import Representation, fingerprint, fit_length, last_part, load_pretrained
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
        rate, size = config.sampling_rate, config.codebook_size
        self.spec = LatentSpec(name, rate, rate / self.hop, config.hidden_size, self.codebooks, size)
        self.fingerprint = fingerprint(model, {"class": "encodec", "codebooks": self.codebooks})
        self.eval().requires_grad_(False)

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> encoder output (B, T, D); N is cropped or zero-padded to T * hop samples."""
        wav_BcN = self.whole_frames(wav_BN)[:, None].expand(-1, self.channels, -1)
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
    return Encodec(model, f"encodec:{last_part(source)}", int(count) if count else None)


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
        wav_BcN = self.whole_frames(wav_BN)[:, None].expand(-1, self.channels, -1)
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
    return Oobleck(model, f"oobleck:{last_part(argument)}")


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
