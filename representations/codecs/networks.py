"""What the built-in codec and VAE are made of: compressed spectra, and ConvNeXt networks beside a linear path.

Waveform convolutions in the manner of EnCodec cost too much on a CPU. So the waveform's short-time Fourier transform X
is compressed, S = X |X|^(c-1) with c = 0.5 (phases kept, magnitudes nearer to how the ear weighs them; Wilson et al.
2018), and networks see S. ConvNeXt (Liu et al. 2022) in one dimension, as Vocos (Siuzdak 2023) uses it for audio.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
