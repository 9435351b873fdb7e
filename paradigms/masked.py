"""What mar and masked_fm share: clips that are revealed over a few iterations by a bidirectional backbone.

Sampling begins with every frame masked, or for inpainting with those of the hidden span. Each iteration generates some
of the masked frames, given the backbone's view of the others. How many frames stay masked after each iteration follows
a cosine (``masks.cosine_counts``); which ones, a random order, or the order in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..common.seeds import ItemRNG
from .base import Conditions, Paradigm
from .guidance import scale_at
from .masks import hidden_count, hidden_first, unmasking_order
from .session import Session


class Unmasking(Session):
    """Buffers of the iterations. How many frames each one reveals is known beforehand, so its shapes are too.

    Args:
        shape: of the clips, (B, T, D).
        plan: of each iteration, how many frames are masked, and how many of these are still masked after it: those that
            come first in ``order_BT``.

    Attributes:
        order_BT: a permutation of the frames of each clip, the last ones to be revealed first.
        latents: the clips (B, T, D), float32.
        guidance_scales: guidance scale of each iteration.
    """

    def __init__(
        self, model: MaskedParadigm, shape: Sequence[int], plan: Sequence[tuple[int, int]], sampler: Any
    ) -> None:
        batch, frames, dim = shape
        device = model.mask_embedding.device
        super().__init__(device)
        self.model, self.sampler, self.plan = model, sampler, plan
        self.order_BT = torch.zeros(batch, frames, dtype=torch.int64, device=device)
        self.latents = torch.zeros(batch, frames, dim, device=device)
        left = [*(masked for masked, _ in plan[1:]), 0]
        self.guidance_scales = [
            scale_at(sampler.guidance_schedule, sampler.guidance, 1 - masked / frames, i / len(plan))
            for i, masked in enumerate(left, 1)
        ]

    def reveal(self, i: int, rng: ItemRNG) -> None:
        """Do iteration ``i``, from 0."""
        raise NotImplementedError


class MaskedParadigm(Paradigm):
    """Base of paradigms over latents that learn masked frames and reveal them in iterations.

    A subclass has the parameter ``mask_embedding``, which stands at masked frames, and defines ``loss`` and
    ``unmasking``.

    Attributes:
        span: frames that are masked and revealed together.
    """

    view = "latents"
    backbone_needs = {"causal": False, "time": "none"}  # noqa: RUF012
    inpaints = True
    predictor = "head.outputs"
    leaves_parameters_unused = False
    mask_embedding: Tensor
    span: int = 1

    def unmasking(self, shape: Sequence[int], hidden: int, sampler: Any) -> Unmasking:
        """Buffers for clips of ``shape`` (B, T, D), of which ``hidden`` frames are to be generated."""
        raise NotImplementedError

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D)."""
        nothing = torch.zeros(len(conditions), frames, self.latent.dim, device=self.mask_embedding.device)
        return self._unmask(nothing, None, conditions, sampler, rng)

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known: sampling that never masks those frames."""
        return self._unmask(target, known_BT, conditions, sampler, rng)

    def _unmask(
        self, latents_BTD: Tensor, known_BT: Tensor | None, conditions: Conditions, sampler: Any, rng: ItemRNG
    ) -> Tensor:
        frames = latents_BTD.shape[1]
        hidden = hidden_count(known_BT, frames)
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, frames, sampler.branches)
        make = partial(self.unmasking, latents_BTD.shape, hidden, sampler)
        unmasking = self.session((self.name, latents_BTD.shape, hidden, sampler), make, text, controls)
        unmasking.latents.copy_(latents_BTD)
        for i in range(len(unmasking.plan)):
            if i == 0 or getattr(sampler, "repredict", False):
                order_BT = unmasking_order(sampler.order, rng, frames, self.span)
                unmasking.order_BT.copy_(hidden_first(order_BT, known_BT))
            unmasking.reveal(i, rng)
        return unmasking.latents.clone()
