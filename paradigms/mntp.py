"""Masked next-token prediction over continuous latents, and plain next-token prediction (papers/003 section 3).

A causal backbone reads a shorter sequence, from which a random share of the tokens was dropped, and learns to draw the
next token that is left from a diffusion head. Since that may be any later position, each input carries two position
codes: where it stands (content) and which position is to be predicted (target). At inference nothing is dropped and the
target is the content position plus one. ``ntp`` is the setting that drops nothing and needs no target code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbones import BackboneConfig, KVCache
from backbones.transformer import truncated_normal_
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import Schedule, scale_at
from paradigms.heads import DiffusionHead, HeadOptions, HeadSampler
from paradigms.masks import MAR_RATIO, mntp_ratio
from representations.base import LatentSpec
from representations.text import TextSpec


@dataclass(frozen=True)
class MNTPOptions(ParadigmOptions):
    """Options of masked next-token prediction.

    Attributes:
        drop: distribution of the drop ratio, one draw per batch: the papers' ``mixture``, ``mar``'s, or ``none``.
        target_positions: add the code of the position to be predicted.
    """

    drop: Literal["mixture", "mar", "none"] = "mixture"
    target_positions: bool = True
    head: HeadOptions = field(default_factory=HeadOptions)


@dataclass(frozen=True)
class NTPOptions(MNTPOptions):
    """Options of next-token prediction: nothing dropped, no target code."""

    drop: Literal["mixture", "mar", "none"] = "none"
    target_positions: bool = False


@dataclass(frozen=True)
class MNTPSampler(HeadSampler):
    """Settings of the head. Guidance is annealed over the positions (papers/003 eq. 5)."""

    guidance_schedule: Schedule = "annealed"


class MNTP(Paradigm):
    """Causal prediction of the next kept token with a diffusion head.

    Position 0 is the start token; token i of the clip stands at position i + 1.
    """

    name = "mntp"
    view = "latents"
    options_class = MNTPOptions
    sampler_class = MNTPSampler
    backbone_needs = {"causal": True, "time": "none"}  # noqa: RUF012
    options: MNTPOptions

    def __init__(self, options: MNTPOptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        width = self.backbone_config.d_model
        self.inputs = nn.Linear(latent.dim, width)
        self.start = nn.Parameter(torch.empty(width))
        truncated_normal_(self.start, 0.02)
        self.target_code = self._target_table() if options.target_positions else None
        self.head = DiffusionHead(options.head, latent.dim, width)

    def context(
        self,
        x_BSC: Tensor,
        content_BS: Tensor,
        target_BS: Tensor,
        text: tuple[Tensor, Tensor],
        cache: KVCache | None = None,
    ) -> Tensor:
        """What the head needs to draw the token at each target position, (B, S, C)."""
        if self.target_code is not None:
            x_BSC = x_BSC + self.target_code(target_BS)
        return self.backbone(x_BSC, *text, positions_BT=content_BS, cache=cache)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error on the kept tokens (papers/003 eq. 2 on the shortened sequence)."""
        frames = batch.latents_BTD.shape[1]
        kept = max(frames - round(self._ratio(shared) * frames), 1)
        positions = rng.permutation(frames)[:, :kept].sort(dim=1).values
        tokens = batch.latents_BTD.gather(1, positions[..., None].expand(-1, -1, batch.latents_BTD.shape[-1]))
        inputs = torch.cat([self.start.expand(len(tokens), 1, -1), self.inputs(tokens[:, :-1])], dim=1)
        target = positions + 1
        content = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
        z = self.context(inputs, content, target, self.encode_text(batch.conditions))
        return Loss.from_items(self.head.loss(tokens, z, rng))

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D), one position after the other with a static KV cache."""
        batch, guided = len(conditions), sampler.guidance != 1
        text = self.encode_text(conditions.with_null() if guided else conditions)
        prefix = text[0].shape[1] if self.backbone_config.text == "prefix" else 0
        rows = len(text[0])
        cache = KVCache(self.backbone_config, rows, frames + prefix, self.start.device, self.start.dtype)
        latents = torch.empty(batch, frames, self.latent.dim, device=self.start.device)
        x_BSC = self.start.expand(rows, 1, -1)
        for i in range(frames):
            content = torch.full((rows, 1), i, device=self.start.device)
            z = self.context(x_BSC, content, content + 1, text, cache)
            scale = scale_at(sampler.guidance_schedule, sampler.guidance, i / max(frames - 1, 1))
            token = self.head.sample(z, sampler, scale, rng)
            latents[:, i] = token[:, 0]
            x_BSC = self.inputs(torch.cat([token, token]) if guided else token)
        return latents

    def _target_table(self) -> nn.Embedding:
        """Learned codes of target positions (papers/003 section 3.2), as strong at first as sinusoids are."""
        table = nn.Embedding(self.backbone_config.max_positions, self.backbone_config.d_model)
        nn.init.normal_(table.weight, std=math.sqrt(0.5))
        return table

    def _ratio(self, shared: ItemRNG) -> float:
        if self.options.drop == "none":
            return 0.0
        return mntp_ratio(shared) if self.options.drop == "mixture" else MAR_RATIO.draw(shared)


class NTP(MNTP):
    """Next-token prediction with a diffusion head (AudioNTP)."""

    name = "ntp"
    options_class = NTPOptions
