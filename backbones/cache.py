"""Static key/value cache for step-by-step decoding.

Layout: per layer one preallocated (B, H, T_max, D) tensor for keys and one for values, filled from the left and read
only up to the live length. Cross-attention keys and values depend on the text alone: they are computed once, on the
first step, and kept here too (papers/002 appendix K says this cannot be done; it can, see published inconsistency X21).
"""

from __future__ import annotations

import torch
from torch import Tensor

from backbones.config import BackboneConfig


class KVCache:
    """Keys and values of every layer for one batch.

    Args:
        batch: B, doubled by the caller when guidance runs both branches in one batch.
        capacity: T_max, the most positions that will ever be stored (prefix text included).
    """

    def __init__(
        self,
        config: BackboneConfig,
        batch: int,
        capacity: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (batch, config.n_heads, capacity, config.d_model // config.n_heads)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self.cross: list[tuple[Tensor, Tensor] | None] = [None] * config.n_layers
        self.prefix_mask_BL: Tensor | None = None
        self.capacity = capacity
        self.length = 0

    def write(self, layer: int, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new positions of one layer and return its keys and values up to and including them."""
        end = self.length + k_BHTD.shape[2]
        if end > self.capacity:
            raise ValueError(f"KV cache holds {self.capacity} positions, {end} asked for")
        self.keys[layer][:, :, self.length : end] = k_BHTD
        self.values[layer][:, :, self.length : end] = v_BHTD
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, steps: int) -> None:
        """Count ``steps`` new positions as live; called once per forward pass, after all layers have written."""
        self.length += steps
