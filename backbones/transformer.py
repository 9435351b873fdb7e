"""The shared transformer: MusicGen-small's decoder, causal or bidirectional, with the options of ``BackboneConfig``.

It maps a sequence of vectors to a sequence of vectors. The paradigm decides what goes in (codebook embeddings, noisy
latents, masked latents) and what is predicted from the output (logits, velocities, conditions of a head).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..common.errors import UserError
from .attention import CrossAttention, SelfAttention, View, bias_of
from .cache import KVCache, LayerText, TextMemory
from .config import BackboneConfig
from .linear import Layer, Linear
from .positions import TimeEmbedding, rotary_angles, sinusoid


class Block(Layer):
    """Pre-LN transformer block: self-attention, cross-attention to the text, feed-forward; optional AdaLN on time."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width = config.d_model
        self.norm_self = nn.LayerNorm(width)
        self.self_attention = SelfAttention(width, config.n_heads)
        self.norm_cross = nn.LayerNorm(width) if config.text == "cross" else None
        self.cross_attention = CrossAttention(width, config.n_heads) if config.text == "cross" else None
        self.norm_ff = nn.LayerNorm(width)
        self.ff_in = Linear(width, config.d_ff, bias=False)
        self.ff_out = Linear(config.d_ff, width, bias=False)
        # DiT (Peebles & Xie 2023): shift, scale and gate of self-attention and feed-forward, zero at the start.
        self.modulation = Linear(width, 6 * width) if config.time == "adaln" else None

    def forward(
        self,
        x_BTC: Tensor,
        layer: int,
        view: View,
        text: LayerText | None,
        time_BC: Tensor | None,
        cache: KVCache | None,
    ) -> Tensor:
        """One block, (B, T, C) -> (B, T, C)."""
        if self.modulation is not None and time_BC is not None:
            return self._modulated(x_BTC, layer, view, text, self.modulation(nn.functional.silu(time_BC)), cache)
        x_BTC = self.self_attention.out.add_to(x_BTC, self.self_attention(self.norm_self(x_BTC), layer, view, cache))
        x_BTC = self._cross_attend(x_BTC, text)
        return self.ff_out.add_to(x_BTC, nn.functional.gelu(self.ff_in(self.norm_ff(x_BTC))))

    def _modulated(
        self, x_BTC: Tensor, layer: int, view: View, text: LayerText | None, modulation: Tensor, cache: KVCache | None
    ) -> Tensor:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation[:, None].chunk(6, dim=-1)
        h = _modulated_norm(self.norm_self, x_BTC, scale_a, shift_a)
        attended = self.self_attention.out(self.self_attention(h, layer, view, cache))
        x_BTC = self._cross_attend(x_BTC + (1 + gate_a) * attended, text)
        h = _modulated_norm(self.norm_ff, x_BTC, scale_f, shift_f)
        return x_BTC + (1 + gate_f) * self.ff_out(nn.functional.gelu(self.ff_in(h)))

    def _cross_attend(self, x_BTC: Tensor, text: LayerText | None) -> Tensor:
        """Add cross-attention to the rows that have text; for the others it is zero and is not computed."""
        if self.cross_attention is None or self.norm_cross is None or text is None:
            return x_BTC
        with_text = x_BTC[: text.rows]
        with_text = self.cross_attention.out.add_to(with_text, self.cross_attention(self.norm_cross(with_text), text))
        return with_text if text.rows == len(x_BTC) else torch.cat([with_text, x_BTC[text.rows :]])


def _modulated_norm(norm: nn.LayerNorm, x_BTC: Tensor, scale_B1C: Tensor, shift_B1C: Tensor) -> Tensor:
    """norm(x) (1 + scale) + shift; with one time for all rows, as in sampling, one layer norm with other weights."""
    if len(scale_B1C) > 1 or torch.is_grad_enabled():
        normed: Tensor = norm(x_BTC)
        return normed * (1 + scale_B1C) + shift_B1C
    weight = norm.weight * (1 + scale_B1C[0, 0])
    bias = torch.addcmul(shift_B1C[0, 0], norm.bias, 1 + scale_B1C[0, 0])
    return nn.functional.layer_norm(x_BTC, norm.normalized_shape, weight, bias, norm.eps)


class Backbone(Layer):
    """The transformer between a paradigm's input embedding and its head.

    Attributes:
        recompute: activation checkpointing: in training only the input of each block is kept for the backward pass.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config, self.recompute = config, False
        width = config.d_model
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm_out = nn.LayerNorm(width)
        self.skip_projections = nn.ModuleList(
            Linear(2 * width, width, bias=False) for _ in range(config.n_layers // 2 if config.skips else 0)
        )
        self.learned_positions = nn.Embedding(config.max_positions, width) if config.positions == "learned" else None
        self.time_embedding = TimeEmbedding(width) if config.time != "none" else None
        self._initialise()

    def read(self, text_BLC: Tensor, mask_BL: Tensor) -> TextMemory:
        """Prepare the text for all passes over one batch.

        Args:
            text_BLC: text embeddings of the backbone's width.
            mask_BL: True at real tokens; a row that is all False is the null condition. Under guidance the rows of the
                null branch come last in the batch and are left out here, unless text is a prefix.
        """
        memory = TextMemory(len(text_BLC), mask_BL)
        if self.config.text == "prefix":
            memory.prefix_BLC = text_BLC
        elif self.config.text == "cross":
            layers = [block.cross_attention for block in self.blocks if isinstance(block, Block)]
            memory.cross = [attention.read(text_BLC) for attention in layers if attention is not None]
            present_B = mask_BL.any(dim=1)
            # Reading the mask waits for the device: acceptable once per clip in sampling, not in training.
            if torch.is_grad_enabled() or not bool(present_B.all()):
                memory.present_B11 = present_B[:, None, None].to(text_BLC.dtype)
            if torch.is_grad_enabled() or not bool(mask_BL.all()):
                # Softmax over no keys is NaN: a row without text attends everywhere, and is then set to zero.
                memory.bias_B11L = bias_of((mask_BL | ~present_B[:, None])[:, None, None], text_BLC.dtype)
        return memory

    def forward(
        self,
        x_BTC: Tensor,
        text: TextMemory | None = None,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Transform a sequence.

        Args:
            x_BTC: input embeddings, without positions.
            text: what ``read`` returned.
            time_B: flow time in [0, 1] per row, or one for all, if the config has a time input.
            positions_BT: integer positions; by default 0..T-1, counted from the end of the cache.
            cache: static KV cache; x has only the positions after those in it. The caller advances it.

        Returns:
            (B, T, C) after the final LayerNorm.
        """
        h = self.embed(x_BTC, time_B=time_B, positions_BT=positions_BT, cache=cache)
        h, _ = self.run(h, 0, self.config.n_layers, text, time_B=time_B, positions_BT=positions_BT, cache=cache)
        normed: Tensor = self.norm_out(h)
        return normed

    def embed(
        self,
        x_BTC: Tensor,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Add position codes, and the time code with ``time: add``; (B, T, C) -> (B, T, C)."""
        positions = self._positions(x_BTC, positions_BT, cache)
        self.check_length(x_BTC.shape[1] if cache is None else cache.capacity - _width(cache.prefix_mask_BL))
        if self.learned_positions is not None:
            x_BTC = x_BTC + self.learned_positions(positions)
        elif self.config.positions == "sinusoidal":
            x_BTC = x_BTC + sinusoid(positions, self.config.d_model).to(x_BTC.dtype)
        if self.config.time == "add" and self.time_embedding is not None and time_B is not None:
            x_BTC = x_BTC + self.time_embedding(time_B)[:, None]
        return x_BTC

    def check_length(self, positions: int) -> None:
        """Check that sequences of ``positions`` positions have a code each.

        Raises:
            UserError: the table of learned positions is shorter; the other kinds of position have no limit.
        """
        if self.learned_positions is not None and positions > self.config.max_positions:
            raise UserError(
                f"{positions} positions are more than the {self.config.max_positions} that the backbone has learned; "
                f"shorten the clips, or train with backbone.overrides.max_positions: {positions} or more"
            )

    def prefill(self, text: TextMemory, cache: KVCache) -> None:
        """Store a text prefix in an empty cache, before the first position of the sequence."""
        if text.prefix_BLC is not None:
            cache.prefix_mask_BL = text.mask_BL
            self._blocks(
                text.prefix_BLC, 0, self.config.n_layers, self._view(text.prefix_BLC, None, text, cache), cache
            )
            cache.advance(text.prefix_length)

    def run(
        self,
        x_BTC: Tensor,
        start: int,
        stop: int,
        text: TextMemory | None = None,
        *,
        time_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, TextMemory | None]:
        """Output of blocks ``start`` to ``stop`` (exclusive) for embedded input, and the text for the later blocks.

        A text prefix goes through the blocks too, and is returned transformed. An encoder and a decoder are two calls,
        between which the sequence may change.
        """
        view = self._view(x_BTC, positions_BT, text, cache)
        time_BC = None
        if self.config.time == "adaln" and self.time_embedding is not None and time_B is not None:
            time_BC = self.time_embedding(time_B)
        if text is None or text.prefix_BLC is None or cache is not None:
            return self._blocks(x_BTC, start, stop, view, cache, text, time_BC), text
        whole = torch.cat([text.prefix_BLC, x_BTC], dim=1)
        whole = self._blocks(whole, start, stop, view, None, text, time_BC)
        read = dataclasses.replace(text, prefix_BLC=whole[:, : text.prefix_length])
        return whole[:, text.prefix_length :], read

    def _blocks(
        self,
        x_BTC: Tensor,
        start: int,
        stop: int,
        view: View,
        cache: KVCache | None,
        text: TextMemory | None = None,
        time_BC: Tensor | None = None,
    ) -> Tensor:
        taps = [x_BTC]
        half = self.config.n_layers // 2
        for i in range(start, stop):
            if self.config.skips and i >= half:
                # Tal et al. 2025, E.3.1: block N + j also takes the output of block N - j; block 0 is the input.
                x_BTC = self.skip_projections[i - half](torch.cat([x_BTC, taps[self.config.n_layers - 1 - i]], dim=-1))
            text_here = None if text is None else text.layer(i)
            if self.recompute and torch.is_grad_enabled():
                x_BTC = checkpoint(
                    self.blocks[i], x_BTC, i, view, text_here, time_BC, cache,
                    use_reentrant=False, preserve_rng_state=False,
                )  # fmt: skip
            else:
                x_BTC = self.blocks[i](x_BTC, i, view, text_here, time_BC, cache)
            taps.append(x_BTC)
        return x_BTC

    def _positions(self, x_BTC: Tensor, positions_BT: Tensor | None, cache: KVCache | None) -> Tensor:
        if positions_BT is not None:
            return positions_BT
        positions = torch.arange(x_BTC.shape[1], device=x_BTC.device)
        if cache is not None:
            positions = positions + cache.cursor - _width(cache.prefix_mask_BL)
        return positions.expand(x_BTC.shape[0], -1)

    def _view(self, x_BTC: Tensor, positions_BT: Tensor | None, text: TextMemory | None, cache: KVCache | None) -> View:
        """The visible keys of a pass: causal or all positions of the sequence, and the real tokens of a text prefix."""
        prefix_mask = text.mask_BL if text is not None and text.prefix_BLC is not None and cache is None else None
        angles = self._angles(x_BTC, positions_BT, prefix_mask, cache)
        causal, queries = self.config.causal, x_BTC.shape[1]
        if cache is None:
            if prefix_mask is None:
                return View(causal, None, angles)
            queries += prefix_mask.shape[1]
            at, keys = torch.arange(queries, device=x_BTC.device), queries
        else:
            prefix_mask, at, keys = cache.prefix_mask_BL, cache.slots(queries), cache.window(queries)
            if prefix_mask is None and queries == 1 and cache.bucket == 1:
                return View(False, None, angles)  # a single new position sees every live key
        key = torch.arange(keys, device=x_BTC.device)
        visible = (key <= at[:, None]) if causal else torch.ones(queries, keys, dtype=torch.bool, device=key.device)
        visible = visible[None, None]
        if prefix_mask is not None:
            real = nn.functional.pad(prefix_mask, (0, keys - prefix_mask.shape[1]), value=True)
            # A padded position is not a key, but still a query: it sees itself, since softmax over no keys is NaN.
            visible = (visible & real[:, None, None]) | (key == at[:, None])
        return View(False, bias_of(visible, x_BTC.dtype), angles)

    def _angles(
        self, x_BTC: Tensor, positions_BT: Tensor | None, prefix_mask_BL: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor] | None:
        """Rotary angles; the n real tokens of a text prefix have positions -n..-1, for any padding."""
        if self.config.positions != "rotary":
            return None
        if cache is not None and cache.live == 0 and cache.prefix_mask_BL is not None:  # the prefix itself is passed
            positions = _before(cache.prefix_mask_BL)
        else:
            positions = self._positions(x_BTC, positions_BT, cache)
        if prefix_mask_BL is not None:
            positions = torch.cat([_before(prefix_mask_BL), positions], dim=1)
        return rotary_angles(positions, self.config.d_model // self.config.n_heads)

    def _initialise(self) -> None:
        """Truncated normal, std 1 / sqrt(fan_in) / sqrt(2 (layer + 1)), cut at 3 std, as in MusicGen's code.

        With skips the initial model equals the one without them; the papers do not state their initialisation.
        """
        for depth, block in enumerate(self.blocks):
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    truncated_normal_(module.weight, 1 / math.sqrt(module.in_features) / math.sqrt(2 * (depth + 1)))
            if isinstance(block, Block) and block.modulation is not None:
                nn.init.zeros_(block.modulation.weight)
                nn.init.zeros_(block.modulation.bias)
        for weight in self.skip_projections.parameters():
            nn.init.eye_(weight)  # [1, 0]: random weights would scramble the residual stream (docs/footguns.md)
        if self.learned_positions is not None:
            truncated_normal_(self.learned_positions.weight, 0.02)


def _width(mask_BL: Tensor | None) -> int:
    return 0 if mask_BL is None else mask_BL.shape[1]


def _before(mask_BL: Tensor) -> Tensor:
    """Positions -n..-1 of a row's n real tokens."""
    return mask_BL.cumsum(dim=1) - 1 - mask_BL.sum(dim=1, keepdim=True)


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill ``weight`` with normal draws of the given std, cut at three of them."""
    nn.init.trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)
