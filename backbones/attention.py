"""Self-attention with an optional static cache, and cross-attention with true padding masks.

Masks are boolean, True where a key may be attended to. No output depends on padded keys or on batch-mates. A row whose
text is masked out whole (the null condition of guidance) gets a cross-attention output of exactly zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from backbones.cache import KVCache
from backbones.positions import rotate


def split_heads(x_BTC: Tensor, n_heads: int) -> Tensor:
    """(B, T, C) -> (B, H, T, C / H)."""
    return x_BTC.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def merge_heads(x_BHTD: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, H D)."""
    return x_BHTD.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention, causal or not, without biases."""

    def __init__(self, d_model: int, n_heads: int, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.causal = n_heads, causal
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(
        self,
        x_BTC: Tensor,
        layer: int,
        cache: KVCache | None,
        angles: tuple[Tensor, Tensor] | None,
        key_mask_BS: Tensor | None,
    ) -> Tensor:
        """Attend within x; with a cache also to what it holds. ``key_mask_BS`` covers all S = past + new keys."""
        q, k, v = (split_heads(part, self.n_heads) for part in self.qkv(x_BTC).chunk(3, dim=-1))
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if cache is not None:
            k, v = cache.write(layer, k, v)
        mask = self._mask(q.shape[2], k.shape[2], key_mask_BS, x_BTC.device)
        whole = self.causal and mask is None and q.shape[2] == k.shape[2]
        return self.out(merge_heads(scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=whole)))

    def _mask(self, queries: int, keys: int, key_mask_BS: Tensor | None, device: torch.device) -> Tensor | None:
        """None where torch's own causal path or no mask at all will do (a single new query sees every live key)."""
        causal = None
        if self.causal and queries > 1 and (key_mask_BS is not None or queries != keys):
            causal = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        if key_mask_BS is None:
            return causal
        mask = key_mask_BS[:, None, None, :] if causal is None else key_mask_BS[:, None, None, :] & causal
        # A padded position is nobody's key, but it is still a query: it sees itself, since softmax over nothing is NaN.
        itself = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries).triu(keys - queries)
        return mask | itself


class CrossAttention(nn.Module):
    """Multi-head attention from the sequence to the text, without biases."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q = nn.Linear(d_model, d_model, bias=False)
        self.kv = nn.Linear(d_model, 2 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(
        self, x_BTC: Tensor, text_BLC: Tensor, text_mask_BL: Tensor, layer: int, cache: KVCache | None
    ) -> Tensor:
        """Attend from x (B, T, C) to the text (B, L, C) where the mask is True; zero where a row has no text."""
        k, v = self._keys_values(text_BLC, layer, cache)
        has_text_B = text_mask_BL.any(dim=1)
        # Softmax over no keys is NaN: an all-masked row attends everywhere, and its output is then set to zero.
        mask = (text_mask_BL | ~has_text_B[:, None])[:, None, None, :]
        attended = scaled_dot_product_attention(split_heads(self.q(x_BTC), self.n_heads), k, v, attn_mask=mask)
        return self.out(merge_heads(attended)) * has_text_B[:, None, None]

    def _keys_values(self, text_BLC: Tensor, layer: int, cache: KVCache | None) -> tuple[Tensor, Tensor]:
        stored = cache.cross[layer] if cache is not None else None
        if stored is not None:
            return stored
        k, v = (split_heads(part, self.n_heads) for part in self.kv(text_BLC).chunk(2, dim=-1))
        if cache is not None:
            cache.cross[layer] = (k, v)
        return k, v
