"""What sampling keeps between passes: keys and values of the text, and of the positions generated so far.

The cache has one preallocated (2, B, H, T_max, D) tensor per layer for keys and values. It is filled from the left and
read up to the number of stored positions, rounded up to a bucket. On a CPU the bucket is one position; on a GPU a step
is a captured graph whose shapes must not change, and one graph serves a whole bucket. The index of the next position is
a tensor (``cursor``), so that a graph can advance it.

Keys and values of cross-attention depend on the text alone and are computed once (Tal et al. 2025, appendix K says that
this is impossible: published inconsistency X21).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .config import BackboneConfig

GPU_BUCKET = 64
"""Positions per captured graph: few empty positions are read, and 500 positions need only 8 graphs."""


@dataclass
class LayerText:
    """The text of one layer's cross-attention; see ``TextMemory`` for the fields."""

    rows: int
    kv_2BHLD: Tensor
    bias_B11L: Tensor | None
    present_B11: Tensor | None


@dataclass
class TextMemory:
    """Text in the form that the backbone reads; made once per batch by ``Backbone.read``.

    With guidance the rows of the null branch come last and can be left out: their cross-attention is exactly zero and
    is skipped. (Where text is a prefix they are included, masked out.)

    Attributes:
        rows: number of rows of the batch, from the first, whose text is included.
        prefix_BLC: embeddings before the sequence; None where text is read by cross-attention.
        mask_BL: True at real tokens.
        cross: keys and values (2, B, H, L, D) of each layer's cross-attention.
        bias_B11L: 0 at visible tokens, -inf at others; None where all are visible.
        present_B11: 0 for rows without any text, whose cross-attention is zero; None where all rows have some.
    """

    rows: int
    mask_BL: Tensor
    prefix_BLC: Tensor | None = None
    cross: list[Tensor] = field(default_factory=list)
    bias_B11L: Tensor | None = None
    present_B11: Tensor | None = None

    @property
    def prefix_length(self) -> int:
        """Positions that the text takes before the sequence."""
        return 0 if self.prefix_BLC is None else self.prefix_BLC.shape[1]

    def layer(self, i: int) -> LayerText | None:
        """The text of layer ``i``; None where text is not read by cross-attention."""
        return LayerText(self.rows, self.cross[i], self.bias_B11L, self.present_B11) if self.cross else None

    def tensors(self) -> list[Tensor]:
        """All tensors, in a fixed order."""
        optional = (self.prefix_BLC, self.bias_B11L, self.present_B11)
        return [self.mask_BL, *self.cross, *(tensor for tensor in optional if tensor is not None)]

    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all tensors; ``copy_`` needs equal ones."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors())

    def copy_(self, other: TextMemory) -> None:
        """Overwrite in place with another text of the same shape, so that captured graphs read it."""
        for mine, new in zip(self.tensors(), other.tensors(), strict=True):
            mine.copy_(new)


class KVCache:
    """Keys and values of every layer for one batch.

    Args:
        batch: B, with a row for each branch of guidance.
        capacity: T_max, the largest number of positions, those of a text prefix included.

    Attributes:
        live: number of positions stored so far.
        cursor: the same number as a tensor (1,), which a captured step advances.
    """

    def __init__(
        self,
        config: BackboneConfig,
        batch: int,
        capacity: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        bucket: int | None = None,
    ) -> None:
        self.bucket = bucket or (1 if torch.device(device).type == "cpu" else GPU_BUCKET)
        self.capacity = capacity
        shape = (2, batch, config.n_heads, self._round(capacity), config.d_model // config.n_heads)
        self.layers = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self.cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self.live = 0
        self.prefix_mask_BL: Tensor | None = None

    def reset(self) -> None:
        """Empty the cache; old values stay in the tensors and are never read."""
        self.cursor.zero_()
        self.live, self.prefix_mask_BL = 0, None

    def window(self, queries: int) -> int:
        """Number of positions that a pass over ``queries`` new positions reads.

        Raises:
            ValueError: there are more positions than the capacity.
        """
        end = self.live + queries
        if end > self.capacity:
            raise ValueError(f"KV cache holds {self.capacity} positions, {end} asked for")
        return self._round(end)

    def write(self, layer: int, kv_2BHTD: Tensor) -> Tensor:
        """Store one layer's new keys and values; returns those that the pass reads, (2, B, H, window, D)."""
        queries, held = kv_2BHTD.shape[3], self.layers[layer]
        held.index_copy_(3, self.slots(queries), kv_2BHTD.to(held.dtype))  # under autocast they are not in its dtype
        return held[:, :, :, : self.window(queries)]

    def slots(self, queries: int) -> Tensor:
        """Indices of the new positions in the cache, (T,)."""
        return self.cursor if queries == 1 else self.cursor + torch.arange(queries, device=self.cursor.device)

    def advance(self, positions: int) -> None:
        """Count new positions as stored, after a pass has written them."""
        self.cursor.add_(positions)
        self.live += positions

    def _round(self, positions: int) -> int:
        return -(-positions // self.bucket) * self.bucket
