"""Flow matching: its loss by hand, its solvers against torchdiffeq and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torchdiffeq import odeint

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.fm import FM
from paradigm_bench.paradigms.ode import ODESettings, integrate
from tests.helpers import make, sample, some_batch, some_conditions

THEIR_NAME = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2"}


def flow_matching(**options: object) -> FM:
    model = make("fm", options)
    assert isinstance(model, FM)
    return model


@pytest.mark.parametrize("weighted", [True, False])
def test_loss_by_hand(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    """From what the network was shown, x_t and t, follow the noise and hence the loss of a constant velocity."""
    sigma, answer = 0.2, 0.7
    model, batch = flow_matching(sigma=sigma, time_weight=weighted), some_batch(some_conditions([2, 4, 1]))
    seen = {}

    def velocity(x_BTD: Tensor, time_B: Tensor, text: object, controls: None) -> Tensor:
        seen.update(x=x_BTD, t=time_B)
        return torch.full_like(x_BTD, answer)

    monkeypatch.setattr(model, "velocity", velocity)
    loss = model.loss(batch, ItemRNG([5, 6, 7]), ItemRNG([8]))
    data, t = batch.latents_BTD, seen["t"]
    noise = (seen["x"] - t[:, None, None] * data) / (1 - (1 - sigma) * t[:, None, None])
    assert abs(noise.mean()) < 0.3
    assert abs(noise.std() - 1) < 0.2
    squares = (answer - (data - (1 - sigma) * noise)).square().sum(dim=(1, 2)) / (10 * 6)
    assert_close(loss.per_item_B, squares * (1 + t if weighted else 1), rtol=1e-4, atol=1e-5)
    assert_close(loss.mean, loss.per_item_B.mean())
    assert len(set(t.tolist())) == 3


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_fixed_grids_are_torchdiffeqs(solver: str, guidance: float) -> None:
    model, conditions = flow_matching(), some_conditions([3, 5])
    text, null = model.read_text(conditions), model.read_text(conditions.null())

    @torch.no_grad()
    def field(t: Tensor, x: Tensor) -> Tensor:
        conditional, free = (model.velocity(x, t.expand(2), words) for words in (text, null))
        return free + guidance * (conditional - free)

    theirs = odeint(
        field,
        ItemRNG([1, 2]).normal(9, 6),
        torch.tensor([0.0, 1.0]),
        method=THEIR_NAME[solver],
        options={"step_size": 1 / 8},
    )[-1]
    ours = sample(model, conditions, 9, [1, 2], solver=solver, steps=8, guidance=guidance)
    assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    others = [
        sample(model, conditions, 9, [1, 2], solver=other, steps=8, guidance=guidance)
        for other in THEIR_NAME
        if other != solver
    ]
    assert min((ours - other).abs().max() for other in others) > 1e-3  # the solvers can be told apart


@pytest.mark.parametrize(
    ("solver", "steps", "error"),
    [("euler", 4000, 1e-3), ("midpoint", 100, 1e-4), ("heun", 100, 1e-4), ("dopri5", 1, 1e-5)],
)
def test_closed_form(solver: str, steps: int, error: float) -> None:
    """dx/dt = -3x + t has x(1) = (x(0) + 1/9) e^-3 + 2/9."""
    start = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    settings = ODESettings(solver=solver, steps=steps, tolerance=1e-7)
    end = integrate(lambda x, t: -3 * x + t, start, settings)
    assert_close(end, (start + 1 / 9) * math.exp(-3) + 2 / 9, rtol=0, atol=error)


@pytest.mark.parametrize("settings", [{"solver": "dopri5", "tolerance": 1e-5}, {"solver": "heun", "steps": 60}])
def test_gaussian_data_is_reached_exactly(monkeypatch: pytest.MonkeyPatch, settings: dict) -> None:
    """For data N(m, s^2) the marginal field is known, and its flow maps noise x to m + s x (independent coupling)."""
    model, mean, std = flow_matching(), 1.5, 0.4

    def velocity(x: Tensor, time_B: Tensor, text: object, controls: None) -> Tensor:
        t = time_B[:, None, None]
        return mean + (t * std**2 - (1 - t)) / ((1 - t) ** 2 + (t * std) ** 2) * (x - t * mean)

    monkeypatch.setattr(model, "velocity", velocity)
    clips = sample(model, some_conditions([1, 1]), 9, [1, 2], guidance=1.0, **settings)
    assert_close(clips, mean + std * ItemRNG([1, 2]).normal(9, 6), rtol=0, atol=2e-3)


def test_dopri5_of_an_item_ignores_its_batch_mates() -> None:
    model = make("fm", backbone=BackboneConfig(d_model=16, n_layers=1, n_heads=2, d_ff=32), std=0.3)
    conditions = some_conditions([3, 5, 2])
    together = sample(model, conditions, 5, [1, 2, 3], solver="dopri5", tolerance=1e-3)
    for i in range(3):
        alone = sample(model, conditions[i : i + 1], 5, [i + 1], solver="dopri5", tolerance=1e-3)
        assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-3)  # steps of another size move it by 0.1


def test_bad_settings() -> None:
    with pytest.raises(UserError, match="steps must be 1 or more, not 0"):
        FM.sampler({"steps": 0})
    with pytest.raises(UserError, match=r"tolerance must be above 0, not 0.0"):
        FM.sampler({"tolerance": 0.0})
    with pytest.raises(UserError, match="did you mean 'midpoint'"):
        FM.sampler({"solver": "mid-point"})
