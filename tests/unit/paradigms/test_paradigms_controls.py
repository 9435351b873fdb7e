"""Temporal controls: each paradigm hears them at their own frame, and guidance has its branches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench import paradigms
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Conditions, Paradigm
from paradigm_bench.representations.latents.controls import ControlSpec
from tests.helpers import BACKBONE, LATENT, OPTIONS, SAMPLERS, TEXT, perturb, some_conditions

CONTROLS = (ControlSpec("chords", 5, 4), ControlSpec("melody", 3, 2))
FRAMES = 8
NAMES = ["ar", "fm", "mar", "mntp", "masked_fm"]


def controlled(name: str, std: float = 0.1) -> Paradigm:
    torch.manual_seed(0)
    return perturb(paradigms.build(name, OPTIONS.get(name, {}), BACKBONE, LATENT, TEXT, CONTROLS), std).eval()


def asked(seed: int = 0) -> Conditions:
    generator = torch.Generator().manual_seed(seed)
    words = some_conditions([4, 2])
    controls = {s.name: torch.randint(0, s.cardinality, (2, FRAMES), generator=generator) for s in CONTROLS}
    return Conditions(words.text, words.text_mask_BL, controls)


def draw(model: Paradigm, conditions: Conditions, **settings: object) -> Tensor:
    sampler = model.sampler({**SAMPLERS[model.name], **settings})
    return model.generate(conditions, FRAMES, sampler, ItemRNG([1, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_withheld_is_absent_and_null(name: str) -> None:
    """A control of -1 everywhere is a control that is not given; the null branch has neither text nor controls."""
    model, conditions = controlled(name), asked()
    withheld = Conditions(
        conditions.text, conditions.text_mask_BL, {s.name: torch.full((2, FRAMES), -1) for s in CONTROLS}
    )
    assert torch.equal(draw(model, withheld), draw(model, conditions.text_alone()))
    nothing = conditions.null()
    assert_close(draw(model, nothing, guidance=4.0), draw(model, nothing, guidance=1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["ar", "mntp"])
def test_a_causal_model_hears_a_control_one_step_before_its_frame(name: str) -> None:
    """Changing the controls of frame 5 leaves frames 0 to 4 as they were (of ar the first codebook: the delay)."""
    model, here = controlled(name), asked()
    later = {n: torch.where(torch.arange(FRAMES) == 5, (tokens + 1) % 3, tokens) for n, tokens in here.controls.items()}
    before, after = (draw(model, c) for c in (here, Conditions(here.text, here.text_mask_BL, later)))
    same = (before == after)[:, 0].all(0) if name == "ar" else (before == after).all(2).all(0)
    assert same[:5].all()
    if name == "mntp":
        assert not same[5]


@torch.no_grad()
def test_ar_reads_the_control_of_the_frame_that_it_predicts() -> None:
    model, here = controlled("ar"), asked()
    columns = model.column_controls(here, FRAMES)
    assert columns.shape == (2, FRAMES + 3, 32)
    own = model.read_controls(here, FRAMES)
    assert_close(columns[:, :FRAMES], own, rtol=1e-5, atol=1e-6)
    assert_close(columns[:, FRAMES:], model.read_controls(here.text_alone(), 3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_three_branches_with_equal_halves_are_guidance_by_hand(name: str) -> None:
    """w_text = 0 is plain guidance; where controls are withheld, all and text agree, so scales add up."""
    model, conditions = controlled(name), asked().text_alone()
    fixed = {"guidance_schedule": "constant"} if name in ("mar", "mntp") else {}
    fixed |= {"temperature": 0.0} if name == "ar" else {}
    split = draw(model, conditions, guidance=1.5, guidance_text=1.0, **fixed)
    assert_close(split, draw(model, conditions, guidance=2.5, **fixed), rtol=1e-3, atol=1e-3)
    assert not torch.equal(draw(model, asked(), guidance=1.5, guidance_text=1.0, **fixed), split)


def test_branches_stack_everything_the_text_and_nothing() -> None:
    three = asked().branches(3)
    assert three.text_mask_BL[:2].equal(three.text_mask_BL[2:4])
    assert not three.text_mask_BL[4:].any()
    assert (three.controls["chords"][:2] >= 0).all()
    assert (three.controls["chords"][2:] == -1).all()
