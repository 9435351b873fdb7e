"""Small models of the built-in paradigms, as ``bench check`` makes them, that tests share."""

from __future__ import annotations

from torch import Tensor

import paradigms
from backbones import BackboneConfig
from benchmarks.conformance import Case
from benchmarks.conformance.toys import BACKBONE, LATENT, TEXT, perturb, some_batch, some_conditions
from common.seeds import ItemRNG
from paradigms.base import Conditions, Paradigm
from representations.base import LatentSpec
from representations.text import TextSpec

__all__ = ["BACKBONE", "LATENT", "TEXT", "make", "perturb", "sample", "some_batch", "some_conditions"]

HEAD = {"width": 32, "depth": 2, "repeats": 2}
OPTIONS = {name: dict(paradigms.find(name).trial.options) for name in paradigms.names()}
SAMPLERS = {name: dict(paradigms.find(name).trial.sampler) for name in paradigms.names()}


def make(
    name: str,
    options: dict | None = None,
    backbone: BackboneConfig = BACKBONE,
    latent: LatentSpec = LATENT,
    text: TextSpec = TEXT,
    std: float = 0.15,
) -> Paradigm:
    """A small paradigm with perturbed weights (std 0 leaves them as initialised), in evaluation mode."""
    return Case(paradigms.find(name), backbone=backbone).model(options, latent=latent, text=text, std=std)


def sample(model: Paradigm, conditions: Conditions, frames: int, seeds: list[int], **settings: object) -> Tensor:
    """Generate with the small sampler settings of ``SAMPLERS``, some of them replaced."""
    sampler = model.sampler({**SAMPLERS.get(model.name, {}), **settings})
    return model.generate(conditions, frames, sampler, ItemRNG(seeds))
