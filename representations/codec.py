"""The built-in codec: small enough for a laptop's CPU, 16 kHz mono, 25 Hz latents, one encoder with two views.

Waveform convolutions in the manner of EnCodec cost too much on a CPU, so the codec works on spectra. The waveform's
short-time Fourier transform X is compressed, S = X |X|^(c-1) with c = 0.5 (phases kept, magnitudes nearer to how
the ear weighs them; Wilson et al. 2018), and the spectra of one latent frame (640 samples) are stacked into a vector:

    encode:  wav -> S (50 Hz) -> linear + ConvNeXt blocks (25 Hz) -> z (25 Hz, D = 32)
    decode:  z -> linear + ConvNeXt blocks -> S -> X = S |S|^(1/c-1) -> overlap-add -> wav
    codes:   residual quantiser on z (``representations.quantiser``)

ConvNeXt (Liu et al. 2022) in one dimension, as Vocos (Siuzdak 2023) uses it for audio. Nothing looks at the batch: a
clip gives the same latents alone or among others. ``representations.codec_trainer`` tells how the weights are made.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.config import from_dict, to_dict
from common.errors import UserError
from common.files import read_json, write_json, write_tensors
from representations.base import LatentSpec, Representation, fingerprint, fit_length
from representations.quantiser import ResidualQuantiser


@dataclass(frozen=True)
class CodecConfig:
    """Sizes of the codec; the defaults are those of the shipped weights."""

    sample_rate: int = 16000
    n_fft: int = 1280
    hop: int = 320
    stride: int = 2  # spectra per latent frame
    compression: float = 0.5
    width: int = 160
    encoder_blocks: int = 4
    decoder_blocks: int = 6
    kernel: int = 7
    dim: int = 32
    codebooks: int = 4
    cardinality: int = 512

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                raise UserError(f"codec: {field.name} must be above 0, not {getattr(self, field.name)}")
        if self.n_fft < self.hop or (self.n_fft - self.hop) % 2:
            raise UserError(f"codec: n_fft {self.n_fft} must exceed hop {self.hop} by an even number of samples")
        if self.kernel % 2 == 0:
            raise UserError(f"codec: kernel {self.kernel} must be odd, so that frames stay where they are")


class Spectrum(nn.Module):
    """Waveform (B, N) <-> compressed complex spectra as real vectors (B, N // hop, 2 * (n_fft // 2 + 1)).

    Frame i is centred on the middle of hop i, so N = F * hop samples make exactly F frames; a sine of amplitude a has
    |X| = a.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int, compression: float) -> None:
        super().__init__()
        self.n_fft, self.hop, self.compression = n_fft, hop, compression
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav_BN: Tensor) -> Tensor:
        """Analyse: (B, F * hop) -> (B, F, 2 * bins)."""
        margin = (self.n_fft - self.hop) // 2
        padded = nn.functional.pad(wav_BN, (margin, margin))
        x_BFt = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        x_BtFc = torch.view_as_real(x_BFt.mT * (2 / self.window.sum()))
        s_BtFc = x_BtFc * (x_BtFc.square().sum(-1, keepdim=True) + 1e-12) ** ((self.compression - 1) / 2)
        return torch.cat([s_BtFc[..., 0], s_BtFc[..., 1]], dim=-1)

    def inverse(self, s_BFC: Tensor) -> Tensor:
        """Synthesise by windowed overlap-add: (B, F, 2 * bins) -> (B, F * hop)."""
        real, imag = s_BFC.chunk(2, dim=-1)
        gain = (real.square() + imag.square() + 1e-12) ** ((1 / self.compression - 1) / 2)
        x_BtF = torch.complex(real * gain, imag * gain) * (self.window.sum() / 2)
        pieces_BtN = torch.fft.irfft(x_BtF, n=self.n_fft) * self.window
        weight_1tN = self.window.square().expand(1, s_BFC.shape[1], -1)
        return self._overlap_add(pieces_BtN) / self._overlap_add(weight_1tN)

    def _overlap_add(self, pieces_BtN: Tensor) -> Tensor:
        margin = (self.n_fft - self.hop) // 2
        length = (pieces_BtN.shape[1] - 1) * self.hop + self.n_fft
        folded = nn.functional.fold(pieces_BtN.mT, (1, length), (1, self.n_fft), stride=(1, self.hop))
        return folded[:, 0, 0, margin : length - margin]


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a per-frame MLP; residual, (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        h_BTC = self.norm(self.mix(x_BTC.mT).mT)
        return x_BTC + self.scale * self.down(nn.functional.gelu(self.up(h_BTC)))


class SkippedNet(nn.Module):
    """Linear path plus ConvNeXt network, (B, T, in) -> (B, T, out); the network's share starts at zero.

    The linear path can be set to principal components, which spares training the slow discovery of phase.
    """

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, kernel: int) -> None:
        super().__init__()
        self.skip = nn.Linear(inputs, outputs, bias=False)
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, kernel) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out)."""
        y_BTC: Tensor = self.skip(x_BTC) + self.leave(self.norm(self.blocks(self.enter(x_BTC))))
        return y_BTC


class BuiltinCodec(Representation):
    """The codec described above. ``record`` holds how its weights were made (empty for a new one)."""

    def __init__(self, config: CodecConfig, name: str = "codec_builtin") -> None:
        super().__init__()
        self.config, self.record = config, dict[str, Any]()
        self.spectrum = Spectrum(config.n_fft, config.hop, config.compression)
        channels = config.stride * 2 * (config.n_fft // 2 + 1)
        self.encoder = SkippedNet(channels, config.dim, config.width, config.encoder_blocks, config.kernel)
        self.quantiser = ResidualQuantiser(config.codebooks, config.cardinality, config.dim)
        self.decoder = SkippedNet(config.dim, channels, config.width, config.decoder_blocks, config.kernel)
        self.frame_samples = config.stride * config.hop
        frame_rate = config.sample_rate / self.frame_samples
        self.spec = LatentSpec(name, config.sample_rate, frame_rate, config.dim, config.codebooks, config.cardinality)
        self.refresh_fingerprint()

    @torch.no_grad()
    def initialise(self, wav_BN: Tensor, spread: float = 2.0) -> None:
        """Set the linear paths of encoder and decoder to the principal components of example audio (B, N).

        Latents start with standard deviations around ``spread``, half-way whitened: sd_i ~ sqrt(sd of component i).
        """
        frames = wav_BN.shape[-1] // self.frame_samples
        spectra_MC = self.spectrum(wav_BN[:, : frames * self.frame_samples]).reshape(len(wav_BN) * frames, -1)
        _, strength_D, axes_CD = torch.svd_lowrank(spectra_MC, q=self.config.dim + 8, niter=4)
        axes_CD, sd_D = axes_CD[:, : self.config.dim], strength_D[: self.config.dim] / len(spectra_MC) ** 0.5
        gain_D = spread / (sd_D * sd_D.mean()).sqrt()
        self.encoder.skip.weight.copy_((axes_CD * gain_D).T)
        self.decoder.skip.weight.copy_(axes_CD / gain_D)

    def refresh_fingerprint(self) -> None:
        """Recompute ``fingerprint``; to be called after the weights changed."""
        self.fingerprint = fingerprint(self, to_dict(self.config))

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) -> z (B, T, D), T = round(N / 640); the end is cropped or zero-padded to T * 640 samples."""
        frames = max(1, self.spec.frames(wav_BN.shape[-1] / self.spec.sample_rate))
        spectra_BFC = self.spectrum(fit_length(wav_BN, frames * self.frame_samples))
        z_BTD: Tensor = self.encoder(spectra_BFC.reshape(len(wav_BN), frames, -1))
        return z_BTD

    def decode_spectra(self, z_BTD: Tensor) -> Tensor:
        """Latents to compressed spectra (B, T * stride, 2 * bins), the decoder's own output."""
        spectra_BFC: Tensor = self.decoder(z_BTD)
        return spectra_BFC.reshape(len(z_BTD), z_BTD.shape[1] * self.config.stride, -1)

    def decode(self, z_BTD: Tensor) -> Tensor:
        """z (B, T, D) -> waveform (B, T * 640)."""
        return self.spectrum.inverse(self.decode_spectra(z_BTD))

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """z (B, T, D) -> codes (B, K, T)."""
        return self.quantiser.quantise(z_BTD)

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) -> z (B, T, D)."""
        return self.quantiser.dequantise(codes_BKT)


def save_codec(codec: BuiltinCodec, folder: Path, record: dict[str, Any]) -> None:
    """Write ``codec.safetensors`` and ``codec.json``: config, fingerprint, ``record`` (how they were made).

    Weights are stored as float16, to halve the file; the fingerprint is that of the stored values.
    """
    stored = copy.deepcopy(codec).half().float()
    stored.refresh_fingerprint()
    write_tensors(folder / "codec.safetensors", {name: t.half() for name, t in stored.state_dict().items()})
    write_json(folder / "codec.json", {"config": to_dict(codec.config), "fingerprint": stored.fingerprint, **record})


def load_codec(folder: Path, name: str | None = None) -> BuiltinCodec:
    """Load a codec that ``save_codec`` wrote, in eval mode.

    Raises:
        UserError: a file is missing, unreadable, or does not belong to the other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, record = folder / "codec.safetensors", read_json(folder / "codec.json")
    config = from_dict(CodecConfig, record["config"], f"{folder / 'codec.json'}: config")
    codec = BuiltinCodec(config, name or folder.name)
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


def load_builtin(argument: str = "") -> BuiltinCodec:
    """The shipped weights, ``weights/codec_builtin``.

    Raises:
        UserError: an argument was given, or the package was installed without its weights.
    """
    if argument:
        raise UserError(f"codec_builtin takes no argument, got {argument!r}; to load another codec give its folder")
    return load_codec(Path(__file__).parent / "weights" / "codec_builtin", "codec_builtin")
