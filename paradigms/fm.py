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
from torch import Tensor

from backbones import BackboneConfig, TextMemory
from backbones.cost import Phase, linear
from backbones.linear import Linear
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import guide
from paradigms.ode import EVALUATIONS_PER_STEP, ODESettings, integrate
from paradigms.session import Session
from representations.base import LatentSpec
from representations.text import TextSpec

FEWEST_EVALUATIONS = 8
"""Of dopri5: two to choose its first step, six in a step that is accepted."""


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
        self.inputs = Linear(latent.dim, width)
        self.head = Linear(width, latent.dim)
        self.adaptive_evaluations = FEWEST_EVALUATIONS

    def velocity(self, x_BTD: Tensor, time_B: Tensor, text: TextMemory) -> Tensor:
        """The network's field at ``x_BTD`` and times in [0, 1], one per row or one for all; (B, T, D)."""
        return self.head(self.backbone(self.inputs(x_BTD), text, time_B=time_B))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """(1 + t) times the mean squared error of the velocity (papers/002 eq. 4)."""
        data = batch.latents_BTD
        time_B = rng.uniform(1)[:, 0]
        noise = rng.normal(*data.shape[1:])
        t, shrink = time_B[:, None, None], 1 - self.options.sigma
        x_t = (1 - shrink * t) * noise + t * data
        v_hat = self.velocity(x_t, time_B, self.read_text(batch.conditions))
        error_B = (v_hat - (data - shrink * noise)).square().mean(dim=(1, 2))
        return Loss.from_items(error_B * (1 + time_B) if self.options.time_weight else error_B)

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D). dopri5 runs item by item, so that its step sizes do not depend on batch-mates."""
        noise = rng.normal(frames, self.latent.dim)
        if sampler.solver != "dopri5":
            return self._integrate(conditions, noise, sampler)
        self.adaptive_evaluations = 0
        items = [slice(i, i + 1) for i in range(len(conditions))]
        return torch.cat([self._integrate(conditions[item], noise[item], sampler) for item in items])

    def _integrate(self, conditions: Conditions, noise: Tensor, sampler: FMSampler) -> Tensor:
        text = self.read_text(conditions, guided=sampler.guidance != 1)
        shape = ("fm", noise.shape, sampler, text.shape())
        integration = self.session(shape, lambda: Integration(self, text, noise, sampler))
        return integration.solve(text, noise)

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then one pass per evaluation of the field.

        How many dopri5 takes depends on the field: those of the last clips, or the fewest possible before any.
        """
        adaptive = sampler.solver == "dopri5"
        evaluations = self.adaptive_evaluations if adaptive else sampler.steps * EVALUATIONS_PER_STEP[sampler.solver]
        batched = 1 if adaptive else batch  # dopri5 takes one item at a time
        rows, prefix = batched * (1 + (sampler.guidance != 1)), self.backbone_config.text == "prefix"
        queries = frames + (text_tokens if prefix else 0)
        flops, moved = self.backbone_cost(element_size).run(rows, queries, queries, batched, text_tokens)
        flops += 2 * linear(rows * frames, self.latent.dim, self.head.in_features)  # the layers before and after
        moved += element_size * sum(p.numel() for layer in (self.inputs, self.head) for p in layer.parameters())
        text = self.text_cost(rows if prefix else batched, text_tokens, element_size)
        readings = batch if adaptive else 1
        return [Phase("text", readings, text.flops, text.bytes), Phase("evaluation", evaluations, flops, moved)]


class Integration(Session):
    """Buffers of one integration: noise in, data out, text beside."""

    def __init__(self, model: FM, text: TextMemory, noise: Tensor, sampler: FMSampler) -> None:
        super().__init__(noise.device)
        self.model, self.text, self.sampler, self.guided = model, text, sampler, sampler.guidance != 1
        self.noise, self.data = torch.empty_like(noise), torch.empty_like(noise)

    def solve(self, text: TextMemory, noise: Tensor) -> Tensor:
        """Integrate from ``noise`` (B, T, D)."""
        if text is not self.text:
            self.text.copy_(text)
        self.noise.copy_(noise)
        if self.sampler.solver == "dopri5":  # its number of steps depends on the field, so that no graph can hold it
            self._solve()
        else:
            self.run("grid", self._solve)
        return self.data.clone()

    def _solve(self) -> None:
        self.data.copy_(integrate(self._field, self.noise, self.sampler))

    def _field(self, x_BTD: Tensor, t: float) -> Tensor:
        self.model.adaptive_evaluations += self.sampler.solver == "dopri5"
        rows = x_BTD.to(self.model.inputs.weight.dtype).repeat(1 + self.guided, 1, 1)
        v = self.model.velocity(rows, torch.full((1,), t, device=rows.device), self.text).float()
        return guide(v, self.sampler.guidance) if self.guided else v
