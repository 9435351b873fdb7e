"""Networks of the built-in codec and VAE: compressed spectra, ConvNeXt beside a linear path, a residual quantiser.

Convolutions over the waveform, as EnCodec has them, are too slow on a CPU. The built-in models work on spectra instead:
the short-time Fourier transform X is compressed to S = X |X|^(c-1) with c = 0.5, which keeps phases and brings
magnitudes closer to perceived loudness (Wilson et al. 2018). The layers are ConvNeXt (Liu et al. 2022) in one
dimension, as Vocos (Siuzdak 2023) uses it for audio.

``ResidualQuantiser`` codes a vector by K codebooks in a row, each coding what the ones before it left over:

    r_0 = z;   c_k = argmin_j |r_k - e_kj|^2;   r_{k+1} = r_k - e_{k, c_k};   z_hat = sum_k e_{k, c_k}

Codebooks are learnt without gradients, as exponential moving averages of the vectors assigned to them (van den Oord et
al. 2017, appendix A.1; SoundStream, Zeghidour et al. 2021, section III-C). They start from k-means on the first
latents, and an entry that few vectors choose is replaced by a vector of the current batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .losses import mel_filters


class Spectrum(nn.Module):
    """Waveform (B, N) <-> compressed complex spectra as real vectors (B, N // hop, 2 * (n_fft // 2 + 1)).

    Frame i is centred on the middle of hop i, so N = F * hop samples make exactly F frames. A sine of amplitude a has
    |X| = a.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int, compression: float) -> None:
        super().__init__()
        self.n_fft, self.hop, self.compression = n_fft, hop, compression
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav_BN: Tensor) -> Tensor:
        """Analysis: (B, F * hop) -> (B, F, 2 * bins)."""
        margin = (self.n_fft - self.hop) // 2
        padded = nn.functional.pad(wav_BN, (margin, margin))
        x_BFt = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        x_BtFc = torch.view_as_real(x_BFt.mT * (2 / self.window.sum()))
        s_BtFc = x_BtFc * (x_BtFc.square().sum(-1, keepdim=True) + 1e-12) ** ((self.compression - 1) / 2)
        return torch.cat([s_BtFc[..., 0], s_BtFc[..., 1]], dim=-1)

    def inverse(self, s_BFC: Tensor) -> Tensor:
        """Synthesis by windowed overlap-add: (B, F, 2 * bins) -> (B, F * hop)."""
        real, imag = s_BFC.chunk(2, dim=-1)
        gain = (real.square() + imag.square() + 1e-12) ** ((1 / self.compression - 1) / 2)
        x_BtF = torch.complex(real * gain, imag * gain) * (self.window.sum() / 2)
        pieces_BtN = torch.fft.irfft(x_BtF, n=self.n_fft) * self.window
        weight_1tN = self.window.square().expand(1, s_BFC.shape[1], -1)
        return overlap_add(pieces_BtN, self.hop) / overlap_add(weight_1tN, self.hop)


def overlap_add(pieces_BtN: Tensor, hop: int) -> Tensor:
    """Pieces (B, F, N), ``hop`` samples apart -> their sum (B, F * hop), cut by (N - hop) / 2 at both ends."""
    frames, n_fft = pieces_BtN.shape[1:]
    margin, length = (n_fft - hop) // 2, (frames - 1) * hop + n_fft
    folded = nn.functional.fold(pieces_BtN.mT, (1, length), (1, n_fft), stride=(1, hop))
    return folded[:, 0, 0, margin : length - margin]


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then an MLP per frame, with a residual connection: (B, T, C) -> (B, T, C)."""

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
        y_BTC: Tensor = x_BTC + self.scale * self.down(nn.functional.gelu(self.up(h_BTC)))
        return y_BTC


class SpectralEncoder(nn.Module):
    """Spectra of ``stride`` hops -> one vector: a linear map plus a ConvNeXt network, whose output starts at zero.

    The network also sees log-mel magnitudes, since the strength of a treble of unknown phase is no linear function of
    complex spectra. The linear map can be set to principal components, so that phase need not be discovered.

    Args:
        channels: C of the spectra, real and imaginary parts.
        mel_bands: M.
    """

    filters_FM: Tensor

    def __init__(
        self, channels: int, outputs: int, stride: int, width: int, blocks: int, kernel: int, mel_bands: int, rate: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("filters_FM", mel_filters(channels - 2, mel_bands, rate), persistent=False)
        self.skip = nn.Linear(stride * channels, outputs, bias=False)
        self.enter = nn.Linear(stride * (channels + mel_bands), width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, kernel) for _ in range(blocks)))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, outputs)
        _start_at_zero(self.leave)

    def forward(self, spectra_BFC: Tensor) -> Tensor:
        """Compressed spectra (B, T * stride, C) -> (B, T, outputs)."""
        batch, frames = len(spectra_BFC), spectra_BFC.shape[1] // self.stride
        real, imag = spectra_BFC.chunk(2, dim=-1)
        mel_BFM = (real.square() + imag.square()) @ self.filters_FM  # magnitudes, as the compression's exponent is 0.5
        seen_BFC = torch.cat([spectra_BFC, mel_BFM.clamp_min(1e-5).log() / 4 + 1], dim=-1)
        h_BTW = self.blocks(self.enter(seen_BFC.reshape(batch, frames, -1)))
        y_BTE: Tensor = self.skip(spectra_BFC.reshape(batch, frames, -1)) + self.leave(self.norm(h_BTW))
        return y_BTE


class SpectralDecoder(nn.Module):
    """Latents -> spectra of ``stride`` hops each: a linear map plus a ConvNeXt network, whose output starts at zero.

    The network first works at the latents' rate, then at that of the spectra, so that its last layer makes one spectrum
    at a time. A layer that makes all ``stride`` of them from ``width`` channels has too low a rank for the treble.
    """

    def __init__(
        self, dim: int, channels: int, stride: int, width: int, blocks: int, fine_width: int, fine_blocks: int,
        kernel: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride = stride
        self.skip = nn.Linear(dim, stride * channels, bias=False)
        self.enter = nn.Linear(dim, width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, kernel) for _ in range(blocks)))
        self.spread = nn.Linear(width, stride * fine_width)
        self.fine = nn.Sequential(*(ConvNeXtBlock(fine_width, kernel) for _ in range(fine_blocks)))
        self.norm, self.leave = nn.LayerNorm(fine_width), nn.Linear(fine_width, channels)
        _start_at_zero(self.leave)

    def forward(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D) -> compressed spectra (B, T * stride, C)."""
        batch, spectra = len(z_BTD), z_BTD.shape[1] * self.stride
        h_BFW = self.spread(self.blocks(self.enter(z_BTD))).reshape(batch, spectra, -1)
        linear_BFC = self.skip(z_BTD).reshape(batch, spectra, -1)
        y_BFC: Tensor = linear_BFC + self.leave(self.norm(self.fine(h_BFW)))
        return y_BFC


def _start_at_zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class ResidualQuantiser(nn.Module):
    """K codebooks of ``cardinality`` entries in D dimensions.

    The buffer ``codebooks_KCD`` is all that coding needs. ``counts_KC`` and ``sums_KCD`` are the moving averages of the
    assignments; they are needed for training only and are not part of the state dict.

    Args:
        decay: of the moving averages, per training step.
        dead: an entry whose average count per step is below this is replaced by a vector of the batch.
    """

    codebooks_KCD: Tensor
    counts_KC: Tensor
    sums_KCD: Tensor

    def __init__(self, codebooks: int, cardinality: int, dim: int, decay: float = 0.99, dead: float = 0.05) -> None:
        super().__init__()
        self.decay, self.dead = decay, dead
        self.register_buffer("codebooks_KCD", torch.zeros(codebooks, cardinality, dim))
        self.register_buffer("counts_KC", torch.ones(codebooks, cardinality), persistent=False)
        self.register_buffer("sums_KCD", torch.zeros(codebooks, cardinality, dim), persistent=False)

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D) -> codes (B, K, T), int64: the index of the nearest entry, level by level."""
        residual_MD = z_BTD.reshape(-1, z_BTD.shape[-1])
        codes = []
        for codebook_CD in self.codebooks_KCD:
            code_M = nearest(residual_MD, codebook_CD)
            codes.append(code_M.view(z_BTD.shape[:2]))
            residual_MD = residual_MD - codebook_CD[code_M]
        return torch.stack(codes, dim=1)

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) -> latents (B, T, D): the sum of the entries that the codes name."""
        entries = [codebook_CD[codes_BKT[:, k]] for k, codebook_CD in enumerate(self.codebooks_KCD)]
        return torch.stack(entries).sum(dim=0)

    @torch.no_grad()
    def initialise(self, z_MD: Tensor, generator: torch.Generator, iterations: int = 10) -> None:
        """Set the codebooks by k-means (Lloyd) on vectors (M, D); each level on what the one before leaves."""
        residual_MD = z_MD
        for k in range(len(self.codebooks_KCD)):
            pick = torch.randint(len(residual_MD), (self.codebooks_KCD.shape[1],), generator=generator)
            self.codebooks_KCD[k] = residual_MD[pick]
            for _ in range(iterations):
                count_C, sum_CD = self._assign(residual_MD, k)[1:]
                filled_C = count_C > 0
                self.codebooks_KCD[k, filled_C] = (sum_CD / count_C[:, None].clamp_min(1))[filled_C]
            self.sums_KCD[k] = self.codebooks_KCD[k]
            residual_MD = residual_MD - self.codebooks_KCD[k][nearest(residual_MD, self.codebooks_KCD[k])]
        self.counts_KC.fill_(1.0)

    @torch.no_grad()
    def update(self, z_BTD: Tensor, generator: torch.Generator) -> None:
        """Move the codebooks towards latents (B, T, D), one training step; nothing here has gradients."""
        residual_MD = z_BTD.reshape(-1, z_BTD.shape[-1])
        for k in range(len(self.codebooks_KCD)):
            code_M, count_C, sum_CD = self._assign(residual_MD, k)
            next_MD = residual_MD - self.codebooks_KCD[k][code_M]
            self.counts_KC[k].lerp_(count_C, 1 - self.decay)
            self.sums_KCD[k].lerp_(sum_CD, 1 - self.decay)
            self._restart(k, residual_MD, generator)
            self.codebooks_KCD[k] = self.sums_KCD[k] / self.counts_KC[k, :, None]
            residual_MD = next_MD

    def _assign(self, residual_MD: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """The codes (M,) of vectors at level ``k``; per entry, how many vectors chose it (C,) and their sum (C, D)."""
        codebook_CD = self.codebooks_KCD[k]
        code_M = nearest(residual_MD, codebook_CD)
        count_C = torch.bincount(code_M, minlength=len(codebook_CD)).to(residual_MD)
        return code_M, count_C, torch.zeros_like(codebook_CD).index_add_(0, code_M, residual_MD)

    def _restart(self, k: int, residual_MD: Tensor, generator: torch.Generator) -> None:
        """Replace the entries of level ``k`` that few vectors choose by vectors of this batch, drawn at random."""
        dead_C = self.counts_KC[k] < self.dead
        pick = torch.randint(len(residual_MD), (int(dead_C.sum()),), generator=generator)
        self.sums_KCD[k, dead_C] = residual_MD[pick]
        self.counts_KC[k, dead_C] = 1.0


def nearest(x_MD: Tensor, codebook_CD: Tensor) -> Tensor:
    """Index (M,) of the entry of ``codebook_CD`` nearest to each row of ``x_MD`` in Euclidean distance."""
    return (codebook_CD.square().sum(1) - 2 * x_MD @ codebook_CD.T).argmin(dim=1)
