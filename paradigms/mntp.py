"""Masked next-token prediction over continuous latents, and plain next-token prediction (papers/003 section 3).

A causal backbone reads a shorter sequence, from which a random share of the tokens was dropped, and learns to draw the
next token that is left from a diffusion head. Since that may be any later position, each input carries two position
codes: where it stands (content) and which position is to be predicted (target). At inference nothing is dropped and the
target is the content position plus one. ``ntp`` is the setting that drops nothing and needs no target code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbones import BackboneConfig, KVCache, TextMemory
from backbones.cost import Phase, linear
from backbones.linear import Linear
from backbones.transformer import truncated_normal_
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.guidance import Schedule, scale_at
from paradigms.heads import HeadOptions, HeadSampler, token_head
from paradigms.infill import context_first
from paradigms.masks import MAR_RATIO, MNTP_HIGH, MNTP_LOW, mntp_ratio, picked
from paradigms.session import Session
from paradigms.trial import ByHeart, Trial
from representations.base import LatentSpec
from representations.controls import ControlSpec
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
    inpaints = True
    predictor = "head.outputs"
    trial = Trial(
        options={"head": {"width": 32, "depth": 2, "repeats": 2}},
        sampler={"diffusion_steps": 8, "guidance": 2.0},
        by_heart=ByHeart(
            options={"head": {"width": 64, "depth": 2, "repeats": 16}},
            backbone={"positions": "learned", "max_positions": 32},
            sampler={"diffusion_steps": 25},
        ),
    )
    options: MNTPOptions

    def __init__(
        self,
        options: MNTPOptions,
        backbone: BackboneConfig,
        latent: LatentSpec,
        text: TextSpec,
        controls: Sequence[ControlSpec] = (),
    ) -> None:
        super().__init__(options, backbone, latent, text, controls)
        width = self.backbone_config.d_model
        self.inputs = Linear(latent.dim, width)
        self.start = nn.Parameter(torch.empty(width))
        truncated_normal_(self.start, 0.02)
        self.target_code = self._target_table() if options.target_positions else None
        self.head = token_head(options.head, latent.dim, width)

    def context(
        self,
        x_BSC: Tensor,
        content_BS: Tensor,
        target_BS: Tensor,
        text: TextMemory,
        cache: KVCache | None = None,
        controls_BTC: Tensor | None = None,
    ) -> Tensor:
        """What the head needs to draw the token at each target position, (B, S, C).

        Args:
            controls_BTC: of every frame; each input is given those of the frame that it is to predict.
        """
        if self.target_code is not None:
            x_BSC = x_BSC + self.target_code(target_BS)
        if controls_BTC is not None:
            x_BSC = x_BSC + picked(controls_BTC, target_BS - 1)
        return self.backbone(x_BSC, text, positions_BT=content_BS, cache=cache)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error on the kept tokens (papers/003 eq. 2 on the shortened sequence).

        Inpainting: nothing is dropped, and the known tokens come first, in time's order both.
        """
        latents = batch.latents_BTD
        frames = latents.shape[1]
        if batch.known_BT is None:
            kept = max(frames - round(self._ratio(shared) * frames), 1)
            positions = rng.permutation(frames)[:, :kept].sort(dim=1).values
        else:
            self._check_targets()
            positions = context_first(batch.known_BT)
        tokens = picked(latents, positions)
        text, controls = self.read_text(batch.conditions), self.read_controls(batch.conditions, frames)
        z = self.context(*self._put(tokens, positions), text, controls_BTC=controls)
        return Loss.from_items(self.head.loss(tokens, z, rng))

    def _put(self, tokens_BSD: Tensor, positions_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, content and target positions that predict ``tokens`` one after the other, from the start token on."""
        inputs = torch.cat([self.start.expand(len(tokens_BSD), 1, -1), self.inputs(tokens_BSD[:, :-1])], dim=1)
        target = positions_BS + 1
        return inputs, torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1), target

    def _check_targets(self) -> None:
        if self.target_code is None:
            raise UserError(f"{self.name}: inpainting needs target_positions: true, to know which position comes next")

    @torch.no_grad()
    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Latents (B, chunk, D), one position after the other with a static KV cache."""
        nothing = torch.zeros(len(conditions), frames, self.latent.dim, device=self.start.device)
        order_BT = torch.arange(frames, device=self.start.device).expand(len(conditions), -1)
        drawing = self._drawing(conditions, nothing, order_BT, 0, sampler)
        sent = 0
        for done in range(1, frames + 1):
            drawing.advance(rng)
            if done == frames or done - sent == chunk:
                yield drawing.latents[:, sent:done].clone()
                sent = done

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known, which is read at once before the span is drawn."""
        self._check_targets()
        known = int(known_BT[0].sum())
        drawing = self._drawing(conditions, target, context_first(known_BT), known, sampler)
        for _ in range(known, target.shape[1]):
            drawing.advance(rng)
        return drawing.latents.clone()

    def _drawing(
        self, conditions: Conditions, latents: Tensor, order_BT: Tensor, known: int, sampler: MNTPSampler
    ) -> Drawing:
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, latents.shape[1], sampler.branches)
        shape = ("mntp", latents.shape, known, sampler, text.shape(), controls is None)
        drawing: Drawing = self.session(shape, lambda: Drawing(self, text, latents.shape, known, sampler))
        drawing.condition(text, controls)
        drawing.start(latents, order_BT)
        return drawing

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per position one pass over a growing cache and the head's loop."""
        prefix = text_tokens if self.backbone_config.text == "prefix" else 0
        count, rows, read = (
            self.backbone_cost(element_size),
            batch * sampler.branches,
            batch * max(1, sampler.branches - 1),
        )
        phases = [self.text_cost(rows if prefix else read, text_tokens, element_size)]
        if prefix:
            phases.append(Phase("prefix", 1, *count.run(rows, prefix, prefix, read, prefix, cached=True)))
        inputs = linear(batch, self.latent.dim, self.inputs.out_features)
        weights = element_size * (self.latent.dim + 1) * self.inputs.out_features
        for step in range(1, frames + 1):
            flops, moved = count.run(rows, 1, prefix + step, read, text_tokens, cached=True)
            phases.append(Phase("step", 1, flops + inputs, moved + weights))
        return phases + self.head.cost(batch, frames, sampler, element_size)

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """Backbone and head on what is kept; inpainting drops nothing."""
        ratios = [0.0] if hidden else self._ratios()
        cost = 0.0
        for ratio in ratios:
            kept = max(frames - round(ratio * frames), 1)
            inputs = linear(batch * (kept - 1), self.latent.dim, self.inputs.out_features)
            passed = self.pass_cost(batch, kept, text_tokens) + self.head.forward_cost(batch * kept)
            cost += (inputs + passed) / len(ratios)
        return cost

    def _target_table(self) -> nn.Embedding:
        """Learned codes of target positions (papers/003 section 3.2), as strong at first as sinusoids are."""
        table = nn.Embedding(self.backbone_config.max_positions, self.backbone_config.d_model)
        nn.init.normal_(table.weight, std=math.sqrt(0.5))
        return table

    def _ratio(self, shared: ItemRNG) -> float:
        if self.options.drop == "none":
            return 0.0
        return mntp_ratio(shared) if self.options.drop == "mixture" else MAR_RATIO.draw(shared)

    def _ratios(self) -> list[float]:
        """Ratios that stand for all that ``_ratio`` draws, equally likely."""
        if self.options.drop == "none":
            return [0.0]
        both = (MNTP_HIGH, MNTP_LOW) if self.options.drop == "mixture" else (MAR_RATIO,)
        return [ratio for part in both for ratio in part.quantiles()]


class Drawing(Session):
    """Buffers of position-by-position drawing: the clips, in which order they are drawn, noise, the KV cache.

    Args:
        shape: of the clips, (B, T, D).
        known: how many positions, the first of the order, are given; they are read at once.
    """

    def __init__(self, model: MNTP, text: TextMemory, shape: Sequence[int], known: int, sampler: MNTPSampler) -> None:
        start, (batch, frames, dim) = model.start, shape
        self.model, self.sampler, self.known = model, sampler, known
        rows, capacity = batch * sampler.branches, frames + text.prefix_length
        self.cache = KVCache(model.backbone_config, rows, capacity, start.device, start.dtype)
        super().__init__(start.device, self.cache.cursor)
        self.latents = torch.zeros(batch, frames, dim, device=start.device)
        self.order_BT = torch.zeros(batch, frames, dtype=torch.int64, device=start.device)
        self.noise_nSBD = torch.zeros(NOISE_AHEAD, model.head.draws(sampler), batch, dim, device=start.device)
        progress = [i / max(frames - 1, 1) for i in range(frames)]
        scales = [scale_at(sampler.guidance_schedule, sampler.guidance, p) for p in progress]
        self.scales = torch.tensor(scales, device=start.device)

    def start(self, latents: Tensor, order_BT: Tensor) -> None:
        """Make ready for new clips."""
        self.latents.copy_(latents)
        self.order_BT.copy_(order_BT)
        self.cache.reset()
        self.model.backbone.prefill(self.text, self.cache)
        if self.known:
            given = self.order_BT[:, : self.known]
            tokens = picked(self.latents, given)
            self._context(*self.model._put(tokens.to(self.model.start.dtype), given))
            self.cache.advance(self.known)

    def advance(self, rng: ItemRNG) -> None:
        """Draw the token at the next position."""
        drawn = self.cache.live - self.text.prefix_length - self.known
        if drawn % NOISE_AHEAD == 0:
            ahead = min(NOISE_AHEAD, self.latents.shape[1] - self.known - drawn)
            noise_BnSD = rng.normal(ahead, *self.noise_nSBD.shape[1::2])
            self.noise_nSBD[:ahead].copy_(noise_BnSD.permute(1, 2, 0, 3))
        self.run(self.cache.window(1), self._step)
        self.cache.live += 1

    def _step(self) -> None:
        cursor, model, dim = self.cache.cursor, self.model, self.latents.shape[-1]
        at = cursor - self.text.prefix_length
        here_B1 = self.order_BT.index_select(1, at)
        before_B1 = self.order_BT.index_select(1, (at - 1).clamp(min=0))
        last = model.inputs(self.latents.gather(1, before_B1[..., None].expand(-1, -1, dim)).to(model.start.dtype))
        x_B1C = torch.where(at == 0, model.start, last)
        z_RC = self._context(x_B1C, torch.where(at == 0, 0, before_B1 + 1), here_B1 + 1)[:, 0]
        noise_SBD = self.noise_nSBD.index_select(0, (at - self.known) % NOISE_AHEAD)[0]
        token_BD = model.head.sample(z_RC, noise_SBD, self.sampler, self.scales.index_select(0, at))
        self.latents.scatter_(1, here_B1[..., None].expand(-1, -1, dim), token_BD[:, None])
        cursor.add_(1)

    def _context(self, *inputs: Tensor) -> Tensor:
        """The backbone's output for all branches."""
        x_BSC, content_BS, target_BS = (
            tensor.repeat(self.sampler.branches, *[1] * (tensor.dim() - 1)) for tensor in inputs
        )
        return self.model.context(x_BSC, content_BS, target_BS, self.text, self.cache, self.controls)


class NTP(MNTP):
    """Next-token prediction with a diffusion head (AudioNTP)."""

    name = "ntp"
    options_class = NTPOptions
    inpaints = False  # without target positions nothing says where a span begins
    trial = dataclasses.replace(
        MNTP.trial, by_heart=dataclasses.replace(MNTP.trial.by_heart, updates=150, copies=2, backbone={})
    )
