"""Small models of the built-in paradigms, as ``bench check`` makes them, that tests share."""

from __future__ import annotations

import torch
from torch import Tensor

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.conformance import ConformanceCase
from paradigm_bench.benchmarks.conformance.case import BACKBONE, LATENT, TEXT, perturb, some_batch, some_conditions
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.base import Conditions, Paradigm
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import TextSpec

__all__ = ["BACKBONE", "LATENT", "TEXT", "assert_greedy", "make", "perturb", "sample", "some_batch", "some_conditions"]

HEAD = {"width": 32, "depth": 2, "repeats": 2}
OPTIONS = {name: dict(paradigms.find(name).conformance.options) for name in paradigms.names()}
SAMPLERS = {name: dict(paradigms.find(name).conformance.sampler) for name in paradigms.names()}


def make(
    name: str,
    options: dict | None = None,
    backbone: BackboneConfig = BACKBONE,
    latent: LatentSpec = LATENT,
    text: TextSpec = TEXT,
    std: float = 0.15,
) -> Paradigm:
    """A small paradigm with perturbed weights (std 0 leaves them as initialised), in evaluation mode."""
    return ConformanceCase(paradigms.find(name), backbone=backbone).model(options, latent=latent, text=text, std=std)


def sample(model: Paradigm, conditions: Conditions, frames: int, seeds: list[int], **settings: object) -> Tensor:
    """Generate with the small sampler settings of ``SAMPLERS``, some of them replaced."""
    sampler = model.sampler({**SAMPLERS.get(model.name, {}), **settings})
    return model.generate(conditions, frames, sampler, ItemRNG(seeds))


@torch.no_grad()
def assert_greedy(
    model: AR, column_BKS: Tensor, checked_BKS: Tensor, conditions: Conditions, guidance: float, gap: float = 1e-4,
    times_BS: Tensor | None = None,
) -> None:  # fmt: skip
    """Each checked code of the delayed sequence is the likeliest after the columns before it, read at once, uncached.

    Another kernel may round two nearly equal logits the other way: a chosen logit may lie ``gap`` below the largest.
    """
    free, asked = (
        model.logits(column_BKS[..., :-1], model.read_text(c), times_BS=times_BS).transpose(1, 2)
        for c in (conditions.null(), conditions)
    )
    guided_BKSV = free + guidance * (asked - free)
    codes_BKS1 = column_BKS[..., 1:, None].clamp(max=guided_BKSV.shape[-1] - 1)
    short_BKS = guided_BKSV.amax(-1) - guided_BKSV.gather(-1, codes_BKS1)[..., 0]
    assert checked_BKS[..., 1:].any()
    assert short_BKS[checked_BKS[..., 1:]].max() < gap
