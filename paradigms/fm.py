"""Conditional flow matching on continuous latents (Lipman et al. 2023; papers/002 section 3.3).

Straight path with independent coupling: x_t = (1 - (1 - sigma) t) x_0 + t x_1, noise x_0 at t = 0, data x_1 at t = 1.
The network regresses v = x_1 - (1 - sigma) x_0, the form of papers/002 eq. 2 in terms of x_0 (its printed denominator
belongs to the form in x_t: published inconsistency X12), with the loss weight 1 + t of eq. 4. The backbone is
bidirectional, takes t as input, and may have U-Net skips. Sampling integrates the guided field; see ``ode``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones import BackboneConfig
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import guide
from paradigms.ode import ODESettings, integrate
from representations.base import LatentSpec
from representations.text import TextSpec


@dataclass(frozen=True)
class FMOptions(ParadigmOptions):
    """Options of flow matching.

    Attributes:
        sigma: width of the path's end, a small constant.
        time_weight: weigh the loss by 1 + t.
    """

    sigma: float = 1e-5
    time_weight: bool = True


@dataclass(frozen=True)
class FMSampler(ODESettings):
    """Solver settings and the guidance scale, 1 for none."""

    guidance: float = 3.0


class FM(Paradigm):
    """Velocity regression along straight paths from noise to data."""

    name = "fm"
    view = "latents"
    options_class = FMOptions
    sampler_class = FMSampler
    backbone_needs = {"causal": False, "time": "add"}  # noqa: RUF012
    options: FMOptions

    def __init__(self, options: FMOptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        width = self.backbone_config.d_model
        self.inputs = nn.Linear(latent.dim, width)
        self.head = nn.Linear(width, latent.dim)

    def velocity(self, x_BTD: Tensor, time_B: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
        """The network's field at ``x_BTD`` and times in [0, 1]; (B, T, D)."""
        return self.head(self.backbone(self.inputs(x_BTD), *text, time_B=time_B))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """(1 + t) times the mean squared error of the velocity (papers/002 eq. 4)."""
        data = batch.latents_BTD
        time_B = rng.uniform(1)[:, 0]
        noise = rng.normal(*data.shape[1:])
        t, shrink = time_B[:, None, None], 1 - self.options.sigma
        x_t = (1 - shrink * t) * noise + t * data
        v_hat = self.velocity(x_t, time_B, self.encode_text(batch.conditions))
        error_B = (v_hat - (data - shrink * noise)).square().mean(dim=(1, 2))
        return Loss.from_items(error_B * (1 + time_B) if self.options.time_weight else error_B)

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D). dopri5 runs item by item, so that its step sizes do not depend on batch-mates."""
        noise = rng.normal(frames, self.latent.dim)
        if sampler.solver != "dopri5":
            return self._integrate(conditions, noise, sampler)
        items = [slice(i, i + 1) for i in range(len(conditions))]
        return torch.cat([self._integrate(conditions[item], noise[item], sampler) for item in items])

    def _integrate(self, conditions: Conditions, noise: Tensor, sampler: FMSampler) -> Tensor:
        guided = sampler.guidance != 1
        text = self.encode_text(conditions.with_null() if guided else conditions)

        def field(x: Tensor, t: float) -> Tensor:
            rows = torch.cat([x, x]) if guided else x
            v = self.velocity(rows, torch.full((len(rows),), t, device=x.device), text)
            return guide(v, sampler.guidance) if guided else v

        return integrate(field, noise, sampler)
