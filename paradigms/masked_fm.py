"""Masked flow matching: draw a clip in a few passes, all masked frames of a pass at once (MaskAudioFlow, papers/001).

Training masks spans of frames and learns to draw them by flow matching, given the backbone's bidirectional view of the
rest; the loss is on masked frames only. The flow head is a small transformer over all frames of the clip, the masked
ones noisy and the others clean, modulated by the time (AdaLN), so that frames drawn in one pass fit each other. As the
ablation the head may be the per-token network of ``heads``, which draws each frame by itself.

Sampling (algorithm 1) starts with every span masked. Of s passes, pass i = 0..s-1 masks as many spans as pass i - 1
left, floor(n cos(pi i / 2s)) (published inconsistency X32) and none after the last (X34), and integrates the flow from
noise at t = 0 to data at t = 1 (X36). Two readings of "mask out generation and re-predict":

    keep        what a pass reveals stays, so that masks are nested, as in mar (X35)
    re-predict  each pass masks spans anew among all of them, and draws what it masks once more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
from .flow_transformer import FlowTransformer
from .guidance import Schedule, scale_at
from .heads import FlowHead, FlowSampler, HeadOptions
from .masks import Order, cosine_counts, hidden_count, hidden_first, index_at, picked, span_order, unmasking_order
from .ode import ODESettings
from .session import Session
from .trial import ByHeart, Trial

RATIOS = 64
"""Mask ratios over which an update's cost is averaged."""


@dataclass(frozen=True)
class FlowHeadOptions:
    """The head: a ``transformer`` over the clip, or the per-token ``mlp``.

    Attributes:
        width: hidden width; None: the backbone's.
        depth: blocks.
        repeats: times drawn per clip (transformer) or per token (mlp) and update; the backbone runs once for all.
    """

    kind: Literal["transformer", "mlp"] = "transformer"
    width: int | None = None
    depth: int = 4
    repeats: int = 1


@dataclass(frozen=True)
class MaskedFMOptions(ParadigmOptions):
    """Options of masked flow matching.

    Attributes:
        span: frames that are masked and revealed together.
        ratio: lowest and highest share of the spans that training masks; drawn uniformly, once per batch.
    """

    span: int = 4
    ratio: tuple[float, ...] = (0.5, 0.7)
    head: FlowHeadOptions = field(default_factory=FlowHeadOptions)

    def __post_init__(self) -> None:
        if self.span < 1:
            raise UserError(f"masked_fm: span must be 1 frame or more, not {self.span}")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1] <= 1:
            raise UserError(f"masked_fm: ratio must be [lowest, highest] within 0 to 1, not {list(self.ratio)}")


@dataclass(frozen=True)
class MaskedFMSampler(ODESettings, FlowSampler):
    """Passes, the solver of each, and guidance.

    Attributes:
        steps: of the solver, in every pass.
        iterations: passes s.
        repredict: the second reading of the module's docstring; else the first.
        order: in which spans are drawn: ``random``, or ``causal``, from left to right (papers/001, section 3.4).
        temperature: scale of the noise that a pass starts from.
    """

    steps: int = 25
    iterations: int = 8
    repredict: bool = False
    order: Order = later("random")  # noqa: RUF009
    temperature: float = 1.0
    guidance_schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise UserError(f"masked_fm sampler: iterations must be 1 or more, not {self.iterations}")
        if self.temperature < 0:
            raise UserError(f"masked_fm sampler: temperature must be 0 or more, not {self.temperature}")
        if self.solver == "dopri5":
            raise UserError("masked_fm sampler: dopri5 cannot be captured; set solver to euler, midpoint or heun")

    @property
    def ode(self) -> ODESettings:
        """The solver alone."""
        return ODESettings(self.solver, self.steps, self.tolerance)


class MaskedFM(Paradigm):
    """Span-masked prediction with a flow head."""

    name = "masked_fm"
    view = "latents"
    options_class = MaskedFMOptions
    sampler_class = MaskedFMSampler
    backbone_needs = {"causal": False, "time": "none"}  # noqa: RUF012
    inpaints = True
    predictor = "head.outputs"
    leaves_parameters_unused = False
    trial = Trial(
        options={"head": {"depth": 2}},
        sampler={"iterations": 3, "steps": 4, "guidance": 2.0},
        by_heart=ByHeart(copies=16, options={"ratio": [0.5, 1.0]}, sampler={"steps": 30, "iterations": 4}),
    )
    options: MaskedFMOptions

    def __init__(
        self,
        options: MaskedFMOptions,
        backbone: BackboneConfig,
        latent: LatentSpec,
        text: TextSpec,
        controls: Sequence[ControlSpec] = (),
    ) -> None:
        super().__init__(options, backbone, latent, text, controls)
        width, head = self.backbone_config.d_model, options.head
        self.inputs = Linear(latent.dim, width)
        self.mask_embedding = nn.Parameter(torch.empty(width))
        truncated_normal_(self.mask_embedding, 0.02)
        self.head: FlowTransformer | FlowHead
        if head.kind == "mlp":
            self.head = FlowHead(HeadOptions(head.width or width, head.depth, head.repeats), latent.dim, width)
        else:
            self.head = FlowTransformer(self.backbone_config, latent.dim, head.width or width, head.depth, head.repeats)

    def context(
        self, latents_BTD: Tensor, masked_BM: Tensor, text: TextMemory, controls_BTC: Tensor | None = None
    ) -> Tensor:
        """The backbone's output at every frame, (B, T, C), with the frames ``masked_BM`` hidden from it."""
        x_BTC = self.inputs(latents_BTD)
        index = index_at(masked_BM, x_BTC)
        x_BTC = x_BTC.scatter(1, index, self.mask_embedding.to(x_BTC.dtype).expand(index.shape))
        return self.backbone(x_BTC if controls_BTC is None else x_BTC + controls_BTC, text)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Squared error of the velocity on the masked frames, averaged (papers/001 eq. 4).

        Inpainting: only frames of the hidden span are masked, by the same ratios.
        """
        frames = batch.latents_BTD.shape[1]
        low, high = self.options.ratio
        ratio = low + (high - low) * float(shared.uniform(1))
        order_BT = hidden_first(span_order(rng, frames, self.options.span), batch.known_BT)
        masked_BM = order_BT[:, : masked_frames(ratio, batch.hidden_frames, self.options.span)]
        text, controls = self.read_text(batch.conditions), self.read_controls(batch.conditions, frames)
        z_BTC = self.context(batch.latents_BTD, masked_BM, text, controls)
        if isinstance(self.head, FlowTransformer):
            return Loss.from_items(self.head.loss(batch.latents_BTD, z_BTC, masked_BM, rng))
        return Loss.from_items(self.head.loss(picked(batch.latents_BTD, masked_BM), picked(z_BTC, masked_BM), rng))

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D)."""
        nothing = torch.zeros(len(conditions), frames, self.latent.dim, device=self.mask_embedding.device)
        return self._fill(nothing, None, conditions, sampler, rng)

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known: sampling that never masks those frames."""
        return self._fill(target, known_BT, conditions, sampler, rng)

    def _fill(
        self, latents: Tensor, known_BT: Tensor | None, conditions: Conditions, sampler: MaskedFMSampler, rng: ItemRNG
    ) -> Tensor:
        batch, frames, dim = latents.shape
        hidden = hidden_count(known_BT, frames)
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, frames, sampler.branches)
        shape = ("masked_fm", latents.shape, hidden, sampler, text.shape(), controls is None)
        filling: Filling = self.session(shape, lambda: Filling(self, batch, frames, hidden, sampler))
        filling.condition(text, controls)
        filling.latents.copy_(latents)
        for i in range(len(filling.plan)):
            if i == 0 or sampler.repredict:
                order_BT = unmasking_order(sampler.order, rng, frames, self.options.span)
                filling.order_BT.copy_(hidden_first(order_BT, known_BT))
            filling.noise.copy_(rng.normal(frames, dim))
            filling.advance(i)
        return filling.latents.clone()

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per iteration a pass over everything and the head's integration."""
        read, prefix = batch * max(1, sampler.branches - 1), self.backbone_config.text == "prefix"
        rows, queries = batch * sampler.branches, frames + (text_tokens if prefix else 0)
        flops, moved = self.backbone_cost(element_size).run(rows, queries, queries, read, text_tokens)
        flops += linear(rows * frames, self.latent.dim, self.inputs.out_features)
        moved += element_size * (self.latent.dim + 1) * self.inputs.out_features
        phases = [self.text_cost(rows if prefix else read, text_tokens, element_size)]
        for masked, left in passes(frames, self.options.span, sampler):
            phases.append(Phase("step", 1, flops, moved))
            if isinstance(self.head, FlowTransformer):
                phases += self.head.cost(batch, frames, sampler, element_size)
            else:
                phases += self.head.cost(batch * (masked - left), 1, sampler, element_size)
        return phases

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """Backbone and transformer head over everything, or the per-token head on what is masked."""
        cost = self.pass_cost(batch, frames, text_tokens) + linear(
            batch * frames, self.latent.dim, self.inputs.out_features
        )
        low, high = self.options.ratio
        ratios = [low + (high - low) * (i + 0.5) / RATIOS for i in range(RATIOS)]
        masked = sum(masked_frames(ratio, hidden or frames, self.options.span) for ratio in ratios) / RATIOS
        if isinstance(self.head, FlowTransformer):
            return cost + self.head.forward_cost(batch, frames, masked)
        return cost + self.head.forward_cost(1) * batch * masked


def masked_frames(ratio: float, hidden: int, span: int) -> int:
    """Frames that ``ratio`` of the spans of ``hidden`` frames have; the last span may be a shorter one."""
    return min(max(round(ratio * -(-hidden // span)), 1) * span, hidden)


def passes(hidden: int, span: int, sampler: MaskedFMSampler) -> list[tuple[int, int]]:
    """Of each pass: frames that are masked, and those of them that stay masked after it."""
    left = [count * span for count in cosine_counts(-(-hidden // span), sampler.iterations)]
    before = [hidden, *left[:-1]]
    return list(zip(before, [0] * len(left) if sampler.repredict else left))


class Filling(Session):
    """Buffers of the passes. How many frames each masks is known beforehand, so its shapes are too."""

    def __init__(self, model: MaskedFM, batch: int, frames: int, hidden: int, sampler: MaskedFMSampler) -> None:
        device = model.mask_embedding.device
        super().__init__(device)
        self.model, self.sampler = model, sampler
        self.plan = passes(hidden, model.options.span, sampler)
        self.order_BT = torch.zeros(batch, frames, dtype=torch.int64, device=device)
        self.latents, self.noise = (torch.zeros(batch, frames, model.latent.dim, device=device) for _ in range(2))
        after = [masked for masked, _ in self.plan[1:]] + [0]
        schedule, scale, count = sampler.guidance_schedule, sampler.guidance, len(after)
        self.scales = [scale_at(schedule, scale, 1 - left / frames, i / count) for i, left in enumerate(after, 1)]

    def advance(self, i: int) -> None:
        """Do pass ``i``."""
        self.run(i, lambda: self._pass(*self.plan[i], self.scales[i]))

    def _pass(self, masked: int, left: int, scale: float) -> None:
        head, branches = self.model.head, self.sampler.branches
        masked_BM, drawn_BR = self.order_BT[:, :masked], self.order_BT[:, left:masked]
        latents = self.latents.to(self.model.mask_embedding.dtype).repeat(branches, 1, 1)
        z_BTC = self.model.context(latents, masked_BM.repeat(branches, 1), self.text, self.controls)
        if isinstance(head, FlowTransformer):
            drawn = picked(head.sample(z_BTC, self.latents, masked_BM, self.noise, self.sampler, scale), drawn_BR)
        else:
            z_RC = picked(z_BTC, drawn_BR.repeat(branches, 1)).flatten(0, 1)
            noise_SRD = picked(self.noise, drawn_BR).flatten(0, 1)[None]
            drawn = head.sample(z_RC, noise_SRD, self.sampler, scale).view(*drawn_BR.shape, -1)
        self.latents.scatter_(1, index_at(drawn_BR, drawn), drawn)
