"""Masked autoregressive modelling of continuous latents with a per-token diffusion head (MAR: Li et al. 2024; as audio:
papers/003 AudioMAR, papers/004 IMPACT).

Training masks a random share of the tokens and learns to draw them from the diffusion head, given the backbone's
bidirectional view of the rest. Sampling starts from nothing and reveals tokens in random order over a few iterations,
their number following a cosine. With ``mae`` (the papers' form) the first half of the blocks sees the kept tokens only
and the second half sees everything, mask embeddings filled in; without it all blocks see everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from backbones import BackboneConfig
from backbones.transformer import truncated_normal_
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import Schedule, scale_at
from paradigms.heads import DiffusionHead, HeadOptions, HeadSampler
from paradigms.masks import MAR_RATIO, TruncatedNormal, cosine_counts
from representations.base import LatentSpec
from representations.text import TextSpec


@dataclass(frozen=True)
class MAROptions(ParadigmOptions):
    """Options of masked autoregression.

    Attributes:
        mae: encoder (first half of the blocks) drops masked tokens; else all blocks see mask embeddings.
        buffer_tokens: learned tokens before the sequence, so that the encoder has something when all is masked.
        ratio: distribution of the mask ratio, one draw per batch.
    """

    mae: bool = True
    buffer_tokens: int = 64
    ratio: TruncatedNormal = MAR_RATIO
    head: HeadOptions = field(default_factory=HeadOptions)

    def __post_init__(self) -> None:
        if self.buffer_tokens < 1:
            raise UserError("mar: buffer_tokens must be 1 or more, since the encoder starts with every token masked")


@dataclass(frozen=True)
class MARSampler(HeadSampler):
    """Settings of the head, and the number of unmasking iterations. Guidance rises linearly, as in MAR."""

    iterations: int = 64
    guidance_schedule: Schedule = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise UserError(f"mar sampler: iterations must be 1 or more, not {self.iterations}")


class MAR(Paradigm):
    """Random-order masked prediction with a diffusion head."""

    name = "mar"
    view = "latents"
    options_class = MAROptions
    sampler_class = MARSampler
    backbone_needs = {"causal": False, "time": "none"}  # noqa: RUF012
    options: MAROptions

    def __init__(self, options: MAROptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        if options.mae and backbone.skips:
            raise UserError("mar: U-Net skips need blocks that all see the whole sequence; set mae or skips to false")
        width = self.backbone_config.d_model
        self.inputs = nn.Linear(latent.dim, width)
        self.buffer = nn.Parameter(torch.empty(options.buffer_tokens, width))
        self.mask_embedding = nn.Parameter(torch.empty(width))
        truncated_normal_(self.buffer, 0.02)
        truncated_normal_(self.mask_embedding, 0.02)
        self.head = DiffusionHead(options.head, latent.dim, width)

    def context(self, latents_BTD: Tensor, order_BT: Tensor, masked: int, text: tuple[Tensor, Tensor]) -> Tensor:
        """The backbone's output at every position, (B, T, C).

        Args:
            order_BT: a permutation of the positions per row; the first ``masked`` of them are masked.
        """
        x_BTC = self.inputs(latents_BTD)
        hidden, kept = order_BT[:, :masked], order_BT[:, masked:]
        layers, half = self.backbone_config.n_layers, self.backbone_config.n_layers // 2
        if not self.options.mae:
            return self._blocks(self._fill(x_BTC, hidden), None, 0, layers, text)
        encoded = self._blocks(_gather(x_BTC, kept), kept, 0, half, text, keep_buffer=True)
        buffer, tokens = encoded[:, : len(self.buffer)], encoded[:, len(self.buffer) :]
        whole = torch.zeros_like(x_BTC).scatter(1, _index(kept, x_BTC), tokens)
        return self._blocks(self._fill(whole, hidden), None, half, layers, text, buffer)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error of the diffusion head on the masked tokens (papers/004 eq. 2, averaged)."""
        frames = batch.latents_BTD.shape[1]
        masked = max(round(self.options.ratio.draw(shared) * frames), 1)
        order_BT = rng.permutation(frames)
        z_BTC = self.context(batch.latents_BTD, order_BT, masked, self.encode_text(batch.conditions))
        hidden = order_BT[:, :masked]
        return Loss.from_items(self.head.loss(_gather(batch.latents_BTD, hidden), _gather(z_BTC, hidden), rng))

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D), every position drawn exactly once."""
        guided = sampler.guidance != 1
        text = self.encode_text(conditions.with_null() if guided else conditions)
        order_BT = rng.permutation(frames)
        latents = torch.zeros(len(conditions), frames, self.latent.dim, device=order_BT.device)
        masked = frames
        for remaining in cosine_counts(frames, sampler.iterations):
            both = (torch.cat([latents, latents]), torch.cat([order_BT, order_BT])) if guided else (latents, order_BT)
            z_BTC = self.context(*both, masked, text)
            reveal = both[1][:, remaining:masked]
            scale = scale_at(sampler.guidance_schedule, sampler.guidance, 1 - remaining / frames)
            tokens = self.head.sample(_gather(z_BTC, reveal), sampler, scale, rng)
            reveal = order_BT[:, remaining:masked]
            latents = latents.scatter(1, _index(reveal, latents), tokens)
            masked = remaining
        return latents

    def _fill(self, x_BTC: Tensor, hidden: Tensor) -> Tensor:
        """Put the mask embedding at the hidden positions."""
        index = _index(hidden, x_BTC)
        return x_BTC.scatter(1, index, self.mask_embedding.expand(index.shape))

    def _blocks(
        self,
        x_BTC: Tensor,
        positions: Tensor | None,
        start: int,
        stop: int,
        text: tuple[Tensor, Tensor],
        buffer: Tensor | None = None,
        keep_buffer: bool = False,
    ) -> Tensor:
        """Blocks ``start`` to ``stop`` over [buffer, x]; token i stands at position n_buffer + i."""
        n_buffer = len(self.buffer)
        if positions is None:
            positions = torch.arange(x_BTC.shape[1], device=x_BTC.device).expand(len(x_BTC), -1)
        before = torch.arange(n_buffer, device=x_BTC.device).expand(len(x_BTC), -1)
        positions = torch.cat([before, positions + n_buffer], dim=1)
        buffer = self.buffer.expand(len(x_BTC), -1, -1) if buffer is None else buffer
        h = self.backbone.embed(torch.cat([buffer, x_BTC], dim=1), positions_BT=positions)
        h = self.backbone.run(h, start, stop, *text, positions_BT=positions)
        return h if keep_buffer else self.backbone.norm_out(h)[:, n_buffer:]


def _index(positions: Tensor, like: Tensor) -> Tensor:
    return positions[..., None].expand(-1, -1, like.shape[-1])


def _gather(x: Tensor, positions: Tensor) -> Tensor:
    return x.gather(1, _index(positions, x))
