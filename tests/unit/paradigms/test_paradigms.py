"""Shapes of any size, options and settings, guidance and conditions; what else all keep is in test_conformance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.conformance import ConformanceCase
from paradigm_bench.benchmarks.conformance.form import check_shapes
from paradigm_bench.common.errors import UserError
from paradigm_bench.paradigms.guidance import Guided, guide, scale_at
from paradigm_bench.paradigms.mar import MARUnmasking
from paradigm_bench.paradigms.mntp import MNTPDecoding
from tests.helpers import BACKBONE, LATENT, OPTIONS, TEXT, make, some_conditions

every_paradigm = pytest.mark.parametrize("name", paradigms.names())


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
    check_shapes(ConformanceCase(paradigms.find(name)), batch, frames, dim, codebooks, words)


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
    with pytest.raises(UserError, match="'ar' models codes, but 'toy' has no quantiser"):
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


def test_the_papers_schedules_by_hand() -> None:
    """Yang et al. 2025, eq. 5: 5 positions from 7; Huang et al. 2025, eq. 5: 4 iterations from 5, exact in mar."""
    mntp = make("mntp")
    text = mntp.read_text(some_conditions([2]), 2)
    for schedule, guidance, expected in (
        ("annealed", 7, [7, 5.5, 4, 2.5, 1]),
        ("annealed_to_2", 8, [8, 6.5, 5, 3.5, 2]),
    ):
        sampler = mntp.sampler({"guidance": float(guidance), "guidance_schedule": schedule})
        assert MNTPDecoding(mntp, text, (1, 5, 6), 0, sampler).scales.tolist() == pytest.approx(expected)
    written = [1 + 4 * 0.9238795, 1 + 4 * 0.7071068, 1 + 4 * 0.3826834, 1]  # cos of 22.5, 45, 67.5 and 90 degrees

    def scales(schedule: str, frames: int) -> list[float]:
        model = make("mar")
        sampler = model.sampler({"guidance": 5.0, "guidance_schedule": schedule, "iterations": 4})
        return MARUnmasking(model, (1, frames, 6), frames, sampler).scales.tolist()

    assert scales("cosine_iterations", 13) == pytest.approx(written)
    assert scales("annealed", 4000) == pytest.approx(written, abs=2e-3)
    assert scales("cosine", 4000)[1] == pytest.approx(1 + 4 * 0.8962, abs=2e-3)  # cos of 90 degrees x (1 - 0.7071)


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
