"""Masked flow matching: a few passes, each of which generates all of its masked frames at once (MaskAudioFlow 2025).

Training masks spans of frames and learns to generate them by flow matching, given the backbone's bidirectional view of
the rest; the loss is on masked frames only. The flow head is a small transformer over all frames of the clip, the
masked ones noisy and the others clean, modulated by the time (AdaLN), so that frames of one pass fit each other. As an
ablation the head may be the per-token network of ``heads``, which generates each frame independently.

Sampling (algorithm 1) begins with every span masked. Pass i = 0..s-1 of s masks the spans that pass i - 1 left masked,
floor(n cos(pi i / 2s)) of n (published inconsistency X32), none after the last (X34), and integrates the flow from
noise at t = 0 to data at t = 1 (X36). There are two readings of "mask out generation and re-predict":

    keep        what a pass reveals stays, so that masks are nested, as in mar (X35)
    re-predict  each pass masks spans chosen among all of them, and generates these again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..backbones.cache import TextMemory
from ..backbones.cost import Phase
from ..backbones.linear import Linear
from ..backbones.transformer import truncated_normal_
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .base import Batch, Loss, ParadigmOptions
from .conformance import ConformanceSettings, MemorisationSettings
from .flow_transformer import FlowTransformer
from .guidance import Schedule
from .heads import FlowHead, FlowSampler, HeadOptions
from .masked import MaskedParadigm, Unmasking
from .masks import Order, cosine_counts, hidden_first, index_at, picked, span_order
from .ode import ODESettings

RATIOS = 64
"""Number of mask ratios over which the cost of an update is averaged."""


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
        order: of the spans: ``random``, or ``causal``, from left to right (MaskAudioFlow 2025, section 3.4).
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


class MaskedFM(MaskedParadigm):
    """Span-masked prediction with a flow head."""

    name = "masked_fm"
    options_class = MaskedFMOptions
    sampler_class = MaskedFMSampler
    conformance = ConformanceSettings(
        options={"head": {"depth": 2}},
        sampler={"iterations": 3, "steps": 4, "guidance": 2.0},
        memorisation=MemorisationSettings(
            copies=16, options={"ratio": [0.5, 1.0]}, sampler={"steps": 30, "iterations": 4}
        ),
    )
    options: MaskedFMOptions

    def add_layers(self) -> None:
        """The input layer, the mask embedding and the head."""
        self.span = self.options.span
        width, dim, head = self.backbone_config.d_model, self.latent.dim, self.options.head
        self.inputs = Linear(dim, width)
        self.mask_embedding = nn.Parameter(torch.empty(width))
        truncated_normal_(self.mask_embedding, 0.02)
        self.head: FlowTransformer | FlowHead
        if head.kind == "mlp":
            self.head = FlowHead(HeadOptions(head.width or width, head.depth, head.repeats), dim, width)
        else:
            self.head = FlowTransformer(self.backbone_config, dim, head.width or width, head.depth, head.repeats)

    def context(
        self, latents_BTD: Tensor, masked_BM: Tensor, text: TextMemory, controls_BTC: Tensor | None = None
    ) -> Tensor:
        """The backbone's output at every frame, (B, T, C); at the frames ``masked_BM`` it reads the mask embedding."""
        x_BTC = self.inputs(latents_BTD)
        index = index_at(masked_BM, x_BTC)
        x_BTC = x_BTC.scatter(1, index, self.mask_embedding.to(x_BTC.dtype).expand(index.shape))
        return self.backbone(x_BTC if controls_BTC is None else x_BTC + controls_BTC, text)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Squared error of the velocity, averaged over the masked frames (MaskAudioFlow 2025, eq. 4).

        Where the batch trains inpainting, only frames of the hidden span are masked, by the same ratios.
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

    def unmasking(self, shape: Sequence[int], hidden: int, sampler: MaskedFMSampler) -> MaskedFMUnmasking:
        """Buffers for clips of ``shape`` (B, T, D), of which ``hidden`` frames are to be generated."""
        return MaskedFMUnmasking(self, shape, hidden, sampler)

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text; then per iteration a pass over all frames and the head's integration."""
        rows, text_rows = self.guided_rows(batch, sampler)
        queries = frames + self.prefix_length(text_tokens)
        flops, moved = self.backbone_cost(element_size).run(rows, queries, queries, text_rows, text_tokens)
        inputs, weights = self.inputs.cost(rows * frames, element_size)
        phases = [self.text_cost(text_rows, text_tokens, element_size)]
        for masked, left in passes(frames, self.span, sampler):
            phases.append(Phase("step", 1, flops + inputs, moved + weights))
            if isinstance(self.head, FlowTransformer):
                phases += self.head.cost(batch, frames, sampler, element_size)
            else:
                phases += self.head.cost(batch * (masked - left), 1, sampler, element_size)
        return phases

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """Backbone and transformer head over all frames, or the per-token head on the masked ones."""
        cost = self.pass_cost(batch, frames, text_tokens) + self.inputs.cost(batch * frames)[0]
        low, high = self.options.ratio
        ratios = [low + (high - low) * (i + 0.5) / RATIOS for i in range(RATIOS)]
        masked = sum(masked_frames(ratio, hidden or frames, self.span) for ratio in ratios) / RATIOS
        if isinstance(self.head, FlowTransformer):
            return cost + self.head.forward_cost(batch, frames, masked)
        return cost + self.head.forward_cost(1) * batch * masked


def masked_frames(ratio: float, hidden: int, span: int) -> int:
    """Number of frames in a share ``ratio`` of the spans of ``hidden`` frames; the last span may be shorter."""
    return min(max(round(ratio * -(-hidden // span)), 1) * span, hidden)


def passes(hidden: int, span: int, sampler: MaskedFMSampler) -> list[tuple[int, int]]:
    """Of each pass: how many frames are masked, and how many of these it leaves masked (0 with ``repredict``)."""
    left = [count * span for count in cosine_counts(-(-hidden // span), sampler.iterations)]
    before = [hidden, *left[:-1]]
    return list(zip(before, [0] * len(left) if sampler.repredict else left, strict=True))


class MaskedFMUnmasking(Unmasking):
    """Buffers of the passes, and the noise that one of them starts from.

    Args:
        shape: of the clips, (B, T, D).
        hidden: frames that are to be generated.
    """

    model: MaskedFM
    sampler: MaskedFMSampler

    def __init__(self, model: MaskedFM, shape: Sequence[int], hidden: int, sampler: MaskedFMSampler) -> None:
        super().__init__(model, shape, passes(hidden, model.span, sampler), sampler)
        self.noise = torch.zeros_like(self.latents)

    def reveal(self, i: int, rng: ItemRNG) -> None:
        """Do pass ``i``."""
        self.noise.copy_(rng.normal(*self.noise.shape[1:]))
        self.run(i, lambda: self._pass(*self.plan[i], self.guidance_scales[i]))

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
