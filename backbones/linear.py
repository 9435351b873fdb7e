"""Linear layers that sample faster on a CPU, because their weights are stored in oneDNN's blocked layout.

A sampling step multiplies a handful of rows by every weight of the model, so it is as fast as the weights are read.
With more than one row (guidance makes two) the plain layout is read at a third of the memory's bandwidth; weights that
were packed into blocks once are read at nearly all of it. Training, other devices and small matrices use the plain
layout.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from .cost import linear

PACKED_FROM = 2**17
"""Smallest number of weights that is packed; below it the call costs more than the read."""

_packed: WeakIdKeyDictionary = WeakIdKeyDictionary()  # weight -> (its version when packed, its packed copy)


class Layer(nn.Module):
    """Base of our modules whose output is one tensor, which ``nn.Module`` does not tell type checkers."""

    __call__: Callable[..., Tensor]


class Linear(nn.Linear):
    """``nn.Linear`` with weights packed for sampling where that is faster; the copy doubles their memory."""

    __call__: Callable[..., Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if packs(self.weight, x):
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, _pack(self.weight), self.bias, "none", [], "")
            return product
        return nn.functional.linear(x, self.weight, self.bias)

    def cost(self, rows: int, element_size: int = 4) -> tuple[int, int]:
        """Floating-point operations on ``rows`` rows, and bytes of the parameters, each of ``element_size`` bytes."""
        return linear(rows, self.in_features, self.out_features), element_size * sum(
            p.numel() for p in self.parameters()
        )

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual + linear(x)``, in one matrix product where no gradient is needed; for layers without bias only."""
        if torch.is_grad_enabled() or packs(self.weight, x) or x.device.type == "cpu":
            return residual + self(x)
        return torch.addmm(residual.flatten(0, -2), x.flatten(0, -2), self.weight.t()).view_as(residual)


def packs(weight: Tensor, x: Tensor) -> bool:
    """Whether the packed copy of ``weight`` is used for the product with ``x`` (..., in)."""
    return (
        not torch.is_grad_enabled()
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= PACKED_FROM
        and x.numel() > x.shape[-1]  # a single row is read as fast from the plain layout
        and torch.backends.mkldnn.is_available()
    )


def _pack(weight: Tensor) -> Tensor:
    """The packed copy of ``weight``, made again when the weight has changed."""
    held = _packed.get(weight)
    if held is None or held[0] != weight._version:
        held = (weight._version, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 16))
        _packed[weight] = held
    packed: Tensor = held[1]
    return packed
