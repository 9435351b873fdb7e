"""The matrix products of flow matching alone: a floor for its time on this machine.

Attention, norms, activations, guidance and the solver are left out; what remains are the linear layers of every
evaluation, in their order, on inputs of their shapes. The output is no clip.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .....common.errors import UserError
from .....common.seeds import ItemRNG
from .....paradigms.base import Conditions
from .....paradigms.fm import FM
from .....paradigms.ode import EVALUATIONS_PER_STEP


class GemmsAlone:
    """An ``fm`` model of which only the linear layers run."""

    own_weights: ClassVar[bool] = False

    def __init__(self, model: FM) -> None:
        self.model = model
        self._held: dict[tuple[int, int, int], list[tuple[nn.Module, Tensor]]] = {}

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """The last product of the last evaluation, (n B, T, D) for n branches of guidance."""
        if sampler.solver not in EVALUATIONS_PER_STEP:
            raise UserError(f"the number of {sampler.solver}'s evaluations depends on the field; take a fixed grid")
        shape = (len(conditions), frames, sampler.branches)
        if shape not in self._held:
            self._held = {shape: self._products(conditions, frames, sampler.branches)}
        out = torch.empty(0)
        for _ in range(sampler.steps * EVALUATIONS_PER_STEP[sampler.solver]):
            for layer, x in self._held[shape]:
                out = layer(x)
        return out

    def _products(self, conditions: Conditions, frames: int, branches: int) -> list[tuple[nn.Module, Tensor]]:
        """Each linear layer that one evaluation of the field calls, with random input of its shape."""
        inputs: dict[torch.Size, Tensor] = {}
        called: list[tuple[nn.Module, Tensor]] = []

        def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            x = inputs.setdefault(given[0].shape, torch.randn_like(given[0], requires_grad=False))
            called.append((layer, x))

        layers = [layer for layer in self.model.modules() if isinstance(layer, nn.Linear)]
        hooks = [layer.register_forward_pre_hook(note) for layer in layers]
        weight = self.model.inputs.weight
        rows = torch.randn(branches * len(conditions), frames, self.model.latent.dim).to(weight)
        text = self.model.read_text(conditions, branches)
        called.clear()  # reading the text is not part of an evaluation
        with torch.enable_grad():  # without gradients several layers may be one call, which the hooks would miss
            self.model.velocity(rows, torch.zeros(1, device=rows.device), text)
        for hook in hooks:
            hook.remove()
        return called
