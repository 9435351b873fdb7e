"""What a paradigm fixes in the backbone, what a study may choose, and where fm's time enters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig, preset
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.fm import FM
from tests.helpers import BACKBONE, make, some_batch, some_conditions

ADALN = dataclasses.replace(BACKBONE, time="adaln")


def test_a_choice_that_nature_leaves_open_stays() -> None:
    assert FM.fitted(preset("tiny")).time == "add"
    assert FM.fitted(preset("tiny", time="adaln")).time == "adaln"
    assert FM.fitted(preset("tiny", time="adaln")).causal is False


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("fm", "time", "none"), ("fm", "causal", True), ("ar", "time", "adaln"), ("ar", "causal", False),
        ("mar", "time", "add"), ("mar", "causal", True), ("mntp", "causal", False), ("masked_fm", "time", "adaln"),
    ],
)  # fmt: skip
def test_a_choice_against_nature_is_refused_by_name(name: str, field: str, value: object) -> None:
    cls, asked = paradigms.find(name), preset("tiny", **{field: value})
    with pytest.raises(UserError, match=rf"^backbone\.{field} {str(value).lower()} .*{name!r}") as raised:
        cls.fitted(asked, {field})
    assert "\n" not in str(raised.value)
    if value != getattr(BackboneConfig(), field):  # a value that is nobody's default was set on purpose
        with pytest.raises(UserError, match=field):
            cls.fitted(asked)
    else:
        assert getattr(cls.fitted(asked), field) != value


def test_fm_reads_its_time_through_adaln() -> None:
    """The field depends on each row's own time, and every layer that reads it is trained."""
    model = make("fm", backbone=ADALN)
    text = model.read_text(some_conditions([4, 2]))
    x, times = torch.randn(2, 7, model.latent.dim), torch.tensor([0.2, 0.7])
    one, other = (model.velocity(x, t, text) for t in (times, torch.tensor([0.2, 0.1])))
    torch.testing.assert_close(one[0], other[0])
    assert (one[1] - other[1]).abs().max() > 1e-3
    assert not torch.equal(one[1], model.velocity(x, times[1:], text)[0])
    model.train().loss(some_batch(some_conditions([4, 2])), ItemRNG([1, 2]), ItemRNG([5])).mean.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for n, p in model.named_parameters() if "modulation" in n)
    names = dict(model.named_parameters())
    assert any("modulation" in name for name in names)
    assert not any("modulation" in name for name, _ in make("fm").named_parameters())
