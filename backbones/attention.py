"""Self-attention with an optional static cache, and cross-attention to a text that was read once.

No output depends on padded keys or on other rows of the batch. A row without any real text token (the null condition of
guidance) has a cross-attention output of exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .cache import KVCache, LayerText
from .linear import Layer, Linear
from .positions import rotate


@dataclass(frozen=True)
class View:
    """Which keys the positions of one pass attend to; the same in every layer.

    Attributes:
        causal: each position attends to itself and the past, by the causal option of torch's attention.
        bias: without ``causal``, (B or 1, 1, T, S): 0 at visible keys, -inf at others; None: all keys are visible.
        angles: cosines and sines of rotary positions; None without them.
    """

    causal: bool
    bias: Tensor | None
    angles: tuple[Tensor, Tensor] | None


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as a bias to the attention scores: 0 where True, -inf elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, float("-inf"))


def split_heads(x_BTC: Tensor, n_heads: int) -> Tensor:
    """(B, T, C) -> (B, H, T, C / H)."""
    heads: Tensor = x_BTC.unflatten(-1, (n_heads, -1))
    return heads.transpose(1, 2)


def merge_heads(x_BHTD: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, H D)."""
    return x_BHTD.transpose(1, 2).flatten(2)


class SelfAttention(Layer):
    """Multi-head self-attention, without biases; its output layer is applied by the block."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = Linear(d_model, 3 * d_model, bias=False)
        self.out = Linear(d_model, d_model, bias=False)

    def forward(self, x_BTC: Tensor, layer: int, view: View, cache: KVCache | None) -> Tensor:
        """Attend within x, and to the positions in the cache if there is one; (B, T, C) before the output layer."""
        qkv_3BHTD = self.qkv(x_BTC).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        q, kv = qkv_3BHTD[0], qkv_3BHTD[1:]
        if view.angles is not None:
            q, kv = rotate(q, view.angles), torch.stack([rotate(kv[0], view.angles), kv[1]])
        if cache is not None:
            kv = cache.write(layer, kv)
        return merge_heads(scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=view.bias, is_causal=view.causal))


class CrossAttention(Layer):
    """Multi-head attention from the sequence to the text, without biases; its output layer is applied by the block."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q = Linear(d_model, d_model, bias=False)
        self.kv = Linear(d_model, 2 * d_model, bias=False)
        self.out = Linear(d_model, d_model, bias=False)

    def read(self, text_BLC: Tensor) -> Tensor:
        """Keys and values of the text, (2, B, H, L, D)."""
        kv_BL2HD: Tensor = self.kv(text_BLC).unflatten(-1, (2, self.n_heads, -1))
        return kv_BL2HD.permute(2, 0, 3, 1, 4)

    def forward(self, x_BTC: Tensor, text: LayerText) -> Tensor:
        """Attend to the text; (B, T, C) before the output layer, zero for rows without text."""
        k, v = text.kv_2BHLD
        attended = scaled_dot_product_attention(
            split_heads(self.q(x_BTC), self.n_heads), k, v, attn_mask=text.bias_B11L
        )
        merged = merge_heads(attended)
        return merged if text.present_B11 is None else merged * text.present_B11
