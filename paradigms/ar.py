"""Autoregressive modelling of residual-vector-quantised codes with the delay pattern (papers/002 section 3.2).

Each step reads the sum of K codebook embeddings and predicts the next column of K codes. Loss: the mean over codebooks
of each one's cross-entropy. (papers/002 eq. 1 also divides by the cardinality, a constant that would only shrink the
gradient: published inconsistency X14.) Sampling: temperature, top-k, top-p, guidance with both branches in one batch,
a static KV cache, and one uniform number per token drawn beforehand, so that a step is a plain function of its buffers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones import BackboneConfig, KVCache, TextMemory
from backbones.cost import Phase, linear
from backbones.linear import Linear
from backbones.transformer import truncated_normal_
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.delay import columns, delay, pattern_mask, undelay
from paradigms.guidance import guide
from paradigms.session import Session
from representations.base import LatentSpec
from representations.text import TextSpec


@dataclass(frozen=True)
class ARSampler:
    """Settings of sampling.

    Attributes:
        temperature: divides the logits; 0 takes the most likely code (greedy).
        top_k: keep the k most likely codes, 0 for all. top_p: keep the smallest set of codes with this mass, 1 for all.
        guidance: scale of classifier-free guidance, 1 for none.
    """

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0
    guidance: float = 3.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UserError("ar sampler: temperature and top_k must be 0 or more, top_p above 0 and at most 1")


class AR(Paradigm):
    """Next-column prediction over delayed codes."""

    name = "ar"
    view = "codes"
    sampler_class = ARSampler
    backbone_needs = {"causal": True, "time": "none"}  # noqa: RUF012
    streams = True

    def __init__(self, options: ParadigmOptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        self.codebooks, self.special = latent.codebooks, latent.cardinality
        width = self.backbone_config.d_model
        self.embeddings = nn.ModuleList(nn.Embedding(latent.cardinality + 1, width) for _ in range(self.codebooks))
        self.head = Linear(width, self.codebooks * latent.cardinality, bias=False)
        for weight in [self.head.weight, *self.embeddings.parameters()]:
            truncated_normal_(weight, 1 / math.sqrt(width))

    def logits(self, delayed_BKS: Tensor, text: TextMemory, cache: KVCache | None = None) -> Tensor:
        """Logits (B, S, K, card) of the column after each given column."""
        x_BSC = sum(table(delayed_BKS[:, k]) for k, table in enumerate(self.embeddings))
        h_BSC = self.backbone(x_BSC, text, cache=cache)
        return self.head(h_BSC).unflatten(-1, (self.codebooks, -1))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Mean over codebooks of cross-entropy in nats; nothing here is random."""
        if batch.codes_BKT is None:
            raise UserError("paradigm 'ar' needs codes, and this batch has none; use a codec with a quantiser")
        delayed_BKS = delay(batch.codes_BKT, self.special)
        logits = self.logits(delayed_BKS[..., :-1], self.read_text(batch.conditions))
        real_KS = pattern_mask(batch.codes_BKT.shape[2], self.codebooks, logits.device)[:, 1:]
        # The special token is never a target: its cells are masked, so any valid class may stand in for it.
        targets = delayed_BKS[..., 1:].clamp(max=self.special - 1)
        errors_BKS = nn.functional.cross_entropy(logits.permute(0, 3, 2, 1), targets, reduction="none")
        per_codebook_BK = (errors_BKS * real_KS).sum(dim=-1) / real_KS.sum(dim=-1)
        return Loss.from_items(per_codebook_BK.mean(dim=1))

    @torch.no_grad()
    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        """Codes (B, K, chunk), column by column; frame t stands once column t + K of the delayed sequence does."""
        text = self.read_text(conditions, guided=sampler.guidance != 1)
        shape = ("ar", len(conditions), frames, sampler, text.shape())
        decoding = self.session(shape, lambda: Decoding(self, text, len(conditions), frames, sampler))
        decoding.start(text, rng)
        sent = 0
        for step in range(1, columns(frames, self.codebooks)):
            decoding.advance()
            ready = step - self.codebooks + 1
            if ready == frames or ready - sent == chunk:
                yield undelay(decoding.delayed[:, :, sent : ready + self.codebooks])
                sent = ready

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then one pass per column over a growing cache, the codebooks' heads included."""
        count, rows, width = (
            self.backbone_cost(element_size),
            batch * (1 + (sampler.guidance != 1)),
            self.head.in_features,
        )
        prefix = text_tokens if self.backbone_config.text == "prefix" else 0
        phases = [self.text_cost(batch if not prefix else rows, text_tokens, element_size)]
        if prefix:
            phases.append(Phase("prefix", 1, *count.run(rows, prefix, prefix, batch, prefix, cached=True)))
        head_flops = linear(rows, width, self.head.out_features)
        head_bytes = element_size * width * (self.head.out_features + rows * self.codebooks)  # weights, embeddings read
        for step in range(1, columns(frames, self.codebooks)):
            flops, moved = count.run(rows, 1, prefix + step, batch, text_tokens, cached=True)
            phases.append(Phase("step", 1, flops + head_flops, moved + head_bytes))
        return phases


class Decoding(Session):
    """Buffers of column-by-column decoding: the delayed sequence, its uniform numbers, the KV cache and the text."""

    def __init__(self, model: AR, text: TextMemory, batch: int, frames: int, sampler: ARSampler) -> None:
        weight, codebooks = model.head.weight, model.codebooks
        self.model, self.text, self.sampler, self.guided = model, text, sampler, sampler.guidance != 1
        self.length = columns(frames, codebooks)
        rows = batch * (1 + self.guided)
        capacity = self.length - 1 + text.prefix_length
        self.cache = KVCache(model.backbone_config, rows, capacity, weight.device, weight.dtype)
        super().__init__(weight.device, self.cache.cursor)
        self.delayed = torch.full((batch, codebooks, self.length), model.special, device=weight.device)
        self.uniforms_BSK = torch.zeros(batch, self.length - 1, codebooks, device=weight.device)
        self.real_KS = pattern_mask(frames, codebooks, weight.device)

    def start(self, text: TextMemory, rng: ItemRNG) -> None:
        """Make ready for new clips."""
        if text is not self.text:
            self.text.copy_(text)
        self.uniforms_BSK.copy_(rng.uniform(*self.uniforms_BSK.shape[1:]))
        self.delayed.fill_(self.model.special)
        self.cache.reset()
        self.model.backbone.prefill(self.text, self.cache)

    def advance(self) -> None:
        """Decide the next column."""
        self.run(self.cache.window(1), self._step)
        self.cache.live += 1

    def _step(self) -> None:
        cursor = self.cache.cursor
        at = cursor - self.text.prefix_length
        column = self.delayed.index_select(2, at)
        logits = self.model.logits(column.repeat(1 + self.guided, 1, 1), self.text, self.cache)[:, 0]
        logits = guide(logits, self.sampler.guidance) if self.guided else logits
        codes = draw(logits, self.uniforms_BSK.index_select(1, at)[:, 0], self.sampler)
        real_K = self.real_KS.index_select(1, at + 1)[:, 0]
        self.delayed.index_copy_(2, at + 1, torch.where(real_K, codes, self.model.special)[..., None])
        cursor.add_(1)


def draw(logits: Tensor, uniforms: Tensor, sampler: ARSampler) -> Tensor:
    """One code per row of ``logits`` (..., card), by the inverse CDF at ``uniforms`` (...)."""
    if sampler.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / sampler.temperature, dim=-1)
    ordered, codes = probabilities.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ordered, dtype=torch.bool)
    if sampler.top_k:
        keep[..., sampler.top_k :] = False
    if sampler.top_p < 1:
        keep &= ordered.cumsum(dim=-1) - ordered < sampler.top_p
    cdf = (ordered * keep).cumsum(dim=-1)
    rank = (cdf <= uniforms[..., None] * cdf[..., -1:]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    # Rounding may point past the last kept code; the last one kept is then meant.
    rank = torch.minimum(rank, keep.sum(dim=-1) - 1)
    return codes.gather(-1, rank[..., None])[..., 0]
