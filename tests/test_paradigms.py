"""What every paradigm must keep: outputs ignore batch-mates and padding, seeds decide, options are checked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import paradigms
from backbones import BackboneConfig
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.base import Conditions, Paradigm
from paradigms.guidance import Guided, guide, scale_at
from tests.helpers import BACKBONE, LATENT, OPTIONS, TEXT, make, sample, some_batch, some_conditions

every_paradigm = pytest.mark.parametrize("name", paradigms.names())
LENGTHS = [3, 6, 1, 5]
SHAPES = {
    "cross": BACKBONE,
    "prefix": BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text="prefix", positions="learned"),
    "rotary": BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text="prefix", positions="rotary"),
}


def garbage_padding(conditions: Conditions, extra: int) -> Conditions:
    """The same captions with other ids in their padding and more of it."""
    text = torch.where(conditions.text_mask_BL, conditions.text, 1)
    pad = torch.ones(len(conditions), extra, dtype=torch.long)
    return Conditions(torch.cat([text, pad], 1), torch.cat([conditions.text_mask_BL, pad == 0], 1))


def trimmed(conditions: Conditions, item: int) -> Conditions:
    """One item alone, with no padding at all."""
    return Conditions(
        conditions.text[item : item + 1, : LENGTHS[item]], conditions.text_mask_BL[item : item + 1, : LENGTHS[item]]
    )


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    if ours.dtype == torch.int64:
        assert torch.equal(ours, theirs)
    else:
        scale = theirs.abs().max().item()
        assert 0.1 < scale < 1e4, "outputs should be of order one for this test to mean something"
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * scale)


@every_paradigm
@pytest.mark.parametrize("shape", list(SHAPES))
def test_generation_ignores_batch_mates_and_padding(name: str, shape: str) -> None:
    model, conditions, seeds = make(name, backbone=SHAPES[shape]), some_conditions(LENGTHS), [11, 12, 13, 14]
    together = sample(model, conditions, 7, seeds)
    assert_same(sample(model, garbage_padding(conditions, 3), 7, seeds), together)
    for item in (0, 2):
        assert_same(sample(model, trimmed(conditions, item), 7, seeds[item : item + 1]), together[item : item + 1])
    assert not torch.equal(together[0], together[1])


@every_paradigm
@pytest.mark.parametrize("shape", list(SHAPES))
def test_loss_of_an_item_ignores_batch_mates_and_padding(name: str, shape: str) -> None:
    model, conditions, seeds = make(name, backbone=SHAPES[shape]), some_conditions(LENGTHS), [11, 12, 13, 14]
    together = loss(model, conditions, slice(None), seeds)
    assert together.shape == (4,)
    assert_close(loss(model, garbage_padding(conditions, 3), slice(None), seeds), together, rtol=1e-4, atol=1e-4)
    for item in (0, 2):
        alone = slice(item, item + 1)
        assert_close(loss(model, trimmed(conditions, item), alone, seeds[alone]), together[alone], rtol=1e-4, atol=1e-4)


def loss(model: Paradigm, conditions: Conditions, items: slice, seeds: list[int]) -> Tensor:
    """Per-item losses of ``items`` of one fixed batch of four clips."""
    batch = some_batch(some_conditions(LENGTHS))
    assert batch.codes_BKT is not None
    part = type(batch)(batch.latents_BTD[items], batch.codes_BKT[items], conditions)
    with torch.no_grad():
        return model.loss(part, ItemRNG(seeds), ItemRNG([5])).per_item_B


@every_paradigm
def test_seeds_decide_and_only_they(name: str) -> None:
    model, conditions = make(name), some_conditions([3, 3])
    conditions = Conditions(conditions.text[[0, 0]], conditions.text_mask_BL)
    first = sample(model, conditions, 8, [1, 2])
    torch.manual_seed(999)  # torch's global stream has no say
    assert torch.equal(sample(model, conditions, 8, [1, 2]), first)
    assert_same(sample(model, conditions, 8, [2, 1]), first.flip(0))
    assert not torch.allclose(first[0].float(), first[1].float(), atol=1e-2)


@every_paradigm
def test_text_and_guidance_matter(name: str) -> None:
    model, conditions = make(name, std=0.25), some_conditions([4, 2])
    clips = [
        sample(model, c, 8, [1, 2], guidance=w).float()
        for c, w in (
            (conditions, 1.0),
            (conditions, 4.0),
            (conditions.null(), 1.0),
            (some_conditions([4, 2], seed=9), 1.0),
        )
    ]
    for other in clips[1:]:
        assert not torch.allclose(other, clips[0], atol=1e-2)
    # Without a condition, both branches are the same, and guidance does nothing.
    assert_same(
        sample(model, conditions.null(), 8, [1, 2], guidance=4.0),
        sample(model, conditions.null(), 8, [1, 2], guidance=1.0),
    )


@every_paradigm
@settings(max_examples=8, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 9),
    dim=st.integers(1, 7),
    codebooks=st.integers(1, 5),
    words=st.integers(1, 6),
)
def test_shapes(name: str, batch: int, frames: int, dim: int, codebooks: int, words: int) -> None:
    latent = LATENT.replace(dim=dim, codebooks=codebooks)
    model, conditions = make(name, latent=latent), some_conditions([words] * batch)
    clips = sample(model, conditions, frames, list(range(batch)))
    result = model.loss(some_batch(conditions, frames, latent), ItemRNG(range(batch)), ItemRNG([0]))
    assert result.per_item_B.shape == (batch,)
    assert result.mean.isfinite()
    if model.view == "codes":
        assert clips.shape == (batch, codebooks, frames)
        assert 0 <= clips.min() <= clips.max() < latent.cardinality
    else:
        assert clips.shape == (batch, frames, dim)
        assert clips.isfinite().all()


@every_paradigm
def test_every_parameter_learns(name: str) -> None:
    model = make(name).train()
    model.loss(some_batch(some_conditions([3, 5])), ItemRNG([1, 2]), ItemRNG([3])).mean.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert sum(model.parameter_counts().values()) == sum(p.numel() for p in model.parameters())


@every_paradigm
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_layer": 1}, "did you mean 'text_layers'"),
        ({"text_layers": "two"}, "text_layers: expected int, got 'two'"),
    ],
)
def test_bad_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=f"{name} options.*{message}"):
        paradigms.build(name, options, BACKBONE, LATENT, TEXT)


@every_paradigm
def test_bad_sampler_settings(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} sampler.*did you mean 'guidance'"):
        make(name).sampler({"guidence": 2.0})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ar", {"top_p": 0.0}, "top_p above 0"),
        ("mar", {"iterations": 0}, "iterations must be 1 or more, not 0"),
        ("mar", {"diffusion_steps": 1}, "diffusion_steps must be 2 to 1000, not 1"),
        ("mntp", {"temperature": -1.0}, "temperature"),
        ("mntp", {"diffusion_steps": 1001}, "2 to 1000, not 1001"),
        ("masked_fm", {"iterations": 0}, "iterations must be 1 or more, not 0"),
        ("masked_fm", {"solver": "dopri5"}, "set solver to euler, midpoint or heun"),
        ("mar", {"guidance_schedule": "lineer"}, "did you mean 'linear'"),
    ],
)
def test_impossible_sampler_settings(name: str, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(name).sampler(settings)


def test_unknown_paradigm_and_unfit_latent() -> None:
    with pytest.raises(UserError, match=r"unknown paradigm 'mnpt'.*did you mean 'mntp'"):
        paradigms.build("mnpt", {}, BACKBONE, LATENT, TEXT)
    with pytest.raises(UserError, match="'ar' models codes, which 'toy' has not"):
        paradigms.build("ar", {}, BACKBONE, LATENT.replace(codebooks=0, cardinality=0), TEXT)
    with pytest.raises(UserError, match="mae or skips to false"):
        paradigms.build("mar", OPTIONS["mar"], BackboneConfig(skips=True), LATENT, TEXT)


@pytest.mark.parametrize(
    ("schedule", "start", "middle", "end"),
    [
        ("constant", 3.0, 3.0, 3.0),
        ("linear", 1.0, 2.0, 3.0),
        ("annealed", 3.0, 2.0, 1.0),
        ("cosine", 3.0, 1 + 2 * 0.5**0.5, 1.0),
    ],
)
def test_guidance_schedules(schedule: str, start: float, middle: float, end: float) -> None:
    assert [scale_at(schedule, 3.0, at) for at in (0.0, 0.5, 1.0)] == pytest.approx([start, middle, end])
    assert scale_at(schedule, 1.0, 0.3) == pytest.approx(1.0)


def test_conditions() -> None:
    conditions = some_conditions([3, 1, 2])
    dropped = conditions.drop(torch.tensor([True, False, True]))
    assert dropped.text_mask_BL.sum(dim=1).tolist() == [3, 0, 2]
    assert conditions.null().text_mask_BL.sum() == 0
    both = conditions.branches(2)
    assert both.text_mask_BL.sum(dim=1).tolist() == [3, 1, 2, 0, 0, 0]
    assert torch.equal(both.text, torch.cat([conditions.text, conditions.text]))
    assert (len(both), len(both[1:3])) == (6, 2)
    assert both[1:3].text_mask_BL.sum(dim=1).tolist() == [1, 2]


def test_guidance_by_hand() -> None:
    both = torch.tensor([[2.0], [5.0], [1.0], [4.0]])  # two conditional rows, then their null rows
    assert guide(both, Guided(guidance=3.0)).tolist() == [[4.0], [7.0]]
    assert guide(both, Guided(guidance=3.0), torch.tensor([2.0])).tolist() == [[3.0], [6.0]]
    assert guide(both, Guided(guidance=0.0)).tolist() == [[1.0], [4.0]]
    assert guide(both, Guided(guidance=1.0)) is both  # one branch: nothing to combine
    three = torch.tensor([[2.0], [1.5], [1.0]])  # everything, the text alone, nothing
    assert guide(three, Guided(guidance=3.0, guidance_text=2.0)).tolist() == [[1 + 3 * 1 + 2 * 0.5]]
