"""Linear layers whose sampling on a CPU reads its weights in oneDNN's own layout.

A sampling step multiplies a handful of rows by every weight of the model, and its speed is that of reading the weights.
With more than one row (guidance makes two) the plain layout reads at a third of the memory's speed; weights packed once
into blocks read at nearly all of it. Training, other devices and small matrices take the plain path.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

PACKED_FROM = 2**17
"""Smallest number of weights that is packed; below, the call itself costs more than the reading."""

_packed: WeakIdKeyDictionary = WeakIdKeyDictionary()  # weight -> (its version when packed, its packed copy)


class Linear(nn.Linear):
    """``nn.Linear``, packed for sampling where that is faster. The packed copy costs the weight's memory once more."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if packs(self.weight, x):
            return torch.ops.mkldnn._linear_pointwise(x, _pack(self.weight), self.bias, "none", [], "")
        return nn.functional.linear(x, self.weight, self.bias)

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + linear(x), in one matrix product where no gradient is asked for. Layers without bias only."""
        if torch.is_grad_enabled() or packs(self.weight, x) or x.device.type == "cpu":
            return residual + self(x)
        return torch.addmm(residual.flatten(0, -2), x.flatten(0, -2), self.weight.t()).view_as(residual)


def packs(weight: Tensor, x: Tensor) -> bool:
    """Whether ``weight`` is read packed when it multiplies ``x`` (..., in)."""
    return (
        not torch.is_grad_enabled()
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= PACKED_FROM
        and x.numel() > x.shape[-1]  # a single row is read as fast from the plain layout
        and torch.backends.mkldnn.is_available()
    )


def _pack(weight: Tensor) -> Tensor:
    """The packed copy, made anew when the weight has changed."""
    held = _packed.get(weight)
    if held is None or held[0] != weight._version:
        held = (weight._version, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 16))
        _packed[weight] = held
    packed: Tensor = held[1]
    return packed
