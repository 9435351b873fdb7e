"""Masked next-token prediction over continuous latents, and plain next-token prediction (Yang et al. 2025, section 3).

A causal backbone reads a sequence from which a random share of the tokens was dropped; a diffusion head learns to
generate the next token that is left. Since that may be any later position, each input carries two position codes: its
own position (content) and the position to be predicted (target). In sampling nothing is dropped and the target is the
content position plus one. Both codes are of one kind (``TargetCode``). ``ntp`` drops nothing in training either and
needs no target code. Both paradigms have the ablations of the paper (table 3): hidden tokens are dropped, zeroed or
replaced by noise while the next token is predicted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..backbones import BackboneConfig
from ..backbones.cache import KVCache, TextMemory
from ..backbones.cost import Phase
from ..backbones.linear import Layer, Linear
from ..backbones.positions import sinusoid
from ..backbones.transformer import truncated_normal_
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from .conformance import ConformanceSettings, MemorisationSettings
from .guidance import Schedule, scale_at
from .heads import HeadOptions, HeadSampler, token_head
from .masks import DROPS, context_first, drop_ratio, index_at, picked
from .session import Session

Drop = Literal["mixture", "high", "low", "mar", "fixed", "uniform", "none"]
NOISE_AHEAD = 64
"""Number of positions whose noise is drawn together."""


@dataclass(frozen=True)
class MNTPOptions(ParadigmOptions):
    """Options of masked next-token prediction.

    Attributes:
        drop: distribution of the ratio of hidden tokens, one draw per batch (``paradigms.masks.DROPS``).
        target_positions: add the code of the position to be predicted.
        hidden: what happens to hidden tokens. ``skipped``: they are dropped, and the next kept token is predicted
            (Yang et al. 2025, table 3 G). Otherwise every input predicts the token right after it, and hidden tokens
            are ``dropped`` (E), ``zeroed`` (C, F), or ``noised``: replaced by standard normal noise (D).
    """

    drop: Drop = "mixture"
    target_positions: bool = True
    hidden: Literal["skipped", "dropped", "zeroed", "noised"] = later("skipped")
    head: HeadOptions = field(default_factory=HeadOptions)


@dataclass(frozen=True)
class NTPOptions(MNTPOptions):
    """Options of next-token prediction: nothing dropped, no target code."""

    drop: Drop = "none"
    target_positions: bool = False


@dataclass(frozen=True)
class MNTPSampler(HeadSampler):
    """Settings of the head. By default guidance is annealed over the positions (Yang et al. 2025, eq. 5)."""

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
    leaves_parameters_unused = False
    conformance = ConformanceSettings(
        options={"head": {"width": 32, "depth": 2, "repeats": 2}},
        sampler={"diffusion_steps": 8, "guidance": 2.0},
        memorisation=MemorisationSettings(
            options={"head": {"width": 64, "depth": 2, "repeats": 16}},
            backbone={"positions": "learned", "max_positions": 32},
            sampler={"diffusion_steps": 25},
        ),
    )
    options: MNTPOptions

    def add_layers(self) -> None:
        """The input layer, the start token, the codes of target positions and the head."""
        width = self.backbone_config.d_model
        self.inputs = Linear(self.latent.dim, width)
        self.start = nn.Parameter(torch.empty(width))
        truncated_normal_(self.start, 0.02)
        self.target_code = TargetCode(self.backbone_config) if self.options.target_positions else None
        self.head = token_head(self.options.head, self.latent.dim, width)

    def context(
        self,
        x_BSC: Tensor,
        content_BS: Tensor,
        target_BS: Tensor,
        text: TextMemory,
        cache: KVCache | None = None,
        controls_BTC: Tensor | None = None,
    ) -> Tensor:
        """The condition of the head for the token at each target position, (B, S, C).

        Args:
            controls_BTC: of every frame; each input gets those of the frame that it predicts.
        """
        if self.target_code is not None:
            x_BSC = x_BSC + self.target_code(target_BS)
        if controls_BTC is not None:
            x_BSC = x_BSC + picked(controls_BTC, target_BS - 1)
        return self.backbone(x_BSC, text, positions_BT=content_BS, cache=cache)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error of the predicted tokens (Yang et al. 2025, eq. 2, on the shortened sequence).

        Where the batch trains inpainting, nothing is dropped, and the known tokens come before the hidden ones.
        """
        latents = batch.latents_BTD
        self.backbone.check_length(latents.shape[1])
        if batch.known_BT is None:
            x_BSC, content_BS, target_BS = self._task(latents, rng, shared)
        else:
            self._check_targets()
            order_BT = context_first(batch.known_BT)
            x_BSC, content_BS, target_BS = self._chain(picked(latents, order_BT), order_BT)
        text, controls = self.read_text(batch.conditions), self.read_controls(batch.conditions, latents.shape[1])
        z = self.context(x_BSC, content_BS, target_BS, text, controls_BTC=controls)
        return Loss.from_items(self.head.loss(picked(latents, target_BS - 1), z, rng))

    def _task(self, latents_BTD: Tensor, rng: ItemRNG, shared: ItemRNG) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, content and target positions of an update that hides a random share of the tokens."""
        frames = latents_BTD.shape[1]
        hidden = round(drop_ratio(self.options.drop, shared) * frames)
        kept = max(frames - hidden, 1)
        if self.options.hidden == "skipped":
            positions = rng.permutation(frames)[:, :kept].sort(dim=1).values
            return self._chain(picked(latents_BTD, positions), positions)
        order = rng.permutation(frames - 1)  # the last token is never an input
        if self.options.hidden == "dropped":
            seen = order[:, : kept - 1].sort(dim=1).values
            return self._put(picked(latents_BTD, seen), seen)
        before = latents_BTD[:, :-1]
        put = rng.normal(*before.shape[1:]) if self.options.hidden == "noised" else torch.zeros_like(before)
        index = index_at(order[:, :hidden], before)
        every = torch.arange(frames - 1, device=order.device).expand(len(order), -1)
        return self._put(before.scatter(1, index, put.to(before.dtype).gather(1, index)), every)

    def _chain(self, tokens_BSD: Tensor, positions_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, content and target positions for predicting ``tokens`` in their order, after the start token."""
        inputs, content, _ = self._put(tokens_BSD[:, :-1], positions_BS[:, :-1])
        return inputs, content, positions_BS + 1

    def _put(self, seen_BMD: Tensor, at_BM: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (the start token, then the given tokens), their content positions, and the next ones as targets."""
        inputs = torch.cat([self.start.expand(len(seen_BMD), 1, -1), self.inputs(seen_BMD)], dim=1)
        content = torch.cat([at_BM.new_zeros(len(at_BM), 1), at_BM + 1], dim=1)
        return inputs, content, content + 1

    def _check_targets(self) -> None:
        if self.target_code is None:
            raise UserError(f"{self.name}: inpainting needs target_positions: true, to know which position comes next")

    @torch.no_grad()
    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Latents (B, chunk, D), generated position by position with a static KV cache."""
        nothing = torch.zeros(len(conditions), frames, self.latent.dim, device=self.start.device)
        order_BT = torch.arange(frames, device=self.start.device).expand(len(conditions), -1)
        decoding = self._decoding(conditions, nothing, order_BT, 0, sampler)
        sent = 0
        with decoding.in_use():
            for done in range(1, frames + 1):
                decoding.advance(rng)
                if done == frames or done - sent == chunk:
                    yield decoding.latents[:, sent:done].clone()
                    sent = done

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D) that equal ``target`` where known; known tokens are read in one pass before decoding."""
        self._check_targets()
        known = int(known_BT[0].sum())
        decoding = self._decoding(conditions, target, context_first(known_BT), known, sampler)
        for _ in range(known, target.shape[1]):
            decoding.advance(rng)
        return decoding.latents.clone()

    def _decoding(
        self, conditions: Conditions, latents: Tensor, order_BT: Tensor, known: int, sampler: MNTPSampler
    ) -> MNTPDecoding:
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, latents.shape[1], sampler.branches)
        make = partial(MNTPDecoding, self, text, latents.shape, known, sampler)
        decoding = self.session(("mntp", latents.shape, known, sampler), make, text, controls)
        decoding.start(latents, order_BT)
        return decoding

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per position one pass over a growing cache and the head's loop."""
        flops, moved = self.inputs.cost(batch, element_size)
        if self.target_code is not None:
            code_flops, code_bytes = self.target_code.cost(batch * sampler.branches, element_size)
            flops, moved = flops + code_flops, moved + code_bytes
        phases = self.decoding_cost(batch, frames, sampler, text_tokens, element_size, (flops, moved))
        return phases + self.head.cost(batch, frames, sampler, element_size)

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """Backbone and head on the kept tokens: all of them in inpainting, and where tokens are zeroed or noised."""
        parts = () if hidden or self.options.hidden in ("zeroed", "noised") else DROPS[self.options.drop]
        ratios = [ratio for part in parts for ratio in part.quantiles()] or [0.0]
        cost = 0.0
        for ratio in ratios:
            kept = max(frames - round(ratio * frames), 1)
            inputs = self.inputs.cost(batch * (kept - 1))[0]
            inputs += 0 if self.target_code is None else self.target_code.cost(batch * kept, 1)[0]
            passed = self.pass_cost(batch, kept, text_tokens) + self.head.forward_cost(batch * kept)
            cost += (inputs + passed) / len(ratios)
        return cost


class TargetCode(Layer):
    """Learned code of the position to be predicted, (B, S) -> (B, S, C), as the backbone codes content positions.

    Where the backbone's positions are learned (Yang et al. 2025, section 3.2), it is a table with a row for each. For
    other backbones it is the sinusoid of the position through a linear layer, which has a code for every position and
    C x C weights for clips of any length. Both have the power of a sinusoid at first.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.width = config.d_model
        learned = config.positions == "learned"
        self.table = nn.Embedding(config.max_positions, self.width) if learned else None
        self.projection = None if learned else Linear(self.width, self.width, bias=False)
        std = math.sqrt(0.5) if learned else 1 / math.sqrt(self.width)
        for weight in self.parameters():
            nn.init.normal_(weight, std=std)

    def forward(self, target_BS: Tensor) -> Tensor:
        """Codes of target positions, which count from 1: position 0 is the start token."""
        if self.projection is None:
            assert self.table is not None
            rows: Tensor = self.table(target_BS - 1)
            return rows
        return self.projection(sinusoid(target_BS, self.width).to(self.projection.weight.dtype))

    def cost(self, rows: int, element_size: int) -> tuple[int, int]:
        """Operations and bytes for ``rows`` positions."""
        if self.projection is None:
            return 0, rows * self.width * element_size
        return self.projection.cost(rows, element_size)


class MNTPDecoding(Session):
    """Buffers of decoding position by position: the clips, the order of their positions, noise, the KV cache.

    Args:
        shape: of the clips, (B, T, D).
        known: how many positions, the first of the order, are given; they are read in one pass.
    """

    def __init__(self, model: MNTP, text: TextMemory, shape: Sequence[int], known: int, sampler: MNTPSampler) -> None:
        start, (batch, frames, dim) = model.start, shape
        self.model, self.sampler, self.known = model, sampler, known
        rows, capacity = batch * sampler.branches, frames + text.prefix_length
        self.cache = KVCache(model.backbone_config, rows, capacity, start.device, start.dtype)
        super().__init__(start.device)
        self.latents = torch.zeros(batch, frames, dim, device=start.device)
        self.order_BT = torch.zeros(batch, frames, dtype=torch.int64, device=start.device)
        self.noise_nSBD = torch.zeros(NOISE_AHEAD, model.head.draws(sampler), batch, dim, device=start.device)
        progress = [i / max(frames - 1, 1) for i in range(frames)]
        scales = [scale_at(sampler.guidance_schedule, sampler.guidance, p) for p in progress]
        self.scales = torch.tensor(scales, device=start.device)

    def start(self, latents: Tensor, order_BT: Tensor) -> None:
        """Prepare for new clips; those of the first ``known`` positions in ``order_BT`` are given."""
        self.latents.copy_(latents)
        self.order_BT.copy_(order_BT)
        self.cache.reset()
        self.model.backbone.prefill(self.text, self.cache)
        if self.known:
            given = self.order_BT[:, : self.known]
            tokens = picked(self.latents, given)
            self._context(*self.model._chain(tokens.to(self.model.start.dtype), given))
            self.cache.advance(self.known)

    def advance(self, rng: ItemRNG) -> None:
        """Generate the token at the next position."""
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
        model: MNTP = self.model
        return model.context(x_BSC, content_BS, target_BS, self.text, self.cache, self.controls)


class NTP(MNTP):
    """Next-token prediction with a diffusion head (AudioNTP)."""

    name = "ntp"
    options_class = NTPOptions
    inpaints = False  # without target positions nothing says where a span begins
    conformance = dataclasses.replace(
        MNTP.conformance,
        memorisation=dataclasses.replace(MNTP.conformance.memorisation, updates=150, copies=2, backbone={}),
    )
