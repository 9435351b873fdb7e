"""Masked autoregressive modelling of continuous latents with a per-token diffusion head (MAR: Li et al. 2024; as audio:
papers/003 AudioMAR, papers/004 IMPACT).

Training masks a random share of the tokens and learns to draw them from the diffusion head, given the backbone's
bidirectional view of the rest. Sampling starts from nothing and reveals tokens in random order over a few iterations,
their number following a cosine. With ``mae`` (the papers' form) the first half of the blocks sees the kept tokens only
and the second half sees everything, mask embeddings filled in; without it all blocks see everything. Buffer tokens,
and text that is a prefix, go through both halves (papers/004 eqs. 7 and 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import BackboneConfig
from ..backbones.cache import TextMemory
from ..backbones.cost import Phase, linear
from ..backbones.linear import Linear
from ..backbones.transformer import truncated_normal_
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from ..representations.base import LatentSpec
from ..representations.latents.controls import ControlSpec
from ..representations.text.encoders import TextSpec
from .base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from .guidance import Schedule, scale_at
from .heads import HeadOptions, HeadSampler, token_head
from .masks import (
    MAR_RATIO,
    Order,
    TruncatedNormal,
    cosine_counts,
    hidden_count,
    hidden_first,
    index_at,
    picked,
    unmasking_order,
)
from .session import Session
from .trial import ByHeart, Trial


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
    """Settings of the head, and how tokens are unmasked. Guidance rises linearly, as in MAR.

    Attributes:
        iterations: passes in which all tokens are unmasked.
        order: in which they are: ``random`` (MAR), or ``causal``, from left to right (papers/003, table 6 C and D).
    """

    iterations: int = 64
    order: Order = later("random")  # noqa: RUF009
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
    inpaints = True
    predictor = "head.outputs"
    leaves_parameters_unused = False
    trial = Trial(
        options={"buffer_tokens": 3, "head": {"width": 32, "depth": 2, "repeats": 2}},
        sampler={"iterations": 4, "diffusion_steps": 8, "guidance": 2.0},
        by_heart=ByHeart(
            updates=300,
            copies=2,
            options={"head": {"width": 64, "depth": 2, "repeats": 16}, "buffer_tokens": 4},
            sampler={"diffusion_steps": 25, "iterations": 8},
        ),
    )
    options: MAROptions

    def __init__(
        self,
        options: MAROptions,
        backbone: BackboneConfig,
        latent: LatentSpec,
        text: TextSpec,
        controls: Sequence[ControlSpec] = (),
    ) -> None:
        super().__init__(options, backbone, latent, text, controls)
        if options.mae and backbone.skips:
            raise UserError("mar: U-Net skips need blocks that all see the whole sequence; set mae or skips to false")
        width = self.backbone_config.d_model
        self.inputs = Linear(latent.dim, width)
        self.buffer = nn.Parameter(torch.empty(options.buffer_tokens, width))
        self.mask_embedding = nn.Parameter(torch.empty(width))
        truncated_normal_(self.buffer, 0.02)
        truncated_normal_(self.mask_embedding, 0.02)
        self.head = token_head(options.head, latent.dim, width)

    def context(
        self,
        latents_BTD: Tensor,
        order_BT: Tensor,
        masked: int,
        text: TextMemory,
        controls_BTC: Tensor | None = None,
    ) -> Tensor:
        """The backbone's output at every position, (B, T, C).

        Args:
            order_BT: a permutation of the positions per row; the first ``masked`` of them are masked.
        """
        x_BTC = self.inputs(latents_BTD)
        x_BTC = x_BTC if controls_BTC is None else x_BTC + controls_BTC
        hidden, kept = order_BT[:, :masked], order_BT[:, masked:]
        layers, half = self.backbone_config.n_layers, self.backbone_config.n_layers // 2
        if self.options.mae:
            encoded, text = self._blocks(picked(x_BTC, kept), kept, 0, half, text)
            buffer, tokens = encoded[:, : len(self.buffer)], encoded[:, len(self.buffer) :]
            whole = torch.zeros_like(x_BTC, dtype=tokens.dtype).scatter(1, index_at(kept, x_BTC), tokens)
            h_BTC, _ = self._blocks(self._fill(whole, hidden, controls_BTC), None, half, layers, text, buffer)
        else:
            h_BTC, _ = self._blocks(self._fill(x_BTC, hidden, controls_BTC), None, 0, layers, text)
        return self.backbone.norm_out(h_BTC)[:, len(self.buffer) :]

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error of the diffusion head on the masked tokens (papers/004 eq. 2, averaged).

        Inpainting: only tokens of the hidden span are masked, by the same ratios.
        """
        frames = batch.latents_BTD.shape[1]
        masked = max(round(self.options.ratio.draw(shared) * batch.hidden_frames), 1)
        order_BT = hidden_first(rng.permutation(frames), batch.known_BT)
        text, controls = self.read_text(batch.conditions), self.read_controls(batch.conditions, frames)
        z_BTC = self.context(batch.latents_BTD, order_BT, masked, text, controls)
        hidden = order_BT[:, :masked]
        return Loss.from_items(self.head.loss(picked(batch.latents_BTD, hidden), picked(z_BTC, hidden), rng))

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D), every position drawn exactly once."""
        nothing = torch.zeros(len(conditions), frames, self.latent.dim, device=self.buffer.device)
        return self._unmask(nothing, None, conditions, sampler, rng)

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known: sampling that starts with those tokens revealed."""
        return self._unmask(target, known_BT, conditions, sampler, rng)

    def _unmask(
        self, latents: Tensor, known_BT: Tensor | None, conditions: Conditions, sampler: MARSampler, rng: ItemRNG
    ) -> Tensor:
        batch, frames, _ = latents.shape
        hidden = hidden_count(known_BT, frames)
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, frames, sampler.branches)
        shape = ("mar", latents.shape, hidden, sampler, text.shape(), controls is None)
        unmasking: Unmasking = self.session(shape, lambda: Unmasking(self, batch, frames, hidden, sampler))
        unmasking.condition(text, controls)
        unmasking.start(latents, hidden_first(unmasking_order(sampler.order, rng, frames), known_BT))
        for iteration in range(len(unmasking.counts)):
            unmasking.reveal(iteration, rng)
        return unmasking.latents.clone()

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per iteration a pass over what is kept, one over everything, and the head's loop."""
        read, prefix = batch * max(1, sampler.branches - 1), self.backbone_config.text == "prefix"
        count, rows, layers = self.backbone_cost(element_size), batch * sampler.branches, self.backbone_config.n_layers
        before = len(self.buffer) + (text_tokens if prefix else 0)
        encoder = layers // 2 if self.options.mae else 0
        inputs = linear(rows * frames, self.latent.dim, self.inputs.out_features)
        weights = element_size * (self.latent.dim + 1) * self.inputs.out_features
        phases = [self.text_cost(rows if prefix else read, text_tokens, element_size)]
        masked = frames
        for remaining in cosine_counts(frames, sampler.iterations):
            kept, whole = before + frames - masked, before + frames
            first = count.run(rows, kept, kept, read, text_tokens, layers=encoder)
            second = count.run(rows, whole, whole, read, text_tokens, layers=layers - encoder)
            phases.append(Phase("step", 1, first[0] + second[0] + inputs, first[1] + second[1] + weights))
            drawn = batch * (masked - remaining)
            phases += self.head.cost(drawn, 1, sampler, element_size)
            masked = remaining
        return phases

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """The encoder over what is kept, the decoder over everything, the head on what is masked."""
        layers, before = self.backbone_config.n_layers, len(self.buffer)
        encoder = layers // 2 if self.options.mae else 0
        cost = 0.0 + linear(batch * frames, self.latent.dim, self.inputs.out_features)
        cost += self.pass_cost(batch, before + frames, text_tokens, layers - encoder)
        ratios = self.options.ratio.quantiles()
        for ratio in ratios:
            masked = max(round(ratio * (hidden or frames)), 1)
            kept = self.pass_cost(batch, before + frames - masked, text_tokens, encoder)
            cost += (kept + self.head.forward_cost(batch * masked)) / len(ratios)
        return cost

    def _fill(self, x_BTC: Tensor, hidden: Tensor, controls_BTC: Tensor | None) -> Tensor:
        """Put the mask embedding at the hidden positions, with their controls."""
        index = index_at(hidden, x_BTC)
        masks = self.mask_embedding.to(x_BTC.dtype).expand(index.shape)
        if controls_BTC is not None:
            masks = masks + controls_BTC.to(x_BTC.dtype).gather(1, index)
        return x_BTC.scatter(1, index, masks)

    def _blocks(
        self,
        x_BTC: Tensor,
        positions: Tensor | None,
        start: int,
        stop: int,
        text: TextMemory,
        buffer: Tensor | None = None,
    ) -> tuple[Tensor, TextMemory]:
        """Blocks ``start`` to ``stop`` over [buffer, x], and the text after them.

        Token i stands at position n_buffer + i.
        """
        n_buffer = len(self.buffer)
        if positions is None:
            positions = torch.arange(x_BTC.shape[1], device=x_BTC.device).expand(len(x_BTC), -1)
        before = torch.arange(n_buffer, device=x_BTC.device).expand(len(x_BTC), -1)
        positions = torch.cat([before, positions + n_buffer], dim=1)
        buffer = self.buffer.expand(len(x_BTC), -1, -1) if buffer is None else buffer
        h = self.backbone.embed(torch.cat([buffer, x_BTC], dim=1), positions_BT=positions)
        h, read = self.backbone.run(h, start, stop, text, positions_BT=positions)
        return h, read or text


class Unmasking(Session):
    """Buffers of the unmasking iterations. How many tokens each reveals is known beforehand, so its shapes are too."""

    def __init__(self, model: MAR, batch: int, frames: int, hidden: int, sampler: MARSampler) -> None:
        device = model.buffer.device
        super().__init__(device)
        self.model, self.sampler = model, sampler
        self.counts = cosine_counts(hidden, sampler.iterations)
        self.before = [hidden, *self.counts[:-1]]
        self.order_BT = torch.zeros(batch, frames, dtype=torch.int64, device=device)
        self.latents = torch.zeros(batch, frames, model.latent.dim, device=device)
        schedule, scale, count = sampler.guidance_schedule, sampler.guidance, len(self.counts)
        scales = [scale_at(schedule, scale, 1 - left / frames, t / count) for t, left in enumerate(self.counts, 1)]
        self.scales = torch.tensor(scales, device=device)
        most = max(before - after for before, after in zip(self.before, self.counts))
        self.noise = torch.zeros(model.head.draws(sampler) * batch * most * model.latent.dim, device=device)

    def start(self, latents: Tensor, order_BT: Tensor) -> None:
        """Make ready for new clips."""
        self.order_BT.copy_(order_BT)
        self.latents.copy_(latents)

    def reveal(self, iteration: int, rng: ItemRNG) -> None:
        """Draw this iteration's tokens."""
        tokens = self.before[iteration] - self.counts[iteration]
        noise_SBnD = rng.normal(self.model.head.draws(self.sampler), tokens, self.latents.shape[-1]).transpose(0, 1)
        held = self.noise[: noise_SBnD.numel()].view(noise_SBnD.shape)
        held.copy_(noise_SBnD)
        self.run(iteration, lambda: self._reveal(iteration, held))

    def _reveal(self, iteration: int, noise_SBnD: Tensor) -> None:
        masked, remaining = self.before[iteration], self.counts[iteration]
        branches = self.sampler.branches
        latents = self.latents.to(self.model.buffer.dtype).repeat(branches, 1, 1)
        order = self.order_BT.repeat(branches, 1)
        z_BTC = self.model.context(latents, order, masked, self.text, self.controls)
        z_RC = picked(z_BTC, order[:, remaining:masked]).flatten(0, 1)
        tokens = self.model.head.sample(z_RC, noise_SBnD.flatten(1, 2), self.sampler, self.scales[iteration])
        reveal = self.order_BT[:, remaining:masked]
        self.latents.scatter_(1, index_at(reveal, self.latents), tokens.view(noise_SBnD.shape[1:]))
