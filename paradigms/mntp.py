"""Masked next-token prediction over continuous latents, and plain next-token prediction (papers/003 section 3).

A causal backbone reads a shorter sequence, from which a random share of the tokens was dropped, and learns to draw the
next token that is left from a diffusion head. Since that may be any later position, each input carries two position
codes: where it stands (content) and which position is to be predicted (target). At inference nothing is dropped and the
target is the content position plus one. ``ntp`` is the setting that drops nothing and needs no target code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbones import BackboneConfig, KVCache, TextMemory
from backbones.cost import Phase, linear
from backbones.linear import Linear
from backbones.transformer import truncated_normal_
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import Schedule, scale_at
from paradigms.heads import DiffusionHead, HeadOptions, HeadSampler
from paradigms.masks import MAR_RATIO, mntp_ratio
from paradigms.session import Session
from representations.base import LatentSpec
from representations.text import TextSpec

NOISE_AHEAD = 64
"""Positions whose noise is drawn at once."""


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
    streams = True
    options: MNTPOptions

    def __init__(self, options: MNTPOptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        width = self.backbone_config.d_model
        self.inputs = Linear(latent.dim, width)
        self.start = nn.Parameter(torch.empty(width))
        truncated_normal_(self.start, 0.02)
        self.target_code = self._target_table() if options.target_positions else None
        self.head = DiffusionHead(options.head, latent.dim, width)

    def context(
        self,
        x_BSC: Tensor,
        content_BS: Tensor,
        target_BS: Tensor,
        text: TextMemory,
        cache: KVCache | None = None,
    ) -> Tensor:
        """What the head needs to draw the token at each target position, (B, S, C)."""
        if self.target_code is not None:
            x_BSC = x_BSC + self.target_code(target_BS)
        return self.backbone(x_BSC, text, positions_BT=content_BS, cache=cache)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error on the kept tokens (papers/003 eq. 2 on the shortened sequence)."""
        frames = batch.latents_BTD.shape[1]
        kept = max(frames - round(self._ratio(shared) * frames), 1)
        positions = rng.permutation(frames)[:, :kept].sort(dim=1).values
        tokens = batch.latents_BTD.gather(1, positions[..., None].expand(-1, -1, batch.latents_BTD.shape[-1]))
        inputs = torch.cat([self.start.expand(len(tokens), 1, -1), self.inputs(tokens[:, :-1])], dim=1)
        target = positions + 1
        content = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)
        z = self.context(inputs, content, target, self.read_text(batch.conditions))
        return Loss.from_items(self.head.loss(tokens, z, rng))

    @torch.no_grad()
    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Latents (B, chunk, D), one position after the other with a static KV cache."""
        text = self.read_text(conditions, guided=sampler.guidance != 1)
        shape = ("mntp", len(conditions), frames, sampler, text.shape())
        drawing = self.session(shape, lambda: Drawing(self, text, len(conditions), frames, sampler))
        drawing.start(text)
        sent = 0
        for done in range(1, frames + 1):
            drawing.advance(rng)
            if done == frames or done - sent == chunk:
                yield drawing.latents[:, sent:done].clone()
                sent = done

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per position one pass over a growing cache and the head's loop."""
        guided, prefix = sampler.guidance != 1, text_tokens if self.backbone_config.text == "prefix" else 0
        count, rows = self.backbone_cost(element_size), batch * (1 + guided)
        phases = [self.text_cost(rows if prefix else batch, text_tokens, element_size)]
        if prefix:
            phases.append(Phase("prefix", 1, *count.run(rows, prefix, prefix, batch, prefix, cached=True)))
        inputs = linear(batch, self.latent.dim, self.inputs.out_features)
        weights = element_size * (self.latent.dim + 1) * self.inputs.out_features
        for step in range(1, frames + 1):
            flops, moved = count.run(rows, 1, prefix + step, batch, text_tokens, cached=True)
            phases.append(Phase("step", 1, flops + inputs, moved + weights))
        return phases + self.head.cost(batch, frames, guided, sampler.diffusion_steps, element_size)

    def _target_table(self) -> nn.Embedding:
        """Learned codes of target positions (papers/003 section 3.2), as strong at first as sinusoids are."""
        table = nn.Embedding(self.backbone_config.max_positions, self.backbone_config.d_model)
        nn.init.normal_(table.weight, std=math.sqrt(0.5))
        return table

    def _ratio(self, shared: ItemRNG) -> float:
        if self.options.drop == "none":
            return 0.0
        return mntp_ratio(shared) if self.options.drop == "mixture" else MAR_RATIO.draw(shared)


class Drawing(Session):
    """Buffers of position-by-position drawing: what is drawn, noise for the next positions, the KV cache, the text."""

    def __init__(self, model: MNTP, text: TextMemory, batch: int, frames: int, sampler: MNTPSampler) -> None:
        start, dim, self.guided = model.start, model.latent.dim, sampler.guidance != 1
        self.model, self.text, self.sampler = model, text, sampler
        rows = batch * (1 + self.guided)
        self.cache = KVCache(model.backbone_config, rows, frames + text.prefix_length, start.device, start.dtype)
        super().__init__(start.device, self.cache.cursor)
        self.latents = torch.zeros(batch, frames, dim, device=start.device)
        self.noise_nSBD = torch.zeros(NOISE_AHEAD, sampler.diffusion_steps + 1, batch, dim, device=start.device)
        progress = [i / max(frames - 1, 1) for i in range(frames)]
        scales = [scale_at(sampler.guidance_schedule, sampler.guidance, p) for p in progress]
        self.scales = torch.tensor(scales, device=start.device)

    def start(self, text: TextMemory) -> None:
        """Make ready for new clips."""
        if text is not self.text:
            self.text.copy_(text)
        self.cache.reset()
        self.model.backbone.prefill(self.text, self.cache)

    def advance(self, rng: ItemRNG) -> None:
        """Draw the token at the next position."""
        position = self.cache.live - self.text.prefix_length
        if position % NOISE_AHEAD == 0:
            ahead = min(NOISE_AHEAD, self.latents.shape[1] - position)
            noise_BnSD = rng.normal(ahead, *self.noise_nSBD.shape[1::2])
            self.noise_nSBD[:ahead].copy_(noise_BnSD.permute(1, 2, 0, 3))
        self.run(self.cache.window(1), self._step)
        self.cache.live += 1

    def _step(self) -> None:
        cursor, model = self.cache.cursor, self.model
        at = cursor - self.text.prefix_length
        last = model.inputs(self.latents.index_select(1, (at - 1).clamp(min=0)).to(model.start.dtype))
        x_B1C = torch.where(at == 0, model.start, last).repeat(1 + self.guided, 1, 1)
        content = at.expand(len(x_B1C), 1)
        z_RC = model.context(x_B1C, content, content + 1, self.text, self.cache)[:, 0]
        noise_SBD = self.noise_nSBD.index_select(0, at % NOISE_AHEAD)[0]
        token_BD = model.head.sample(z_RC, noise_SBD, self.sampler, self.scales.index_select(0, at))
        self.latents.index_copy_(1, at, token_BD[:, None])
        cursor.add_(1)


class NTP(MNTP):
    """Next-token prediction with a diffusion head (AudioNTP)."""

    name = "ntp"
    options_class = NTPOptions
