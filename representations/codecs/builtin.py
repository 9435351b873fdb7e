"""The built-in codec and VAE: small enough for a laptop's CPU, 16 kHz mono, 25 Hz latents of 32 channels.

Both work on compressed spectra S (``networks.Spectrum``); those of one latent frame (640 samples) are stacked into a
vector. They have the same architecture and differ in what is between encoder and decoder:

    encode:  wav -> S and log-mel (50 Hz) -> linear + ConvNeXt blocks (25 Hz) -> z (25 Hz, D = 32)
    decode:  z -> linear + ConvNeXt blocks (25 Hz, then 50 Hz) -> S -> overlap-add -> wav

    codec    one encoder with two views: z, and the codes of z by ``networks.ResidualQuantiser``
    VAE      a Gaussian posterior N(mean, std^2) per channel (Kingma and Welling 2014); z is its mean; no codes

A clip gives the same latents alone or in a batch. ``builtin_trainer.py`` describes how the weights are trained.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...common.config import from_dict, to_dict
from ...common.errors import UserError
from ...common.files import read_json, write_json, write_tensors
from ...common.lines import count
from ..base import Representation, fingerprint
from ..spec import LatentSpec
from .networks import ResidualQuantiser, SpectralDecoder, SpectralEncoder, Spectrum


@dataclass(frozen=True)
class CodecConfig:
    """Sizes of the networks, with the shipped codec's as defaults; 0 codebooks of cardinality 0 make a VAE."""

    sample_rate: int = 16000
    n_fft: int = 1280
    hop: int = 320
    stride: int = 2  # spectra per latent frame
    compression: float = 0.5
    width: int = 160
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    fine_width: int = 224
    fine_blocks: int = 3
    kernel: int = 7
    mel_bands: int = 80
    dim: int = 32
    codebooks: int = 4
    cardinality: int = 512

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0 and field.name not in ("codebooks", "cardinality"):
                raise UserError(f"codec: {field.name} must be above 0, not {getattr(self, field.name)}")
        if min(self.codebooks, self.cardinality) < 0 or (self.codebooks == 0) != (self.cardinality == 0):
            raise UserError(
                f"codec: {count(self.codebooks, 'codebook')} of {self.cardinality} entries; "
                "give both, or 0 and 0 for a VAE"
            )
        if self.n_fft < self.hop or (self.n_fft - self.hop) % 2:
            raise UserError(f"codec: n_fft {self.n_fft} must exceed hop {self.hop} by an even number of samples")
        if self.kernel % 2 == 0:
            raise UserError(f"codec: kernel {self.kernel} must be odd, so that frames stay where they are")


class SpectralAutoencoder(Representation):
    """The architecture that codec and VAE share; the first D of the ``encoded`` channels are the latents.

    Attributes:
        record: how the weights were made; empty for new ones.
        spread: standard deviation of the latents at the start of training.
    """

    spread = 2.0

    def __init__(self, config: CodecConfig, name: str, encoded: int) -> None:
        super().__init__()
        self.config, self.record = config, dict[str, Any]()
        self.spectrum = Spectrum(config.n_fft, config.hop, config.compression)
        channels = 2 * (config.n_fft // 2 + 1)
        self.encoder = SpectralEncoder(
            channels, encoded, config.stride, config.width, config.encoder_blocks, config.kernel,
            config.mel_bands, config.sample_rate,
        )  # fmt: skip
        self.decoder = SpectralDecoder(
            config.dim, channels, config.stride, config.width, config.decoder_blocks,
            config.fine_width, config.fine_blocks, config.kernel,
        )  # fmt: skip
        self.frame_samples = config.stride * config.hop
        frame_rate = config.sample_rate / self.frame_samples
        self.spec = LatentSpec(name, config.sample_rate, frame_rate, config.dim, config.codebooks, config.cardinality)

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor) -> None:
        """Set the linear maps of encoder and decoder to the principal components of example audio (B, N).

        Latents then have standard deviations around ``spread``, half whitened: sd_i ~ sqrt(sd of component i).
        """
        frames = wav_BN.shape[-1] // self.frame_samples
        spectra_MC = self.spectrum(wav_BN[:, : frames * self.frame_samples]).reshape(len(wav_BN) * frames, -1)
        _, strength_D, axes_CD = torch.svd_lowrank(spectra_MC, q=self.config.dim + 8, niter=4)
        axes_CD, sd_D = axes_CD[:, : self.config.dim], strength_D[: self.config.dim] / len(spectra_MC) ** 0.5
        gain_D = self.spread / (sd_D * sd_D.mean()).sqrt()
        self.encoder.skip.weight.zero_()[: self.config.dim] = (axes_CD * gain_D).T
        self.decoder.skip.weight.copy_(axes_CD / gain_D)

    def refresh_fingerprint(self) -> None:
        """Compute ``fingerprint`` again; to be called after a change of the weights."""
        self.fingerprint = fingerprint(self, to_dict(self.config))

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> z (B, T, D), T = round(N / 640); the end is cropped or zero-padded to T * 640 samples."""
        return self.encoded(wav_BN)[..., : self.config.dim]

    def encoded(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> the full output of the encoder (B, T, ``encoded``)."""
        encoded_BTE: Tensor = self.encoder(self.spectrum(self.whole_frames(wav_BN)))
        return encoded_BTE

    def decode(self, z_BTD: Tensor) -> Tensor:
        """z (B, T, D) -> waveform (B, T * 640)."""
        return self.spectrum.inverse(self.decoder(z_BTD))


class BuiltinCodec(SpectralAutoencoder):
    """The autoencoder with a residual quantiser."""

    def __init__(self, config: CodecConfig, name: str = "codec_builtin") -> None:
        super().__init__(config, name, config.dim)
        self.quantiser = ResidualQuantiser(config.codebooks, config.cardinality, config.dim)
        self.refresh_fingerprint()

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """z (B, T, D) -> codes (B, K, T)."""
        return self.quantiser.quantise(z_BTD)

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) -> z (B, T, D)."""
        return self.quantiser.dequantise(codes_BKT)


class BuiltinVAE(SpectralAutoencoder):
    """The autoencoder with a Gaussian posterior: the encoder's second D channels are log-variances."""

    spread = 1.0  # the prior's

    def __init__(self, config: CodecConfig, name: str = "vae_builtin") -> None:
        super().__init__(config, name, 2 * config.dim)
        nn.init.constant_(self.encoder.leave.bias[config.dim :], -4.0)  # a narrow start: std 0.14
        self.refresh_fingerprint()

    def posterior(self, wav_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Waveform (B, N) -> mean and standard deviation of z, each (B, T, D)."""
        mean_BTD, log_variance_BTD = self.encoded(wav_BN).chunk(2, dim=-1)
        return mean_BTD, (0.5 * log_variance_BTD.clamp(-20, 10)).exp()


def build(config: CodecConfig, name: str) -> SpectralAutoencoder:
    """A new codec, or a new VAE where the config has no codebooks."""
    return BuiltinCodec(config, name) if config.codebooks else BuiltinVAE(config, name)


def save_codec(codec: SpectralAutoencoder, folder: Path, record: dict[str, Any]) -> None:
    """Write ``codec.safetensors``, and ``codec.json`` with config, fingerprint and ``record``.

    Weights are stored as float16, which halves the file; the fingerprint is that of the stored values.
    """
    stored = copy.deepcopy(codec).half().float()
    stored.refresh_fingerprint()
    write_tensors(folder / "codec.safetensors", {name: t.half() for name, t in stored.state_dict().items()})
    write_json(folder / "codec.json", {"config": to_dict(codec.config), "fingerprint": stored.fingerprint, **record})


def load_codec(folder: Path, name: str | None = None) -> SpectralAutoencoder:
    """Load a codec or VAE that ``save_codec`` wrote, in eval mode.

    Raises:
        UserError: a file is missing or unreadable, or the two files do not belong together.
    """
    weights, record = folder / "codec.safetensors", read_json(folder / "codec.json")
    config = from_dict(CodecConfig, record["config"], f"{folder / 'codec.json'}: config")
    codec = build(config, name or folder.name)
    try:
        codec.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"cannot read {weights}: {line}; train it anew or copy it again") from error
    codec.refresh_fingerprint()
    if codec.fingerprint != record["fingerprint"]:
        raise UserError(f"{folder}: codec.json does not belong to codec.safetensors; copy both files of one codec")
    codec.record = record
    return codec.eval().requires_grad_(False)


def load_builtin(argument: str = "", name: str = "codec_builtin") -> SpectralAutoencoder:
    """The shipped codec, ``weights/codec_builtin``.

    Raises:
        UserError: there is an argument, or the package was installed without its weights.
    """
    if argument:
        raise UserError(f"{name} takes no argument, got {argument!r}; to load another one give its folder")
    return load_codec(Path(__file__).parents[1] / "weights" / name, name)


def load_builtin_vae(argument: str = "") -> SpectralAutoencoder:
    """The shipped VAE, ``weights/vae_builtin``; see ``load_builtin``."""
    return load_builtin(argument, "vae_builtin")
