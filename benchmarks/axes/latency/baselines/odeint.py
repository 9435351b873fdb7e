"""torchdiffeq's ``odeint`` over our network's field: fixed grids, and dopri5 with its error norm over the whole batch.

At batch 1 dopri5 takes the steps that ours does; in a batch its step sizes depend on the batch-mates.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .....common.errors import UserError
from .....common.seeds import ItemRNG
from .....paradigms.base import Conditions
from .....paradigms.fm import FM
from .....paradigms.guidance import guide

METHODS = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "dopri5": "dopri5"}


class TorchdiffeqIntegration:
    """An ``fm`` model whose field torchdiffeq integrates."""

    own_weights: ClassVar[bool] = False

    def __init__(self, model: FM) -> None:
        import torchdiffeq

        self.model, self.odeint = model, torchdiffeq.odeint

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D)."""
        if sampler.solver not in METHODS:
            raise UserError(f"torchdiffeq has no solver {sampler.solver!r}; known: {', '.join(METHODS)}")
        text = self.model.read_text(conditions, sampler.branches)
        start = rng.normal(frames, self.model.latent.dim)

        def field(t: Tensor, x_BTD: Tensor) -> Tensor:
            rows = x_BTD.to(self.model.inputs.weight.dtype).repeat(sampler.branches, 1, 1)
            return guide(self.model.velocity(rows, t.expand(1), text).float(), sampler)

        adaptive = sampler.solver == "dopri5"
        times = torch.linspace(0, 1, 2 if adaptive else sampler.steps + 1, device=start.device)
        tolerances = {"rtol": sampler.tolerance, "atol": sampler.tolerance} if adaptive else {}
        path: Tensor = self.odeint(field, start, times, method=METHODS[sampler.solver], **tolerances)
        return path[-1]
