"""Masked modelling of codes, decoded by confidence (MaskGIT: Chang et al. 2022), codebook by codebook (MAGNeT: Ziv
et al. 2024, without its span masks and restricted context).

Training hides a share cos(pi u / 2), u uniform, of one codebook's frames and all of the finer codebooks, and learns the
hidden codes by cross-entropy. Sampling takes the codebooks from coarse to fine. All codes of a codebook begin hidden;
each iteration draws them and keeps the surest, so that floor(T cos(pi i / 2N)) stay hidden after iteration i of N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paradigm_bench.backbones.cache import TextMemory
from paradigm_bench.backbones.cost import Phase, linear
from paradigm_bench.backbones.transformer import truncated_normal_
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import ARSampler, draw
from paradigm_bench.paradigms.base import Batch, Conditions, Loss, Paradigm, ParadigmOptions
from paradigm_bench.paradigms.conformance import ConformanceSettings, MemorisationSettings
from paradigm_bench.paradigms.guidance import guide
from paradigm_bench.paradigms.masks import cosine_counts


@dataclass(frozen=True)
class MaskGITSampler(ARSampler):
    """Settings of sampling: those of a draw (temperature, top-k, top-p), guidance, and how codes are revealed.

    Attributes:
        iterations: for the first codebook, as in MAGNeT. refinements: for each finer one.
        noise: Gumbel noise on the confidences, from this scale down to 0 over the iterations (MaskGIT's annealing).
    """

    iterations: int = 20
    refinements: int = 10
    noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.iterations, self.refinements) < 1 or self.noise < 0:
            raise UserError("maskgit sampler: iterations and refinements must be 1 or more, noise 0 or more")


class MaskGIT(Paradigm):
    """Codes predicted where they are hidden, given all that are not."""

    name = "maskgit"
    view = "codes"
    options_class = ParadigmOptions
    sampler_class = MaskGITSampler
    backbone_needs = {"causal": False, "time": "none"}  # noqa: RUF012
    inpaints = True
    conformance = ConformanceSettings(
        sampler={"iterations": 4, "refinements": 2, "guidance": 2.0, "top_k": 0},
        memorisation=MemorisationSettings(copies=4, sampler={"temperature": 0.0, "noise": 0.0}),
    )

    def add_layers(self) -> None:
        """A table of embeddings and an output layer for each codebook."""
        codebooks, codes, width = self.latent.codebooks, self.latent.cardinality, self.backbone_config.d_model
        self.hidden_code = codes
        self.embeddings = nn.ModuleList(nn.Embedding(codes + 1, width) for _ in range(codebooks))
        self.heads = nn.Parameter(torch.empty(codebooks, codes, width))
        for weight in (self.heads, *self.embeddings.parameters()):
            truncated_normal_(weight, 1 / math.sqrt(width))

    def context(self, codes_BKT: Tensor, text: TextMemory, controls_BTC: Tensor | None) -> Tensor:
        """The backbone's view of every frame, (B, T, C); hidden codes are ``hidden_code``."""
        x_BTC = torch.stack([table(codes_BKT[:, k]) for k, table in enumerate(self.embeddings)]).sum(dim=0)
        return self.backbone(x_BTC if controls_BTC is None else x_BTC + controls_BTC, text)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Mean cross-entropy of one codebook's hidden codes, in nats; inpainting: only the span hides any."""
        if batch.codes_BKT is None:
            raise UserError("maskgit needs codes, and this batch has none; use a codec with a quantiser")
        codes, (_, codebooks, frames) = batch.codes_BKT, batch.codes_BKT.shape
        open_BT = torch.ones_like(codes[:, 0], dtype=torch.bool) if batch.known_BT is None else ~batch.known_BT
        share_B1, level_B1 = torch.cos(math.pi / 2 * rng.uniform(1)), rng.integers(codebooks, 1)
        rank_BT = (rng.uniform(frames) + ~open_BT).argsort(dim=1).argsort(dim=1)  # random, known frames last
        hidden_BT = rank_BT < (share_B1 * open_BT.sum(dim=1, keepdim=True)).ceil()
        finer_BK1 = (torch.arange(codebooks, device=codes.device) > level_B1)[..., None]
        level_BK1 = nn.functional.one_hot(level_B1[:, 0], codebooks).bool()[..., None]
        hidden_BKT = (level_BK1 & hidden_BT[:, None]) | (finer_BK1 & open_BT[:, None])
        controls = self.read_controls(batch.conditions, frames)
        seen = codes.masked_fill(hidden_BKT, self.hidden_code)
        h_BTC = self.context(seen, self.read_text(batch.conditions), controls)
        logits_BTV = torch.bmm(h_BTC, self.heads[level_B1[:, 0]].transpose(1, 2))
        target_BT = codes.gather(1, level_B1[..., None].expand(-1, -1, frames))[:, 0]
        errors_BT = nn.functional.cross_entropy(logits_BTV.transpose(1, 2), target_BT, reduction="none")
        return Loss.from_items((errors_BT * hidden_BT).sum(dim=1) / hidden_BT.sum(dim=1))

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Codes (B, K, T)."""
        nothing = self.heads.new_zeros(len(conditions), self.latent.codebooks, frames, dtype=torch.int64)
        known_BT = torch.zeros_like(nothing[:, 0], dtype=torch.bool)
        return self.inpaint(nothing, known_BT, conditions, sampler, rng)

    @torch.no_grad()
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        """Codes (B, K, T) that equal ``target`` where known: sampling that begins with those revealed."""
        frames, open_frames = target.shape[2], int((~known_BT[0]).sum())
        text = self.read_text(conditions, sampler.branches)
        controls = self.read_controls(conditions, frames, sampler.branches)
        codes = target.masked_fill(~known_BT[:, None], self.hidden_code)
        for level, counts in enumerate(self.counts(open_frames, sampler)):
            for i, remaining in enumerate(counts, start=1):
                h_BTC = self.context(codes.repeat(sampler.branches, 1, 1), text, controls)
                logits_BTV = guide(nn.functional.linear(h_BTC, self.heads[level]).float(), sampler)
                drawn_BT = draw(logits_BTV, rng.uniform(frames), sampler)
                sure_BT = logits_BTV.log_softmax(dim=-1).gather(-1, drawn_BT[..., None])[..., 0]
                gumbel_BT = -torch.log(-torch.log(rng.uniform(frames).clamp(1e-9, 1 - 1e-7)))
                sure_BT = sure_BT + sampler.noise * (1 - i / len(counts)) * gumbel_BT
                hidden_BT = codes[:, level] == self.hidden_code
                codes[:, level] = torch.where(hidden_BT, drawn_BT, codes[:, level])
                least_BR = sure_BT.masked_fill(~hidden_BT, math.inf).argsort(dim=1)[:, :remaining]
                codes[:, level].scatter_(1, least_BR, self.hidden_code)
        return codes

    def counts(self, frames: int, sampler: MaskGITSampler) -> list[list[int]]:
        """Codes still hidden after each iteration, for each codebook."""
        finer = [cosine_counts(frames, sampler.refinements)] * (self.latent.codebooks - 1)
        return [cosine_counts(frames, sampler.iterations), *finer]

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text, then per iteration one pass over all frames and one codebook's head."""
        (rows, text_rows), (_, codes, width) = self.guided_rows(batch, sampler), self.heads.shape
        queries = frames + self.prefix_length(text_tokens)
        flops, moved = self.backbone_cost(element_size).run(rows, queries, queries, text_rows, text_tokens)
        flops, moved = flops + linear(rows * frames, width, codes), moved + element_size * codes * width
        text = self.text_cost(text_rows, text_tokens, element_size)
        return [text, Phase("iteration", sum(map(len, self.counts(frames, sampler))), flops, moved)]
