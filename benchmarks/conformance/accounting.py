"""Check of ``Paradigm.cost``: operations against torch's counter, bytes moved against the size of the weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ...common.seeds import ItemRNG
from ...paradigms.base import Paradigm
from .case import BACKBONES, EMBEDDED, ConformanceCase, require, some_embeddings

BATCH, FRAMES = 2, 9
CLOSE = 0.02


def cost(case: ConformanceCase) -> None:
    """The operations of ``cost`` are those that torch counts, within 2%, and its bytes hold at least the blocks."""
    scales: list[dict[str, Any]] = [{"guidance": 2.0}, {"guidance": 1.0}] if case.has("guidance") else [{}]
    for name in ("cross", "prefix"):
        model = case.model(backbone=dataclasses.replace(BACKBONES[name], n_layers=4), text=EMBEDDED)
        for scale in scales:
            sampler = case.sampler(**scale)
            measured = measured_flops(model, sampler)
            phases = model.cost(BATCH, FRAMES, sampler, EMBEDDED.max_length)
            stated = sum(phase.times * phase.flops for phase in phases)
            setting = ", ".join([f"text by {name}", *(f"guidance {w:g}" for w in scale.values())])
            require(
                abs(stated - measured) <= CLOSE * measured,
                f"cost states {stated:,.0f} operations where torch counts {measured:,.0f} ({setting})",
                "count every pass, branch of guidance and layer: backbone_cost().run, text_cost, backbones.cost.linear",
            )
            blocks = sum(p.numel() * p.element_size() for p in model.backbone.blocks.parameters())
            moved = sum(phase.times * phase.bytes for phase in phases)
            require(
                moved >= 0.9 * blocks,
                f"cost moves {moved:,.0f} bytes, the backbone's weights alone are {blocks:,.0f}",
                "add the second number of backbone_cost().run, and the weights of layers of your own",
            )


def measured_flops(model: Paradigm, sampler: Any) -> float:
    """Operations that torch counts while the model draws two clips of 9 frames from random text embeddings."""
    model.requires_grad_(False)  # else the counter looks for gradients that do not exist
    # The counter does not know the CPU's fused attention; plain attention consists of products that it counts.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.generate(some_embeddings(BATCH), FRAMES, sampler, ItemRNG([1, 2]))
    return float(counter.get_total_flops())
