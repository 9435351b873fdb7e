"""The shared transformer: MusicGen-small's decoder, causal or bidirectional, with the options of ``BackboneConfig``.

Sequence in, sequence out: what the positions mean (codebook embeddings, noisy latents, masked latents) and what is read
off them (logits, velocities, diffusion conditions) is the paradigm's business.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from backbones.attention import CrossAttention, SelfAttention
from backbones.cache import KVCache
from backbones.config import BackboneConfig
from backbones.positions import TimeEmbedding, rotary_angles, sinusoid


class Block(nn.Module):
    """Pre-LN transformer block: self-attention, cross-attention to the text, feed-forward; optional AdaLN on time."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width = config.d_model
        self.norm_self = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, config.n_heads, config.causal)
        self.norm_cross = nn.LayerNorm(width) if config.text == "cross" else None
        self.cross_attention = CrossAttention(width, config.n_heads) if config.text == "cross" else None
        self.norm_ff = nn.LayerNorm(width)
        self.ff_in = nn.Linear(width, config.d_ff, bias=False)
        self.ff_out = nn.Linear(config.d_ff, width, bias=False)
        # DiT (Peebles & Xie 2023): shift, scale and gate of self-attention and feed-forward, zero at the start.
        self.modulation = nn.Linear(width, 6 * width) if config.time == "adaln" else None

    def forward(
        self,
        x_BTC: Tensor,
        text: tuple[Tensor, Tensor] | None,
        time_BC: Tensor | None,
        layer: int,
        cache: KVCache | None,
        angles: tuple[Tensor, Tensor] | None,
        key_mask_BS: Tensor | None,
    ) -> Tensor:
        """One block; shapes as in ``Backbone.forward``."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self._modulations(time_BC)
        h = self.norm_self(x_BTC) * (1 + scale_a) + shift_a
        x_BTC = x_BTC + gate_a * self.self_attention(h, layer, cache, angles, key_mask_BS)
        if self.cross_attention is not None and self.norm_cross is not None and text is not None:
            x_BTC = x_BTC + self.cross_attention(self.norm_cross(x_BTC), *text, layer, cache)
        h = self.norm_ff(x_BTC) * (1 + scale_f) + shift_f
        return x_BTC + gate_f * self.ff_out(nn.functional.gelu(self.ff_in(h)))

    def _modulations(self, time_BC: Tensor | None) -> tuple[Tensor | float, ...]:
        if self.modulation is None or time_BC is None:
            return (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
        parts = self.modulation(nn.functional.silu(time_BC))[:, None].chunk(6, dim=-1)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = parts
        return shift_a, scale_a, 1 + gate_a, shift_f, scale_f, 1 + gate_f


class Backbone(nn.Module):
    """The transformer between a paradigm's input embedding and its head."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_model
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm_out = nn.LayerNorm(width)
        self.skip_projections = nn.ModuleList(
            nn.Linear(2 * width, width, bias=False) for _ in range(config.n_layers // 2 if config.skips else 0)
        )
        self.learned_positions = nn.Embedding(config.max_positions, width) if config.positions == "learned" else None
        self.time_embedding = TimeEmbedding(width) if config.time != "none" else None
        self._initialise()

    def forward(
        self,
        x_BTC: Tensor,
        text_BLC: Tensor | None = None,
        text_mask_BL: Tensor | None = None,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Transform a sequence.

        Args:
            x_BTC: input embeddings, without positions.
            text_BLC: text in the model's width; text_mask_BL is True at real tokens, all False for the null condition.
            time_B: flow time in [0, 1] when the config has a time input.
            positions_BT: integer positions; 0..T-1 (after what the cache holds) when not given.
            cache: static KV cache; x holds only the positions after it.

        Returns:
            (B, T, C) after the final LayerNorm.
        """
        where: dict[str, Any] = {"time_B": time_B, "positions_BT": positions_BT, "cache": cache}
        h = self.run(self.embed(x_BTC, **where), 0, self.config.n_layers, text_BLC, text_mask_BL, **where)
        return self.norm_out(h)

    def embed(
        self,
        x_BTC: Tensor,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Add the input positions, and the time when it is added; (B, T, C) -> (B, T, C)."""
        positions = self._positions(x_BTC, positions_BT, cache)
        if self.learned_positions is not None:
            x_BTC = x_BTC + self.learned_positions(positions)
        elif self.config.positions == "sinusoidal":
            x_BTC = x_BTC + sinusoid(positions, self.config.d_model).to(x_BTC.dtype)
        if self.config.time == "add" and self.time_embedding is not None and time_B is not None:
            x_BTC = x_BTC + self.time_embedding(time_B)[:, None]
        return x_BTC

    def run(
        self,
        x_BTC: Tensor,
        start: int,
        stop: int,
        text_BLC: Tensor | None = None,
        text_mask_BL: Tensor | None = None,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Blocks ``start`` to ``stop`` (exclusive) over embedded input; an encoder and a decoder are two calls."""
        prefix = self._prefix(text_BLC, cache)
        n_prefix = 0 if prefix is None else prefix.shape[1]
        angles = self._angles(x_BTC, positions_BT, cache, text_mask_BL if n_prefix else None)
        key_mask = self._key_mask(x_BTC, text_mask_BL, cache, n_prefix)
        if prefix is not None:
            x_BTC = torch.cat([prefix, x_BTC], dim=1)
        text = (text_BLC, text_mask_BL) if text_BLC is not None and text_mask_BL is not None else None
        time_BC = None
        if self.config.time == "adaln" and self.time_embedding is not None and time_B is not None:
            time_BC = self.time_embedding(time_B)
        taps = [x_BTC]
        half = self.config.n_layers // 2
        for i in range(start, stop):
            if self.config.skips and i >= half:
                # papers/002 E.3.1: the input of block N + j takes the output of block N - j; block 0 is the embedding.
                x_BTC = self.skip_projections[i - half](torch.cat([x_BTC, taps[self.config.n_layers - 1 - i]], dim=-1))
            x_BTC = self.blocks[i](x_BTC, text, time_BC, i, cache, angles, key_mask)
            taps.append(x_BTC)
        if cache is not None and stop == self.config.n_layers:
            cache.advance(x_BTC.shape[1])
        return x_BTC[:, n_prefix:]

    def _positions(self, x_BTC: Tensor, positions_BT: Tensor | None, cache: KVCache | None) -> Tensor:
        if positions_BT is not None:
            return positions_BT
        past = 0
        if cache is not None:
            past = cache.length - (0 if cache.prefix_mask_BL is None else cache.prefix_mask_BL.shape[1])
        return torch.arange(max(past, 0), max(past, 0) + x_BTC.shape[1], device=x_BTC.device).expand(x_BTC.shape[0], -1)

    def _prefix(self, text_BLC: Tensor | None, cache: KVCache | None) -> Tensor | None:
        """Text tokens to put before the sequence: only in prefix mode, and only on the first cached step."""
        if self.config.text != "prefix" or text_BLC is None or (cache is not None and cache.length > 0):
            return None
        return text_BLC

    def _angles(
        self, x_BTC: Tensor, positions_BT: Tensor | None, cache: KVCache | None, prefix_mask_BL: Tensor | None
    ) -> tuple[Tensor, Tensor] | None:
        """Rotary angles; the n real tokens of prefix text stand before position 0, at -n..-1 whatever the padding."""
        if self.config.positions != "rotary":
            return None
        positions = self._positions(x_BTC, positions_BT, cache)
        if prefix_mask_BL is not None:
            before = prefix_mask_BL.cumsum(dim=1) - 1 - prefix_mask_BL.sum(dim=1, keepdim=True)
            positions = torch.cat([before, positions], dim=1)
        return rotary_angles(positions, self.config.d_model // self.config.n_heads)

    def _key_mask(
        self, x_BTC: Tensor, text_mask_BL: Tensor | None, cache: KVCache | None, n_prefix: int
    ) -> Tensor | None:
        """Keys that may be attended to: all of the sequence, and the real tokens of prefix text."""
        if self.config.text != "prefix":
            return None
        if n_prefix and cache is not None:
            cache.prefix_mask_BL = text_mask_BL
        prefix_mask = text_mask_BL if n_prefix else (cache.prefix_mask_BL if cache is not None else None)
        if prefix_mask is None:
            return None
        past = cache.length - prefix_mask.shape[1] if cache is not None and not n_prefix else 0
        own = torch.ones(x_BTC.shape[0], past + x_BTC.shape[1], dtype=torch.bool, device=x_BTC.device)
        return torch.cat([prefix_mask, own], dim=1)

    def _initialise(self) -> None:
        """Truncated normal, std 1 / sqrt(fan_in) / sqrt(2 (layer + 1)), cut at 3 std, as MusicGen's authors do."""
        for depth, block in enumerate(self.blocks):
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    truncated_normal_(module.weight, 1 / math.sqrt(module.in_features) / math.sqrt(2 * (depth + 1)))
            if isinstance(block, Block) and block.modulation is not None:
                nn.init.zeros_(block.modulation.weight)
                nn.init.zeros_(block.modulation.bias)
        for weight in self.skip_projections.parameters():
            truncated_normal_(weight, 1 / math.sqrt(weight.shape[1]))
        if self.learned_positions is not None:
            truncated_normal_(self.learned_positions.weight, 0.02)


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill ``weight`` with normal draws of the given std, cut at three of them."""
    nn.init.trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)
