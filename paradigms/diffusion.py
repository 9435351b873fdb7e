"""Gaussian diffusion for the per-token head: cosine noise schedule, noise prediction, respaced ancestral sampling.

Forward (Yang et al. 2025, section 3.1; Huang et al. 2025, section 3.1.1): x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t)
eps. abar follows the cosine schedule of Nichol and Dhariwal (2021) over 1000 steps. Sampling keeps a subset of the
steps ("respacing"): between kept steps s < t the transition has alpha = abar_t / abar_s, and the mean of the update is
DDPM's (Ho et al. 2020; Yang et al. 2025, eq. 3), without clipping. The temperature scales the noise that is added (Yang
et al. 2025, appendix C).

The head returns v, where eps = sqrt(1 - abar_t) x_t + sqrt(abar_t) v (Salimans and Ho 2022). DDPM's mean is
(x - (1 - alpha) / sqrt(1 - abar_t) eps) / sqrt(alpha); in terms of v it is keep x - turn v, where keep = sqrt(alpha)
and turn = (1 - alpha) sqrt(abar_t / (alpha (1 - abar_t))).

Variance. Given x_0, the update has the posterior variance (1 - alpha) (1 - abar_s) / (1 - abar_t). The head does not
know x_0, so the optimal variance has a second part, what the error of its answer contributes (Bao et al. 2022,
"Analytic-DPM" and "Estimating the optimal covariance with imperfect mean"). Since the update takes turn times v, that
part is turn^2 E (v - v_hat)^2. With it the spread of Gaussian tokens is right for any number of steps; with the
posterior variance alone it is 8% (variance 1) to 16% (variance 0.1) too small at 25 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 1000
"""Diffusion steps T in training, t = 0..T-1 (the papers' [0, T] has one value too many: inconsistency X77)."""


def cosine_alphas_bar(steps: int = STEPS) -> Tensor:
    """abar_t for t = 0..steps-1, float64: products of 1 - beta, each beta at most 0.999."""

    def level(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - level((i + 1) / steps) / level(i / steps), 0.999) for i in range(steps)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), dim=0)


def respaced(kept: int, steps: int = STEPS) -> Tensor:
    """``kept`` steps evenly spaced over 0..steps-1, both ends included, in descending order, int64."""
    return torch.linspace(0, steps - 1, kept, dtype=torch.float64).round().long().flip(0)


@dataclass(frozen=True)
class DenoisingStep:
    """One denoising step: x <- keep x - turn v + noise, with v the head's output at diffusion step ``t``.

    The noise has the variance posterior + turn^2 E (v - v_hat)^2; the last step adds none.
    """

    t: int
    keep: float
    turn: float
    posterior: float


class Diffusion:
    """Tables of the noise schedule: levels for training, steps and updates for sampling."""

    def __init__(self) -> None:
        self.alphas_bar = cosine_alphas_bar()
        self._levels = torch.stack([self.alphas_bar.sqrt(), (1 - self.alphas_bar).sqrt()]).float()
        self._steps: dict[tuple[int, torch.device], Tensor] = {}
        self._variances: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}
        self._updates: dict[int, list[DenoisingStep]] = {}

    def levels(self, t_B: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise levels sqrt(abar_t) and sqrt(1 - abar_t) at integer steps, each (B, 1) float32."""
        self._levels = self._levels.to(t_B.device)  # moved once
        signal_B, noise_B = self._levels[:, t_B]
        return signal_B[:, None], noise_B[:, None]

    def noised(self, x_0: Tensor, noise: Tensor, t_B: Tensor) -> Tensor:
        """x_t for integer steps ``t_B``, one per row of (B, D) inputs."""
        signal_level, noise_level = self.levels(t_B)
        return signal_level * x_0 + noise_level * noise

    def steps(self, kept: int, device: torch.device) -> Tensor:
        """The kept steps on ``device``, copied there once, since a captured loop must not copy from the host."""
        if (kept, device) not in self._steps:
            self._steps[kept, device] = respaced(kept).to(device)
        return self._steps[kept, device]

    def deviations(self, kept: int, part: slice, errors_SRD: Tensor) -> Tensor:
        """Standard deviations of the noise that the kept steps ``part`` add, (S, R, D); 0 for the last step of all.

        Args:
            errors_SRD: expected squared errors of v at these steps.
        """
        if (kept, errors_SRD.device) not in self._variances:  # copied once, as in ``steps``
            noisy = self.updates(kept)[:-1]
            pairs = [(update.posterior, update.turn**2) for update in noisy] + [(0.0, 0.0)]
            posterior, squared = torch.tensor(pairs, device=errors_SRD.device).T[..., None, None]
            self._variances[kept, errors_SRD.device] = posterior, squared
        posterior, squared = self._variances[kept, errors_SRD.device]
        return torch.addcmul(posterior[part], squared[part], errors_SRD).sqrt()

    def updates(self, kept: int) -> list[DenoisingStep]:
        """The ``kept`` denoising steps of sampling, from pure noise to the clean token."""
        if kept not in self._updates:
            steps = respaced(kept).tolist()
            bars = [float(self.alphas_bar[t]) for t in steps] + [1.0]
            self._updates[kept] = [_update(t, bar, bar_next) for t, bar, bar_next in zip(steps, bars, bars[1:])]
        return self._updates[kept]


def _update(t: int, bar: float, bar_next: float) -> DenoisingStep:
    alpha = bar / bar_next
    turn = (1 - alpha) * math.sqrt(bar / (alpha * (1 - bar)))
    return DenoisingStep(t, math.sqrt(alpha), turn, (1 - alpha) * (1 - bar_next) / (1 - bar))
