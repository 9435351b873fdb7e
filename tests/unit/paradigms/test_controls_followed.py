"""Every paradigm follows every control, also alone and in a span that it fills, where the control determines the clip.

The clips are made of two controls, independent from frame to frame: chords determine the first half of each frame,
melody the second. A caption tells nothing. So only a model that reads a control at its own frame gets its half right.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch, Conditions, Paradigm
from paradigm_bench.representations.latents.controls import ControlSpec
from paradigm_bench.representations.spec import LatentSpec
from tests.helpers import OPTIONS, SAMPLERS, TEXT, some_conditions

VALUES, FRAMES, ROWS = 4, 12, 32
CONTROLS = (ControlSpec("chords", VALUES, 4), ControlSpec("melody", VALUES, 4))
LATENT = LatentSpec("toy", 16_000, 25.0, 4, codebooks=2, cardinality=VALUES)
BACKBONE = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64)
CORNERS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # the half of a frame by its token
UPDATES = {"ar": 160, "fm": 150, "mar": 200, "mntp": 400, "masked_fm": 150}
SPAN = slice(4, 9)


def clips(seed: int) -> tuple[Tensor, Tensor, Conditions]:
    """Latents (B, T, 4), codes (B, 2, T), and the controls that they follow."""
    generator = torch.Generator().manual_seed(seed)
    tokens = {spec.name: torch.randint(0, VALUES, (ROWS, FRAMES), generator=generator) for spec in CONTROLS}
    words = some_conditions([3] * ROWS)
    halves = [tokens["chords"], tokens["melody"]]
    latents = torch.cat([CORNERS[half] for half in halves], dim=2)
    return latents, torch.stack(halves, dim=1), Conditions(words.text, words.text_mask_BL, tokens)


@functools.cache
@torch.enable_grad()
def trained(name: str) -> Paradigm:
    """A model after a short training: each control withheld from a third of the clips, every third update fills."""
    torch.manual_seed(0)
    settings = paradigms.find(name).conformance
    options = {**OPTIONS[name], **settings.inpainting}
    model = paradigms.build(name, options, BACKBONE, LATENT, TEXT, CONTROLS).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=UPDATES[name])
    for update in range(UPDATES[name]):
        latents, codes, conditions = clips(update)
        kept = {spec.name: torch.rand(ROWS) > 1 / 3 for spec in CONTROLS}
        known = some_known() if update % 3 == 2 else None
        batch = Batch(latents, codes, conditions.drop(torch.rand(ROWS) > 0.1, kept), known)
        optimiser.zero_grad()
        model.loss(batch, ItemRNG([1000 * update + i for i in range(ROWS)]), ItemRNG([update])).mean.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def some_known() -> Tensor:
    known = torch.ones(ROWS, FRAMES, dtype=torch.bool)
    known[:, SPAN] = False
    return known


def follows(drawn: Tensor, conditions: Conditions, control: str, frames: slice) -> float:
    """Share of the frames whose half is the one that the control asks for; 1/4 is chance."""
    half = [spec.name for spec in CONTROLS].index(control)
    if drawn.is_floating_point():
        heard = torch.cdist(drawn[..., 2 * half : 2 * half + 2], CORNERS).argmin(dim=-1)
    else:
        heard = drawn[:, half]
    return float((heard == conditions.controls[control])[:, frames].float().mean())


@pytest.mark.parametrize("guidance", [{"guidance": 1.0}, {"guidance": 2.0}, {"guidance": 1.5, "guidance_text": 0.5}])
@pytest.mark.parametrize("control", [spec.name for spec in CONTROLS])
@pytest.mark.parametrize("name", sorted(UPDATES))
@torch.no_grad()
def test_a_control_that_determines_the_clip_is_followed(name: str, control: str, guidance: dict[str, Any]) -> None:
    model = trained(name)
    latents, codes, given = clips(-1)
    alone = Conditions(given.text, given.text_mask_BL, {control: given.controls[control]})
    settings = {**SAMPLERS[name], **guidance}
    drawn = model.generate(alone, FRAMES, model.sampler(settings), ItemRNG(range(ROWS)))
    assert follows(drawn, given, control, slice(None)) > 0.9
    target = codes if model.view == "codes" else latents
    filled = model.inpaint(target, some_known(), alone, model.sampler(settings), ItemRNG(range(ROWS)))
    assert follows(filled, given, control, SPAN) > 0.9


def beats(seed: int) -> tuple[Tensor, Tensor, Conditions]:
    """Codes (B, 2, T) that are 0 on beats from the beginning and chance between them; the caption is the period."""
    generator = torch.Generator().manual_seed(seed)
    period = torch.randint(3, 6, (ROWS, 1), generator=generator)
    beat = torch.arange(2 * FRAMES) % period == 0
    codes = torch.randint(1, VALUES, (ROWS, 2, 2 * FRAMES), generator=generator).masked_fill(beat[:, None], 0)
    return beat, codes, Conditions(period, torch.ones(ROWS, 1, dtype=torch.bool))


def test_ar_that_also_fills_spans_keeps_the_beat() -> None:
    """Positions counted along the arranged sequence A, C, B lose the beat in spans (F1 0.2) and blur it elsewhere."""
    torch.manual_seed(0)
    wide = BackboneConfig(d_model=64, n_layers=2, n_heads=4, d_ff=128)
    model = paradigms.build("ar", {"fill_middle": True}, wide, LATENT, TEXT, ()).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=250)
    frame, latents = torch.arange(2 * FRAMES), torch.zeros(ROWS, 2 * FRAMES, 4)
    for update in range(250):
        _, codes, conditions = beats(update)
        start = torch.randint(3, FRAMES - 3, (ROWS, 1))
        known = (frame < start) | (frame >= start + FRAMES) if update % 3 == 2 else None
        optimiser.zero_grad()
        model.loss(Batch(latents, codes, conditions, known), ItemRNG(range(ROWS)), ItemRNG([0])).mean.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
    beat, codes, conditions = beats(-1)
    known = ((frame < 6) | (frame >= 18)).expand(ROWS, -1)
    settings = model.sampler({"guidance": 1.0, "top_k": 0})
    drawn = model.generate(conditions, 2 * FRAMES, settings, ItemRNG(range(ROWS)))[:, 0] == 0
    filled = model.inpaint(codes, known, conditions, settings, ItemRNG(range(ROWS)))[:, 0] == 0
    span = slice(6, 18)
    assert f1(drawn, beat) > 0.9
    assert f1(filled[:, span], beat[:, span]) > 0.9


def f1(found: Tensor, right: Tensor) -> float:
    return float(2 * (found & right).sum() / (found.sum() + right.sum()))
