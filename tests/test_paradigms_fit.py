"""Each paradigm learns one batch of two clips nearly by heart, and then, asked by caption, plays them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import paradigms
from backbones import BackboneConfig
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Paradigm
from tests.helpers import LATENT, TEXT, some_batch, some_conditions

FRAMES = 16
HEAD = {"width": 64, "depth": 2, "repeats": 16}


@dataclass(frozen=True)
class Recipe:
    """What it takes. A step sees each clip ``copies`` times, under that many draws of noise.

    The losses of the continuous paradigms stay above zero for long: near t = 1 (fm), or at the smallest noise levels
    (diffusion), the target is a difference of nearly equal numbers. Untrained they are 1.5 (1 + 1) = 3 and about 0.5.
    """

    loss: float
    steps: int = 250
    copies: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)


STEPS = {"diffusion_steps": 25}
LEARNED = {"positions": "learned", "max_positions": 32}
RECIPES = {
    "ar": Recipe(loss=0.05, steps=80, copies=1, sampler={"temperature": 0.0}),
    "fm": Recipe(loss=0.3, copies=16, sampler={"steps": 30}),
    "mar": Recipe(loss=0.06, steps=300, options={"head": HEAD, "buffer_tokens": 4}, sampler={**STEPS, "iterations": 8}),
    "mntp": Recipe(loss=0.08, copies=4, options={"head": HEAD}, sampler=STEPS, backbone=LEARNED),
    "masked_fm": Recipe(
        loss=0.3, copies=16, options={"ratio": [0.5, 1.0], "head": {"depth": 2}}, sampler={"steps": 30, "iterations": 4}
    ),
    "ntp": Recipe(loss=0.06, steps=150, options={"head": HEAD}, sampler=STEPS),
}


def learn(model: Paradigm, clips: Batch, recipe: Recipe) -> float:
    """Train by AdamW under a one-cycle schedule; the mean loss of the last 20 steps."""
    rows = torch.arange(2).repeat_interleave(recipe.copies)
    assert clips.codes_BKT is not None
    batch = Batch(clips.latents_BTD[rows], clips.codes_BKT[rows], clips.conditions[rows])
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=recipe.steps, pct_start=0.1)
    losses = []
    for step in range(recipe.steps):
        loss = model.loss(batch, ItemRNG([100 * step + row for row in range(len(rows))]), ItemRNG([step])).mean
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


@pytest.mark.parametrize("name", list(RECIPES))
def test_two_clips_are_learned_and_played_back(name: str) -> None:
    recipe = RECIPES[name]
    torch.manual_seed(0)
    backbone = BackboneConfig(d_model=64, n_layers=2, n_heads=4, d_ff=128, **recipe.backbone)
    model = paradigms.build(name, recipe.options, backbone, LATENT, TEXT)
    clips = some_batch(some_conditions([2, 2]), FRAMES)
    assert learn(model, clips, recipe) < recipe.loss
    model.eval()
    asked = Conditions(clips.conditions.text.flip(0), clips.conditions.text_mask_BL.flip(0))
    played = model.generate(asked, FRAMES, model.sampler({**recipe.sampler, "guidance": 1.0}), ItemRNG([1, 2])).flip(0)
    if model.view == "codes":
        assert torch.equal(played, clips.codes_BKT)
    else:
        error = (played - clips.latents_BTD).square().mean(dim=(1, 2)).sqrt() / clips.latents_BTD.std(dim=(1, 2))
        assert (error < 0.2).all(), error  # of another clip: 1.4


def test_every_paradigm_has_a_recipe() -> None:
    assert set(RECIPES) == set(paradigms.names())
