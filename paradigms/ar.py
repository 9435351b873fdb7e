"""Autoregressive modelling of residual-vector-quantised codes with the delay pattern (papers/002 section 3.2).

Each step reads the sum of K codebook embeddings and predicts the next column of K codes. Loss: the mean over codebooks
of each one's cross-entropy. (papers/002 eq. 1 also divides by the cardinality, a constant that would only shrink the
gradient: published inconsistency X14.) Sampling: temperature, top-k, top-p, guidance with both branches in one batch,
a static KV cache, and one uniform number per token drawn beforehand, so that sampling is a plain function of noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones import BackboneConfig, KVCache
from backbones.transformer import truncated_normal_
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigms.delay import columns, delay, pattern_mask, undelay
from paradigms.guidance import guide
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

    def __init__(self, options: ParadigmOptions, backbone: BackboneConfig, latent: LatentSpec, text: TextSpec) -> None:
        super().__init__(options, backbone, latent, text)
        self.codebooks, self.special = latent.codebooks, latent.cardinality
        width = self.backbone_config.d_model
        self.embeddings = nn.ModuleList(nn.Embedding(latent.cardinality + 1, width) for _ in range(self.codebooks))
        self.head = nn.Linear(width, self.codebooks * latent.cardinality, bias=False)
        for weight in [self.head.weight, *self.embeddings.parameters()]:
            truncated_normal_(weight, 1 / math.sqrt(width))

    def logits(self, delayed_BKS: Tensor, text: tuple[Tensor, Tensor], cache: KVCache | None = None) -> Tensor:
        """Logits (B, S, K, card) of the column after each given column."""
        x_BSC = sum(table(delayed_BKS[:, k]) for k, table in enumerate(self.embeddings))
        h_BSC = self.backbone(x_BSC, *text, cache=cache)
        return self.head(h_BSC).unflatten(-1, (self.codebooks, -1))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Mean over codebooks of cross-entropy in nats; nothing here is random."""
        if batch.codes_BKT is None:
            raise UserError("paradigm 'ar' needs codes, and this batch has none; use a codec with a quantiser")
        delayed_BKS = delay(batch.codes_BKT, self.special)
        logits = self.logits(delayed_BKS[..., :-1], self.encode_text(batch.conditions))
        real_KS = pattern_mask(batch.codes_BKT.shape[2], self.codebooks, logits.device)[:, 1:]
        # The special token is never a target: its cells are masked, so any valid class may stand in for it.
        targets = delayed_BKS[..., 1:].clamp(max=self.special - 1)
        errors_BKS = nn.functional.cross_entropy(logits.permute(0, 3, 2, 1), targets, reduction="none")
        per_codebook_BK = (errors_BKS * real_KS).sum(dim=-1) / real_KS.sum(dim=-1)
        return Loss.from_items(per_codebook_BK.mean(dim=1))

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Codes (B, K, T), column by column."""
        batch, guided = len(conditions), sampler.guidance != 1
        steps = columns(frames, self.codebooks) - 1
        text = self.encode_text(conditions.with_null() if guided else conditions)
        prefix = text[0].shape[1] if self.backbone_config.text == "prefix" else 0
        weight = self.head.weight
        cache = KVCache(self.backbone_config, len(text[0]), steps + prefix, weight.device, weight.dtype)
        uniforms_BSK = rng.uniform(steps, self.codebooks)
        real_KS = pattern_mask(frames, self.codebooks, weight.device)
        delayed = torch.full((batch, self.codebooks, steps + 1), self.special, device=weight.device)
        for step in range(steps):
            column = delayed[:, :, step : step + 1]
            logits = self.logits(torch.cat([column, column]) if guided else column, text, cache)[:, 0]
            codes = draw(guide(logits, sampler.guidance) if guided else logits, uniforms_BSK[:, step], sampler)
            delayed[:, :, step + 1] = torch.where(real_KS[:, step + 1], codes, self.special)
        return undelay(delayed)


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
