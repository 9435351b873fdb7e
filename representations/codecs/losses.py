"""Losses of codecs: distances of waveforms and spectra, a discriminator, and a balancer of their gradients.

A spectral loss alone leaves the phase free: its log-mel distance is lower, but the output has no pitch. So the waveform
term is never dropped, and a codec is never chosen on log-mel distance alone.

The discriminator is EnCodec's multi-scale STFT discriminator (Défossez et al. 2022, section 3.4). Each scale sees the
complex STFT of the waveform, real and imaginary part as two channels, through 2D convolutions over (time, frequency):
one of kernel 3 x 9, three with dilation 1, 2, 4 in time and stride 2 in frequency, one of 3 x 3, and the logits. Leaky
ReLU of slope 0.2, weight normalisation.

    L_D = mean_k [ relu(1 - D_k(x)) + relu(1 + D_k(y)) ]        L_adv = mean_k relu(1 - D_k(y))
    L_feat = mean_{k,l} |D_k^l(x) - D_k^l(y)|_1 / |D_k^l(x)|_1

The balancer (equations 4 and 5 of the same paper) divides each loss's gradient at the decoder's output, g_i, by a
moving average of its norm, so that the weight of a loss is its share of the whole gradient, whatever its scale:

    g = R * sum_i (lambda_i / sum_j lambda_j) * g_i / <|g_i|>

with <.> an exponential moving average (decay 0.999, corrected for its start), the norm taken per item and averaged over
the batch, and R = 1. The model's backward pass starts from g.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

MEL_SCALES = ((512, 40), (1024, 64), (2048, 96))  # (n_fft, mel bands)
LEVEL_BANDS, LEVEL_SAMPLES = 20, 8192  # bands and time over which levels are compared
TRAINING_FLOOR = 1e-5  # added to mel magnitudes in training: below a clamp there would be no gradient
MEL_FLOOR = 1e-4  # of log-mel magnitudes, where a full-scale sine is about 1
SILENCE = 1e-5  # mean power below which a waveform error is inaudible (-50 dB)
DILATIONS = (1, 2, 4)  # of the discriminator's middle layers, in time
SLOPE = 0.2  # of the discriminator's leaky ReLU
TINY = 1e-12  # added to norms of gradients

ScaleOutput = tuple[Tensor, list[Tensor]]  # logits and feature maps of one scale of the discriminator


def snr(reference_BN: Tensor, estimate_BN: Tensor) -> Tensor:
    """Signal-to-noise ratio in dB, (B,); both powers are floored at ``SILENCE``, so that silence scores 0."""
    signal_B = reference_BN.square().mean(-1) + SILENCE
    noise_B = (reference_BN - estimate_BN).square().mean(-1) + SILENCE
    return 10 * torch.log10(signal_B / noise_B)


def si_snr(reference_BN: Tensor, estimate_BN: Tensor) -> Tensor:
    """Scale-invariant SNR in dB, (B,), means removed (Le Roux et al. 2019, "SDR - half-baked or well done?")."""
    reference_BN = reference_BN - reference_BN.mean(-1, keepdim=True)
    estimate_BN = estimate_BN - estimate_BN.mean(-1, keepdim=True)
    gain_B1 = (reference_BN * estimate_BN).sum(-1, keepdim=True) / (reference_BN.square().sum(-1, keepdim=True) + 1e-8)
    target_BN = gain_B1 * reference_BN
    ratio_B = (target_BN.square().sum(-1) + 1e-8) / ((estimate_BN - target_BN).square().sum(-1) + 1e-8)
    return 10 * torch.log10(ratio_B)


@functools.cache
def mel_filters(n_fft: int, bands: int, sample_rate: int) -> Tensor:
    """Triangular filters (F, bands) on the HTK mel scale, from 0 Hz to half the sample rate."""
    from transformers.audio_utils import mel_filter_bank  # transformers is slow to import

    return torch.from_numpy(mel_filter_bank(n_fft // 2 + 1, bands, 0.0, sample_rate / 2, sample_rate)).float()


def log_mel(wav_BN: Tensor, sample_rate: int, n_fft: int = 1024, bands: int = 64) -> Tensor:
    """Natural log of mel magnitudes (B, frames, bands), HTK mel scale, Hann window, hop n_fft / 4, floored at 1e-4."""
    power_BFt, scale = _power(wav_BN, n_fft)
    magnitude_BFt = (power_BFt + 1e-9).sqrt() * scale
    return (magnitude_BFt.mT @ mel_filters(n_fft, bands, sample_rate).to(wav_BN.device)).clamp_min(MEL_FLOOR).log()


def log_mel_distance(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int) -> Tensor:
    """Mean absolute difference of log-mel magnitudes (64 bands, 1024-point windows), nats, (B,)."""
    difference = log_mel(reference_BN, sample_rate) - log_mel(estimate_BN, sample_rate)
    return difference.abs().mean(dim=(1, 2))


def mel_loss(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int, scale: int) -> Tensor:
    """Log-mel L1 at resolution ``MEL_SCALES[scale % 3]``, a scalar."""
    n_fft, bands = MEL_SCALES[scale % len(MEL_SCALES)]
    reference_BtM = log_mel(reference_BN, sample_rate, n_fft, bands)
    return nn.functional.l1_loss(log_mel(estimate_BN, sample_rate, n_fft, bands), reference_BtM)


def spectral_losses(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int, scale: int) -> tuple[Tensor, Tensor]:
    """Log-mel L1 and level L1 at resolution ``MEL_SCALES[scale % 3]``, scalars. Training takes them in turn.

    The log-mel loss compares single bands and frames. Where it cannot predict them it leads to their median, which has
    too little power. The level loss compares the power of broad bands over half a second, which are predictable, and
    gives that power back.
    """
    n_fft, bands = MEL_SCALES[scale % len(MEL_SCALES)]
    power_NFt, gain = _power(torch.cat([reference_BN, estimate_BN]), n_fft)
    power_NtF = power_NFt.mT * gain**2
    mel_NtM = ((power_NtF + 1e-10).sqrt() @ mel_filters(n_fft, bands, sample_rate) + TRAINING_FLOOR).log()
    broad_NMt = (power_NtF @ mel_filters(n_fft, LEVEL_BANDS, sample_rate)).mT
    hop = n_fft // 4
    frames = min(LEVEL_SAMPLES // hop, broad_NMt.shape[-1])
    pooled_NMt = nn.functional.avg_pool1d(broad_NMt, frames, max(1, frames // 2))
    levels_NMt = (pooled_NMt + TRAINING_FLOOR**2).log() / 2
    return _halves_l1(mel_NtM), _halves_l1(levels_NMt)


def _power(wav_BN: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
    """Power spectra (B, F, frames), Hann window, hop n_fft / 4; and the factor that makes a full-scale sine about 1."""
    window = torch.hann_window(n_fft, device=wav_BN.device)
    x_BFtc = torch.view_as_real(torch.stft(wav_BN, n_fft, n_fft // 4, window=window, return_complex=True))
    return x_BFtc.square().sum(-1), 2 / window.sum()


def _halves_l1(pairs: Tensor) -> Tensor:
    """Mean absolute difference between the first half of the rows and the second half."""
    reference, estimate = pairs.chunk(2)
    return nn.functional.l1_loss(estimate, reference)


def multi_mel_distance(reference_BN: Tensor, estimate_BN: Tensor, sample_rate: int, windows: Sequence[int]) -> Tensor:
    """L1 plus L2 of log-mels, averaged over window lengths, a scalar (EnCodec, Défossez et al. 2022, equation 2).

    There are n_fft / 8 mel bands, at most 64, so that no band of a short window is empty.
    """
    distances = []
    for n_fft in windows:
        bands = max(1, min(64, n_fft // 8))
        difference = log_mel(reference_BN, sample_rate, n_fft, bands) - log_mel(estimate_BN, sample_rate, n_fft, bands)
        distances.append(difference.abs().mean() + (difference.square().mean() + 1e-12).sqrt())
    return torch.stack(distances).mean()


def gaussian_kl(mean_BTD: Tensor, std_BTD: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, std^2) from N(0, 1), (B, T): nats, summed over channels."""
    return 0.5 * (mean_BTD.square() + std_BTD.square() - 1 - 2 * std_BTD.log()).sum(-1)


def perplexity(codes_KM: Tensor, cardinality: int) -> Tensor:
    """Exponential of the entropy of code use, per codebook (K,): from 1 (one code) to ``cardinality`` (all equally)."""
    counts_KC = torch.stack([torch.bincount(row, minlength=cardinality) for row in codes_KM]).double()
    share_KC = counts_KC / counts_KC.sum(1, keepdim=True)
    entropy_K: Tensor = torch.special.entr(share_KC).sum(1)
    return entropy_K.clamp_max(math.log(cardinality)).exp()


class STFTDiscriminator(nn.Module):
    """One scale of the discriminator: windows of ``n_fft`` samples, hop n_fft / 4, no padding."""

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

    def forward(self, wav_BN: Tensor) -> ScaleOutput:
        """Waveform (B, N) -> logits (B, 1, t, F / 8) and the feature maps (B, C, t, f) of the layers before."""
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

    def forward(self, wav_BN: Tensor) -> list[ScaleOutput]:
        """Waveform (B, N) -> the output of every scale."""
        return [scale(wav_BN) for scale in self.scales]


def discriminator_loss(real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput]) -> Tensor:
    """Hinge loss of the discriminator on real and generated waveforms, a scalar."""
    hinges = [(1 - r).relu().mean() + (1 + f).relu().mean() for (r, _), (f, _) in zip(real, fake)]
    return torch.stack(hinges).mean()


def adversarial_loss(fake: Sequence[ScaleOutput]) -> Tensor:
    """Hinge loss of the model on what it generated, a scalar."""
    return torch.stack([(1 - logits).relu().mean() for logits, _ in fake]).mean()


def feature_loss(real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput]) -> Tensor:
    """Relative L1 distance of feature maps, a scalar; those of the real waveform have no gradient."""
    pairs = [(r.detach(), f) for (_, reals), (_, fakes) in zip(real, fake) for r, f in zip(reals, fakes)]
    return torch.stack([(r - f).abs().mean() / r.abs().mean().clamp_min(1e-8) for r, f in pairs]).mean()


class Balancer:
    """Combines the gradients of several losses; see the module's docstring.

    Args:
        weights: lambda of every loss; a loss of weight 0 is left out.
        total: R, the norm of the whole.
        decay: of the moving averages.
    """

    def __init__(self, weights: Mapping[str, float], total: float = 1.0, decay: float = 0.999) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.total, self.decay = total, decay
        self.sums: dict[str, float] = {}
        self.count = 0.0

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """The balanced gradient with respect to ``output`` (B, ...), from scalar losses that depend on it."""
        gradients = gradients_at(output, {name: losses[name] for name in self.weights})
        self.count = self.decay * self.count + 1
        balanced = torch.zeros_like(output)
        for name, gradient in gradients.items():
            norm = gradient.flatten(1).norm(dim=1).mean().item()
            self.sums[name] = self.decay * self.sums.get(name, 0.0) + norm
            share = self.weights[name] / sum(self.weights.values())
            balanced += self.total * share / (self.sums[name] / self.count + TINY) * gradient
        return balanced

    def state(self) -> dict[str, object]:
        """The moving averages, ready for JSON."""
        return {"sums": dict(self.sums), "count": self.count}

    def restore(self, state: Mapping[str, object]) -> None:
        """Set the moving averages to those that ``state()`` returned."""
        self.sums, self.count = dict(state["sums"]), float(state["count"])  # type: ignore[arg-type, call-overload]


def gradients_at(output: Tensor, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each loss's gradient with respect to ``output``; the graph is kept for what follows."""
    return {name: torch.autograd.grad(loss, output, retain_graph=True)[0] for name, loss in losses.items()}
