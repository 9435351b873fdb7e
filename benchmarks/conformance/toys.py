"""Toy shapes and data for trials: a latent with both views, a vocabulary, small backbones, captions and clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from ...backbones import BackboneConfig
from ...paradigms.base import Batch, Conditions
from ...representations.base import LatentSpec
from ...representations.latents.controls import ControlSpec
from ...representations.text.encoders import TextSpec

LATENT = LatentSpec("toy", sample_rate=16000, frame_rate_hz=25.0, dim=6, codebooks=3, cardinality=11)
TEXT = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"word{i}" for i in range(20)), max_length=16)
EMBEDDED = TextSpec(kind="embeddings", dim=24, vocabulary=(), max_length=5)
CONTROLS = (ControlSpec("chords", 5, 4), ControlSpec("melody", 3, 2))
BACKBONE = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64)
BACKBONES = {
    "cross": BACKBONE,
    "prefix": dataclasses.replace(BACKBONE, text="prefix", positions="learned"),
    "rotary": dataclasses.replace(BACKBONE, text="prefix", positions="rotary"),
}


def perturb(module: nn.Module, std: float = 0.15, seed: int = 0) -> nn.Module:
    """Add noise to every parameter, so that no zero initialisation hides a path, and outputs are of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(std * torch.randn(parameter.shape, generator=generator))
    return module


def some_conditions(
    lengths: Sequence[int], seed: int = 0, controls: Sequence[ControlSpec] = (), frames: int = 0
) -> Conditions:
    """Random captions of the given numbers of tokens, padded with a token that must not matter; random controls."""
    generator, width = torch.Generator().manual_seed(seed), max(lengths)
    ids = torch.randint(2, len(TEXT.vocabulary), (len(lengths), width), generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    shape = (len(lengths), frames)
    return Conditions(
        ids, mask, {spec.name: torch.randint(0, spec.cardinality, shape, generator=generator) for spec in controls}
    )


def some_embeddings(batch: int) -> Conditions:
    """Random text of a frozen encoder, without padding."""
    words = torch.randn(batch, EMBEDDED.max_length, EMBEDDED.dim, generator=torch.Generator().manual_seed(0))
    return Conditions(words, torch.ones(batch, EMBEDDED.max_length, dtype=torch.bool))


def some_batch(conditions: Conditions, frames: int = 10, latent: LatentSpec = LATENT, seed: int = 0) -> Batch:
    """Random latents and unrelated random codes for ``conditions``."""
    generator = torch.Generator().manual_seed(seed)
    z_BTD = torch.randn(len(conditions), frames, latent.dim, generator=generator)
    codes = torch.randint(0, latent.cardinality, (len(conditions), latent.codebooks, frames), generator=generator)
    return Batch(z_BTD, codes, conditions)


def part(batch: Batch, items: slice | torch.Tensor) -> Batch:
    """Some items of a batch."""
    codes, known = batch.codes_BKT, batch.known_BT
    return Batch(
        batch.latents_BTD[items], None if codes is None else codes[items], batch.conditions[items],
        None if known is None else known[items],
    )  # fmt: skip
