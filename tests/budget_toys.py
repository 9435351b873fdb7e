"""A batch and small models, to compare what training costs with what torch counts and keeps."""

from __future__ import annotations

import dataclasses

import torch

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.paradigms.base import Batch, Conditions
from paradigm_bench.representations.latents.controls import ControlSpec
from paradigm_bench.representations.text.encoders import TextSpec
from tests.helpers import LATENT

BATCH, FRAMES, TOKENS = 2, 12, 5
EMBEDDED = TextSpec(kind="embeddings", dim=24, vocabulary=(), max_length=TOKENS)
CROSS = BackboneConfig(d_model=64, n_layers=4, n_heads=4, d_ff=160)
PREFIX = dataclasses.replace(CROSS, text="prefix", positions="learned")


def a_batch(text: TextSpec, controls: tuple[ControlSpec, ...], hidden: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    embedded = torch.randn(BATCH, TOKENS, text.dim, generator=generator)
    words = embedded if text.kind == "embeddings" else torch.ones(BATCH, TOKENS, dtype=torch.int64)
    tokens = {spec.name: torch.zeros(BATCH, FRAMES, dtype=torch.int64) for spec in controls}
    frame = torch.arange(FRAMES).expand(BATCH, -1)
    return Batch(
        torch.randn(BATCH, FRAMES, LATENT.dim, generator=generator),
        torch.zeros(BATCH, LATENT.codebooks, FRAMES, dtype=torch.int64),
        Conditions(words, torch.ones(BATCH, TOKENS, dtype=torch.bool), tokens),
        (frame < 2) | (frame >= 2 + hidden) if hidden else None,
    )
