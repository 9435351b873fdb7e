"""Small models and batches that the tests of backbones and paradigms share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import paradigms
from backbones import BackboneConfig
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Paradigm
from representations.base import LatentSpec
from representations.text import TextSpec

LATENT = LatentSpec("toy", sample_rate=16000, frame_rate_hz=25.0, dim=6, codebooks=3, cardinality=11)
TEXT = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"word{i}" for i in range(20)), max_length=16)
BACKBONE = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64)

HEAD = {"width": 32, "depth": 2, "repeats": 2}
OPTIONS = {
    "mar": {"buffer_tokens": 3, "head": HEAD},
    "mntp": {"head": HEAD},
    "ntp": {"head": HEAD},
    "masked_fm": {"head": {"depth": 2}},
}
SAMPLERS = {
    "ar": {"top_k": 0, "guidance": 2.0},
    "fm": {"steps": 4, "guidance": 2.0},
    "mar": {"iterations": 4, "diffusion_steps": 8, "guidance": 2.0},
    "mntp": {"diffusion_steps": 8, "guidance": 2.0},
    "ntp": {"diffusion_steps": 8, "guidance": 2.0},
    "masked_fm": {"steps": 4, "iterations": 3, "guidance": 2.0},
}


def perturb(module: nn.Module, std: float = 0.15, seed: int = 0) -> nn.Module:
    """Add noise to every parameter, so that no zero initialisation hides a path, and outputs are of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += std * torch.randn(parameter.shape, generator=generator)
    return module


def make(
    name: str,
    options: dict | None = None,
    backbone: BackboneConfig = BACKBONE,
    latent: LatentSpec = LATENT,
    text: TextSpec = TEXT,
    std: float = 0.15,
) -> Paradigm:
    """A small paradigm with perturbed weights (std 0 leaves them as initialised), in evaluation mode."""
    torch.manual_seed(0)
    merged = {**OPTIONS.get(name, {}), **(options or {})}
    model = paradigms.build(name, merged, backbone, latent, text)
    perturb(model, std)
    return model.eval()


def some_conditions(lengths: list[int], padded: int | None = None, seed: int = 0) -> Conditions:
    """Random captions of the given numbers of tokens, padded with a token that must not matter."""
    width = padded or max(lengths)
    ids = torch.randint(2, len(TEXT.vocabulary), (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return Conditions(ids, mask)


def some_batch(conditions: Conditions, frames: int = 10, latent: LatentSpec = LATENT, seed: int = 0) -> Batch:
    """Random latents and unrelated random codes for ``conditions``."""
    generator = torch.Generator().manual_seed(seed)
    z_BTD = torch.randn(len(conditions), frames, latent.dim, generator=generator)
    codes = torch.randint(0, latent.cardinality, (len(conditions), latent.codebooks, frames), generator=generator)
    return Batch(z_BTD, codes, conditions)


def sample(model: Paradigm, conditions: Conditions, frames: int, seeds: list[int], **settings: object) -> Tensor:
    """Generate with the small sampler settings of ``SAMPLERS``, some of them replaced."""
    sampler = model.sampler({**SAMPLERS.get(model.name, {}), **settings})
    return model.generate(conditions, frames, sampler, ItemRNG(seeds))
