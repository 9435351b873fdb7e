"""The code of target positions of mntp: its size, its range, and that positions can be told apart."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from paradigm_bench import paradigms
from paradigm_bench.backbones import preset
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.mntp import MNTP, TargetCode
from paradigm_bench.representations.shapes import BUILTIN_LATENT
from tests.helpers import BACKBONE, TEXT, make, sample, some_batch, some_conditions

LEARNED = dataclasses.replace(BACKBONE, positions="learned", max_positions=12)


def test_no_parameters_are_spent_on_positions_that_no_clip_has() -> None:
    """A table of 4,096 rows held 524,288 of 2 million parameters; a clip of 4 s has 100 positions."""
    with torch.device("meta"):
        mntp, ntp = (paradigms.build(n, {}, preset("tiny"), BUILTIN_LATENT, TEXT) for n in ("mntp", "ntp"))
    sizes = [sum(p.numel() for p in model.parameters()) for model in (mntp, ntp)]
    assert sizes[0] - sizes[1] == mntp.parameter_counts()["target_code"] == 128 * 128


def test_every_position_has_a_code_of_its_own() -> None:
    torch.manual_seed(0)
    code = TargetCode(preset("tiny"))
    with torch.no_grad():
        codes = code(torch.arange(1, 3001)[None])[0]
    assert codes.square().mean() == pytest.approx(0.5, rel=0.2)  # the power of a sinusoid, so of the content's code
    assert (codes[1:] - codes[:-1]).norm(dim=1).min() > 0.05 * codes.norm(dim=1).mean()
    distances = torch.cdist(codes[::7], codes[::7]) + 1e9 * torch.eye(len(codes[::7]))
    assert distances.min() > 0.1 * codes.norm(dim=1).mean()


def test_clips_may_be_longer_than_in_training() -> None:
    """As for the other paradigms with sinusoidal positions, which have codes for every length."""
    model, conditions = make("mntp"), some_conditions([4])
    model.loss(some_batch(conditions, 10), ItemRNG([1]), ItemRNG([5])).mean.backward()
    assert torch.isfinite(sample(model, conditions, 70, [1])).all()


@pytest.mark.parametrize("name", ["mntp", "ar", "mar", "fm"])
def test_a_table_of_learned_positions_ends_with_one_line(name: str) -> None:
    options = {"buffer_tokens": 3} if name == "mar" else {}
    model, conditions = make(name, options, backbone=LEARNED), some_conditions([4, 2])
    assert len(sample(model, conditions, 8, [1, 2])) == 2
    for make_clip in (
        lambda: sample(model, conditions, 30, [1, 2]),
        lambda: model.loss(some_batch(conditions, 30), ItemRNG([1, 2]), ItemRNG([5])),
    ):
        with pytest.raises(UserError, match="max_positions: 3") as raised:
            make_clip()
        assert "\n" not in str(raised.value)


def test_a_learned_table_has_a_row_for_the_last_position() -> None:
    model = make("mntp", backbone=LEARNED)
    assert isinstance(model, MNTP)
    assert model.target_code is not None
    assert model.target_code.table is not None
    assert len(model.target_code.table.weight) == 12
    assert sample(model, some_conditions([4]), 12, [1]).shape[1] == 12
    for seed in range(4):
        model.loss(some_batch(some_conditions([4]), 12), ItemRNG([seed]), ItemRNG([seed]))
