"""Autoregressive modelling of residual-vector-quantised codes with the delay pattern (Tal et al. 2025, section 3.2).

Each step reads the sum of K codebook embeddings and predicts the next column of K codes. The loss is the mean over
codebooks of the cross-entropy. (Tal et al. 2025, eq. 1 also divides by the cardinality, a constant that would only
scale the gradient: published inconsistency X14.) Sampling has temperature, top-k, top-p, guidance with all branches in
one batch, and a static KV cache. One uniform number per token is drawn beforehand, so that a step is a function of its
buffers alone and can be captured as a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.cache import KVCache, TextMemory
from ..backbones.cost import Phase
from ..backbones.linear import Linear
from ..backbones.transformer import truncated_normal_
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from . import infill
from .base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from .conditioning import WITHHELD
from .conformance import ConformanceSettings, MemorisationSettings
from .delay import columns, delay, pattern_mask, undelay
from .guidance import Guided, guide
from .session import Session


@dataclass(frozen=True)
class AROptions(ParadigmOptions):
    """Options of autoregression.

    Attributes:
        fill_middle: add three special tokens, with which a clip can be ordered A, C, B for inpainting (``infill``).
    """

    fill_middle: bool = later(False)


@dataclass(frozen=True)
class ARSampler(Guided):
    """Settings of sampling.

    Attributes:
        temperature: divides the logits; 0 takes the most likely code (greedy).
        top_k: keep the k most likely codes; 0: all.
        top_p: keep the smallest set of codes with this probability; 1: all.
    """

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UserError("ar sampler: temperature and top_k must be 0 or more, top_p above 0 and at most 1")


class AR(Paradigm):
    """Next-column prediction over delayed codes."""

    name = "ar"
    view = "codes"
    options_class = AROptions
    sampler_class = ARSampler
    backbone_needs = {"causal": True, "time": "none"}  # noqa: RUF012
    streams = True
    inpaints = True
    predictor = "head"
    leaves_parameters_unused = False
    conformance = ConformanceSettings(
        sampler={"top_k": 0, "guidance": 2.0},
        inpainting={"fill_middle": True},
        memorisation=MemorisationSettings(updates=80, copies=1, sampler={"temperature": 0.0}),
    )
    options: AROptions

    def add_layers(self) -> None:
        """An embedding table per codebook, and one layer for the logits of all of them."""
        self.codebooks, self.special = self.latent.codebooks, self.latent.cardinality
        width, rows = self.backbone_config.d_model, self.special + 1 + len(infill.SEGMENTS) * self.options.fill_middle
        self.embeddings = nn.ModuleList(nn.Embedding(rows, width) for _ in range(self.codebooks))
        self.head = Linear(width, self.codebooks * self.special, bias=False)
        for weight in [self.head.weight, *self.embeddings.parameters()]:
            truncated_normal_(weight, 1 / math.sqrt(width))

    def logits(
        self, delayed_BKS: Tensor, text: TextMemory, cache: KVCache | None = None, controls_BSC: Tensor | None = None,
        times_BS: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits (B, S, K, card) of the column after each given column; ``times_BS``: their positions, else 0, 1, 2."""
        x_BSC = sum(table(delayed_BKS[:, k]) for k, table in enumerate(self.embeddings))
        x_BSC = x_BSC if controls_BSC is None else x_BSC + controls_BSC
        h_BSC = self.backbone(x_BSC, text, cache=cache, positions_BT=times_BS)
        logits_BSKV: Tensor = self.head(h_BSC).unflatten(-1, (self.codebooks, -1))
        return logits_BSKV

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Mean over codebooks of cross-entropy in nats; uses no random numbers. Inpainting: clips ordered A, C, B."""
        if batch.codes_BKT is None:
            raise UserError("paradigm 'ar' needs codes, and this batch has none; use a codec with a quantiser")
        codes, conditions, times = batch.codes_BKT, batch.conditions, None
        if batch.known_BT is not None:
            self._check_fill_middle()
            order = infill.arrangement(batch.known_BT)
            codes = infill.arrange(codes, order, self.special + 1)
            conditions = infill.arrange_controls(conditions, order)
            times = infill.column_times(order, columns(order.shape[1], self.codebooks) - 1)
        delayed_BKS = delay(codes, self.special)
        controls = self.column_controls(conditions, codes.shape[2])
        inputs = None if controls is None else controls[:, :-1]
        logits = self.logits(delayed_BKS[..., :-1], self.read_text(conditions), controls_BSC=inputs, times_BS=times)
        real_BKS = delayed_BKS[..., 1:] < self.special
        # Special tokens are never targets: those cells are masked below, so any valid class may replace them.
        targets = delayed_BKS[..., 1:].clamp(max=self.special - 1)
        errors_BKS = nn.functional.cross_entropy(logits.permute(0, 3, 2, 1), targets, reduction="none")
        per_codebook_BK = (errors_BKS * real_BKS).sum(dim=-1) / real_BKS.sum(dim=-1)
        return Loss.from_items(per_codebook_BK.mean(dim=1))

    def column_controls(self, conditions: Conditions, frames: int, branches: int = 1) -> Tensor | None:
        """Controls at the columns of the delayed sequence, (n B, T + K, C).

        Those of frame t stand at column t, one step before its first code; the last K columns have none.
        """
        padded = {k: nn.functional.pad(v, (0, self.codebooks), value=WITHHELD) for k, v in conditions.controls.items()}
        whole = replace(conditions, controls=padded)
        return self.read_controls(whole, columns(frames, self.codebooks), branches)

    @torch.no_grad()
    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Codes (B, K, chunk), decoded column by column; column t + K of the delayed sequence completes frame t."""
        device = self.head.weight.device
        start = torch.full(
            (len(conditions), self.codebooks, columns(frames, self.codebooks)), self.special, device=device
        )
        decoding = self._decoding(conditions, start, frames, 0, sampler, rng, watched=self.entropies is not None)
        sent = 0
        with decoding.in_use():
            for step in range(1, columns(frames, self.codebooks)):
                decoding.advance()
                ready = step - self.codebooks + 1
                if ready == frames and self.entropies is not None:
                    self.entropies.append(decoding.entropy_BS2[:, :frames].clone())
                if ready == frames or ready - sent == chunk:
                    yield undelay(decoding.delayed[:, :, sent : ready + self.codebooks])
                    sent = ready

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Codes (B, K, T) that equal ``target`` where known: A and C are read in one pass, then B is decoded."""
        self._check_fill_middle()
        infill.check_spans(known_BT)
        order = infill.arrangement(known_BT)
        frames, hidden = order.shape[1], int((~known_BT[0]).sum())
        sequence = infill.arrange(target, order, self.special + 1)
        sequence[:, :, frames - hidden :] = self.special
        arranged = infill.arrange_controls(conditions, order)
        times = infill.column_times(order, columns(frames, self.codebooks))
        decoding = self._decoding(arranged, delay(sequence, self.special), frames, frames - hidden, sampler, rng, times)
        for _ in range(decoding.first, decoding.length - 1):
            decoding.advance()
        drawn = undelay(decoding.delayed)[:, :, frames - hidden :]
        index = order[:, None, frames - hidden :].expand(-1, self.codebooks, -1)
        return target.scatter(2, index, drawn)

    def _decoding(
        self, conditions: Conditions, delayed: Tensor, frames: int, known: int, sampler: ARSampler, rng: ItemRNG,
        times: Tensor | None = None, watched: bool = False,
    ) -> ARDecoding:  # fmt: skip
        text = self.read_text(conditions, sampler.branches)
        controls = self.column_controls(conditions, frames, sampler.branches)
        shape = ("ar", delayed.shape, known, sampler, watched)
        make = partial(ARDecoding, self, text, delayed.shape, frames, known, sampler, watched)
        decoding = self.session(shape, make, text, controls)
        decoding.start(delayed, rng, times)
        return decoding

    def _check_fill_middle(self) -> None:
        if not self.options.fill_middle:
            raise UserError("ar: this model has no tokens to fill the middle; train it with options.fill_middle: true")

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then one pass per column over a growing cache, the codebooks' heads included."""
        rows, _ = self.guided_rows(batch, sampler)
        flops, moved = self.head.cost(rows, element_size)
        moved += element_size * self.head.in_features * rows * self.codebooks  # rows of the embedding tables
        steps = columns(frames, self.codebooks) - 1
        return self.decoding_cost(batch, steps, sampler, text_tokens, element_size, (flops, moved))

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """One pass over all columns but the last; an inpainting update has three more."""
        read = columns(frames + (len(infill.SEGMENTS) if hidden else 0), self.codebooks) - 1
        return self.pass_cost(batch, read, text_tokens) + self.head.cost(batch * read)[0]


class ARDecoding(Session):
    """Buffers of decoding column by column: the delayed sequence, uniform numbers for its cells, the KV cache.

    Args:
        shape: of the delayed sequence, (B, K, T + K).
        known: frames at the beginning that are given; their columns are read in one pass.
        watched: store the entropies of the first codebook at every step in ``entropy_BS2`` (see ``entropies``).
    """

    def __init__(
        self, model: AR, text: TextMemory, shape: Sequence[int], frames: int, known: int, sampler: ARSampler,
        watched: bool = False,
    ) -> None:  # fmt: skip
        weight, (batch, codebooks, self.length) = model.head.weight, shape
        self.model, self.sampler, self.first, self.watched = model, sampler, known, watched
        capacity = self.length - 1 + text.prefix_length
        self.cache = KVCache(model.backbone_config, batch * sampler.branches, capacity, weight.device, weight.dtype)
        super().__init__(weight.device)
        self.delayed = torch.zeros(batch, codebooks, self.length, dtype=torch.int64, device=weight.device)
        self.uniforms_BSK = torch.zeros(batch, self.length - 1 - known, codebooks, device=weight.device)
        self.entropy_BS2 = torch.zeros(batch, (self.length - 1 - known) * watched, 2, device=weight.device)
        self.times_BS = torch.zeros(batch * sampler.branches, self.length, dtype=torch.int64, device=weight.device)
        self.open_KS = pattern_mask(frames, codebooks, weight.device, first=known)

    def start(self, delayed: Tensor, rng: ItemRNG, times: Tensor | None = None) -> None:
        """Prepare for new clips; ``delayed`` (B, K, T + K) holds the given codes, ``times`` (B, T + K) positions."""
        in_order = torch.arange(self.length, device=delayed.device)
        self.times_BS.copy_(in_order if times is None else times.repeat(self.sampler.branches, 1))
        self.uniforms_BSK.copy_(rng.uniform(*self.uniforms_BSK.shape[1:]))
        self.delayed.copy_(delayed)
        self.cache.reset()
        self.model.backbone.prefill(self.text, self.cache)
        if self.first:
            self._logits(self.delayed[:, :, : self.first], slice(0, self.first))
            self.cache.advance(self.first)

    def advance(self) -> None:
        """Sample the next column."""
        self.run(self.cache.window(1), self._step)
        self.cache.live += 1

    def _step(self) -> None:
        at = self.cache.cursor - self.text.prefix_length
        logits = guide(self._logits(self.delayed.index_select(2, at), at)[:, 0], self.sampler)
        codes = draw(logits, self.uniforms_BSK.index_select(1, at - self.first)[:, 0], self.sampler)
        if self.watched:
            self.entropy_BS2.index_copy_(1, at - self.first, entropies(logits[:, 0], self.sampler)[:, None])
        given = self.delayed.index_select(2, at + 1)[..., 0]
        codes = torch.where(self.open_KS.index_select(1, at + 1)[:, 0], codes, given)
        self.delayed.index_copy_(2, at + 1, codes[..., None])
        self.cache.cursor.add_(1)

    def _logits(self, columns_BKS: Tensor, at: Tensor | slice) -> Tensor:
        """Logits of all branches after the given columns, which stand at ``at``."""
        controls = None
        if self.controls is not None:
            controls = self.controls[:, at] if isinstance(at, slice) else self.controls.index_select(1, at)
        rows = columns_BKS.repeat(self.sampler.branches, 1, 1)
        model: AR = self.model
        times = self.times_BS[:, at] if isinstance(at, slice) else self.times_BS.index_select(1, at)
        return model.logits(rows, self.text, self.cache, controls, times)


def draw(logits: Tensor, uniforms: Tensor, sampler: ARSampler) -> Tensor:
    """One code per row of ``logits`` (..., card), by the inverse CDF at ``uniforms`` (...)."""
    if sampler.temperature == 0:
        return logits.argmax(dim=-1)
    ordered, codes, keep = ranked(logits, sampler)
    cdf = (ordered * keep).cumsum(dim=-1)
    rank = (cdf <= uniforms[..., None] * cdf[..., -1:]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    # Rounding may point past the last kept code; then that one is taken.
    rank = torch.minimum(rank, keep.sum(dim=-1) - 1)
    return codes.gather(-1, rank[..., None])[..., 0]


def ranked(logits: Tensor, sampler: ARSampler) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities at the temperature in descending order, their codes, and which of them top-k and top-p keep."""
    ordered, codes = torch.softmax(logits.float() / sampler.temperature, dim=-1).sort(
        dim=-1, descending=True, stable=True
    )
    keep = torch.ones_like(ordered, dtype=torch.bool)
    if sampler.top_k:
        keep[..., sampler.top_k :] = False
    if sampler.top_p < 1:
        keep &= ordered.cumsum(dim=-1) - ordered < sampler.top_p
    return ordered, codes, keep


def entropies(logits: Tensor, sampler: ARSampler) -> Tensor:
    """Entropies (..., 2) in nats of guided ``logits`` (..., card) at the temperature.

    The first is that of the distribution that ``draw`` samples, after top-k and top-p; the second that over all codes.
    Both are 0 at temperature 0.
    """
    if sampler.temperature == 0:
        return logits.new_zeros(*logits.shape[:-1], 2)
    ordered, _, keep = ranked(logits, sampler)
    kept = ordered * keep
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.stack([torch.special.entr(p).sum(dim=-1) for p in (kept, ordered)], dim=-1)
