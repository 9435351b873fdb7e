"""Conditional flow matching on continuous latents (Lipman et al. 2023; Tal et al. 2025, section 3.3).

Straight paths with independent coupling: x_t = (1 - (1 - sigma) t) x_0 + t x_1, noise x_0 at t = 0, data x_1 at t = 1.
The network regresses v = x_1 - (1 - sigma) x_0, which is Tal et al. 2025, eq. 2 in terms of x_0 (its printed
denominator belongs to the form in x_t: published inconsistency X12), with the loss weight 1 + t of eq. 4. The backbone
is bidirectional, takes t as input, and may have U-Net skips. Sampling integrates the guided field; see ``ode``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ..backbones.cache import TextMemory
from ..backbones.cost import Phase
from ..backbones.linear import Linear
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from .conformance import ConformanceSettings, MemorisationSettings
from .guidance import Guided, guide
from .masks import context_first
from .ode import EVALUATIONS_PER_STEP, ODESettings, integrate
from .session import Session

FEWEST_EVALUATIONS = 8
"""Fewest evaluations of dopri5: two to choose its first step, six in a step that is accepted."""


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
class FMSampler(ODESettings, Guided):
    """Solver settings and guidance.

    Attributes:
        inpainting: ``supervised`` inserts the clean known frames in every evaluation, for which the model should be
            trained (Tal et al. 2025, algorithm 2); ``zero_shot`` inserts the known frames of the inverted clip at the
            same time t (algorithm 1), which needs no training.
    """

    inpainting: Literal["supervised", "zero_shot"] = later("supervised")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inpainting == "zero_shot" and self.solver != "euler":
            raise UserError(
                f"fm sampler: zero_shot inpainting inverts Euler's steps; solver is {self.solver}, set euler"
            )


class FM(Paradigm):
    """Velocity regression along straight paths from noise to data."""

    name = "fm"
    view = "latents"
    options_class = FMOptions
    inpaints = True
    predictor = "head"
    leaves_parameters_unused = False
    sampler_class = FMSampler
    backbone_needs = {"causal": False, "time": ("add", "adaln")}  # noqa: RUF012
    conformance = ConformanceSettings(
        sampler={"steps": 4, "guidance": 2.0}, memorisation=MemorisationSettings(copies=16, sampler={"steps": 30})
    )
    options: FMOptions

    def add_layers(self) -> None:
        """One layer before the backbone and one after it."""
        width = self.backbone_config.d_model
        self.inputs = Linear(self.latent.dim, width)
        self.head = Linear(width, self.latent.dim)
        self.adaptive_evaluations = FEWEST_EVALUATIONS

    def velocity(self, x_BTD: Tensor, time_B: Tensor, text: TextMemory, controls_BTC: Tensor | None = None) -> Tensor:
        """The network's field at ``x_BTD`` and times in [0, 1], one per row or one for all; (B, T, D)."""
        h = self.inputs(x_BTD)
        return self.head(self.backbone(h if controls_BTC is None else h + controls_BTC, text, time_B=time_B))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Mean squared error of the velocity, times 1 + t (Tal et al. 2025, eq. 4); inpainting: on the span only."""
        data = batch.latents_BTD
        time_B = rng.uniform(1)[:, 0]
        noise = rng.normal(*data.shape[1:])
        t, shrink = time_B[:, None, None], 1 - self.options.sigma
        x_t = (1 - shrink * t) * noise + t * data
        if batch.known_BT is not None:
            x_t = torch.where(batch.known_BT[..., None], data, x_t)
        controls = self.read_controls(batch.conditions, data.shape[1])
        v_hat = self.velocity(x_t, time_B, self.read_text(batch.conditions), controls)
        error_BT = (v_hat - (data - shrink * noise)).square().mean(dim=2)
        if batch.known_BT is not None:
            error_BT = error_BT.gather(1, context_first(batch.known_BT)[:, data.shape[1] - batch.hidden_frames :])
        error_B = error_BT.mean(dim=1)
        return Loss.from_items(error_B * (1 + time_B) if self.options.time_weight else error_B)

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D). dopri5 runs clip by clip, so that its step sizes do not depend on the batch."""
        return self._solve(conditions, rng.normal(frames, self.latent.dim), None, None, sampler)

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known."""
        filled = self._solve(conditions, rng.normal(*target.shape[1:]), target, known_BT, sampler)
        return torch.where(known_BT[..., None], target, filled)

    def _solve(
        self, conditions: Conditions, noise: Tensor, target: Tensor | None, known_BT: Tensor | None, sampler: FMSampler
    ) -> Tensor:
        self.adaptive_evaluations = 0
        items = [slice(i, i + 1) for i in range(len(noise))] if sampler.solver == "dopri5" else [slice(None)]
        solved = []
        for item in items:
            known = None if target is None or known_BT is None else (target[item], known_BT[item])
            text = self.read_text(conditions[item], sampler.branches)
            controls = self.read_controls(conditions[item], noise.shape[1], sampler.branches)
            make = partial(Integration, self, noise[item], sampler, known is not None)
            integration = self.session(("fm", noise[item].shape, sampler, known is None), make, text, controls)
            solved.append(integration.solve(noise[item], known))
        return torch.cat(solved)

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then one pass per evaluation of the field.

        How many evaluations dopri5 takes depends on the field; those of the last clips are counted, or the fewest.
        """
        adaptive = sampler.solver == "dopri5"
        evaluations = self.adaptive_evaluations if adaptive else sampler.steps * EVALUATIONS_PER_STEP[sampler.solver]
        rows, text_rows = self.guided_rows(1 if adaptive else batch, sampler)  # dopri5 takes one clip at a time
        queries = frames + self.prefix_length(text_tokens)
        # All rows of an evaluation have one time.
        flops, moved = self.backbone_cost(element_size).run(rows, queries, queries, text_rows, text_tokens, times=1)
        for layer in (self.inputs, self.head):
            layer_flops, layer_bytes = layer.cost(rows * frames, element_size)
            flops, moved = flops + layer_flops, moved + layer_bytes
        text = self.text_cost(text_rows, text_tokens, element_size)
        readings = batch if adaptive else 1
        return [Phase("text", readings, text.flops, text.bytes), Phase("evaluation", evaluations, flops, moved)]

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """One evaluation of the field on the whole crop, with the layers before and after the backbone."""
        around = self.inputs.cost(batch * frames)[0] + self.head.cost(batch * frames)[0]
        return self.pass_cost(batch, frames, text_tokens) + around


class Integration(Session):
    """Buffers of one integration: noise in, data out; for inpainting also the clips and which frames are known."""

    def __init__(self, model: FM, noise: Tensor, sampler: FMSampler, inpainting: bool) -> None:
        super().__init__(noise.device)
        self.model, self.sampler, self.inpainting = model, sampler, inpainting
        self.noise, self.data, self.target = (torch.empty_like(noise) for _ in range(3))
        self.known_BT1 = torch.zeros(*noise.shape[:2], 1, dtype=torch.bool, device=noise.device)

    def solve(self, noise: Tensor, known: tuple[Tensor, Tensor] | None) -> Tensor:
        """Integrate from ``noise`` (B, T, D); ``known`` are the clips and the mask of inpainting."""
        self.noise.copy_(noise)
        if known is not None:
            self.target.copy_(known[0])
            self.known_BT1.copy_(known[1][..., None])
        if self.sampler.solver == "dopri5":  # its number of steps depends on the field, so it cannot be captured
            self._solve()
        else:
            self.run("grid", self._solve)
        return self.data.clone()

    def _solve(self) -> None:
        if not self.inpainting:
            self.data.copy_(integrate(self._field, self.noise, self.sampler))
        elif self.sampler.inpainting == "supervised":
            self.data.copy_(integrate(self._supervised, self.noise, self.sampler))
        else:
            self.data.copy_(self._zero_shot())

    def _supervised(self, x_BTD: Tensor, t: float) -> Tensor:
        return self._field(torch.where(self.known_BT1, self.target, x_BTD), t)

    def _zero_shot(self) -> Tensor:
        """Tal et al. 2025, algorithm 1: Euler steps from data to noise, then back with known frames of that path."""
        steps = self.sampler.steps
        passed, x = [], self.target
        for i in range(steps, 0, -1):
            x = x - self._field(x, i / steps) / steps
            passed.append(x)
        x = self.noise
        for i, there in enumerate(reversed(passed)):
            x = torch.where(self.known_BT1, there, x)
            x = x + self._field(x, i / steps) / steps
        return x

    def _field(self, x_BTD: Tensor, t: float) -> Tensor:
        self.model.adaptive_evaluations += self.sampler.solver == "dopri5"
        rows = x_BTD.to(self.model.inputs.weight.dtype).repeat(self.sampler.branches, 1, 1)
        v = self.model.velocity(rows, torch.full((1,), t, device=rows.device), self.text, self.controls)
        return guide(v, self.sampler)
