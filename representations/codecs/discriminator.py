"""Multi-scale STFT discriminator and its losses (EnCodec, Défossez et al. 2022, section 3.4).

Each scale looks at the complex STFT of the waveform, real and imaginary part as two channels, through 2D convolutions
over (time, frequency): one of kernel 3 x 9, three with dilation 1, 2, 4 in time and stride 2 in frequency, one of
3 x 3, and the logits. Leaky ReLU of slope 0.2, weight normalisation.

    L_D = mean_k [ relu(1 - D_k(x)) + relu(1 + D_k(y)) ]        L_adv = mean_k relu(1 - D_k(y))
    L_feat = mean_{k,l} |D_k^l(x) - D_k^l(y)|_1 / |D_k^l(x)|_1
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

DILATIONS = (1, 2, 4)
SLOPE = 0.2
Judged = tuple[Tensor, list[Tensor]]  # logits and feature maps of one scale


class STFTDiscriminator(nn.Module):
    """One scale: windows of ``n_fft`` samples, hop n_fft / 4, no padding."""

    window: Tensor

    def __init__(self, n_fft: int, filters: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        layers = [nn.Conv2d(2, filters, (3, 9), padding=(1, 4))]
        for dilation in DILATIONS:
            layers.append(
                nn.Conv2d(filters, filters, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4))
            )
        layers.append(nn.Conv2d(filters, filters, (3, 3), padding=1))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.judge = weight_norm(nn.Conv2d(filters, 1, (3, 3), padding=1))

    def forward(self, wav_BN: Tensor) -> Judged:
        """Waveform (B, N) -> logits (B, 1, t, F / 8) and the feature maps (B, C, t, f) of all layers before."""
        x_BFt = torch.stft(
            wav_BN, self.n_fft, self.n_fft // 4, window=self.window, center=False, return_complex=True
        ) / (self.window.square().sum().sqrt())
        h_BCtF = torch.view_as_real(x_BFt).permute(0, 3, 2, 1)
        features = []
        for layer in self.layers:
            h_BCtF = nn.functional.leaky_relu(layer(h_BCtF), SLOPE)
            features.append(h_BCtF)
        return self.judge(h_BCtF), features


class MultiScaleDiscriminator(nn.Module):
    """One ``STFTDiscriminator`` per window length."""

    def __init__(self, n_ffts: Sequence[int], filters: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(STFTDiscriminator(n_fft, filters) for n_fft in n_ffts)

    def forward(self, wav_BN: Tensor) -> list[Judged]:
        """Waveform (B, N) -> what every scale makes of it."""
        return [scale(wav_BN) for scale in self.scales]


def discriminator_loss(real: Sequence[Judged], fake: Sequence[Judged]) -> Tensor:
    """Hinge loss of the discriminator, a scalar."""
    hinges = [(1 - r).relu().mean() + (1 + f).relu().mean() for (r, _), (f, _) in zip(real, fake)]
    return torch.stack(hinges).mean()


def adversarial_loss(fake: Sequence[Judged]) -> Tensor:
    """Hinge loss of the model, a scalar."""
    return torch.stack([(1 - logits).relu().mean() for logits, _ in fake]).mean()


def feature_loss(real: Sequence[Judged], fake: Sequence[Judged]) -> Tensor:
    """Relative distance of feature maps, a scalar; those of the real waveform get no gradient."""
    pairs = [(r.detach(), f) for (_, reals), (_, fakes) in zip(real, fake) for r, f in zip(reals, fakes)]
    return torch.stack([(r - f).abs().mean() / r.abs().mean().clamp_min(1e-8) for r, f in pairs]).mean()
