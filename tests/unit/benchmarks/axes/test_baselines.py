"""Every baseline gives what our arm gives, from the same weights and noise, and refuses what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import SAMPLERS, make, sample, some_conditions
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.axes.latency.baselines import BASELINES, baselines_of
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Paradigm
from paradigm_bench.paradigms.diffusion import STEPS, cosine_alphas_bar, respaced


def by_baseline(model: Paradigm, frames: int, seeds: list[int], lengths: list[int], **settings: object) -> Tensor:
    sampler = model.sampler({**SAMPLERS[model.name], **settings})
    name, *_ = baselines_of(model.name)
    return BASELINES.load(name)(model).generate(some_conditions(lengths), frames, sampler, ItemRNG(seeds))


@pytest.mark.parametrize(
    "settings", [{"guidance": 2.0}, {"guidance": 1.0}, {"temperature": 0.0}, {"top_k": 3, "top_p": 0.8}]
)
def test_transformers_draws_our_codes(settings: dict[str, Any]) -> None:
    model = make("ar")
    ours = sample(model, some_conditions([3, 5]), 7, [1, 2], **settings)
    # Codes are whole numbers: these stay the same where weights differ by 1e-4, a thousand times the rounding.
    assert torch.equal(ours, by_baseline(model, 7, [1, 2], [3, 5], **settings))


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_torchdiffeq_takes_our_fixed_steps(solver: str) -> None:
    model = make("fm")
    ours = sample(model, some_conditions([3, 5]), 7, [1, 2], solver=solver)
    torch.testing.assert_close(by_baseline(model, 7, [1, 2], [3, 5], solver=solver), ours, rtol=1e-4, atol=1e-5)


def test_torchdiffeqs_dopri5_is_ours_for_one_clip() -> None:
    model = make("fm")
    ours = sample(model, some_conditions([4]), 7, [1], solver="dopri5")
    torch.testing.assert_close(by_baseline(model, 7, [1], [4], solver="dopri5"), ours, rtol=1e-3, atol=1e-4)


class SameNoise:
    """Feeds diffusers' scheduler the noise that our loop would have added."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, baseline: Any) -> None:
        self.drawn: list[Tensor] = []
        original = baseline.sample

        def keep(z_RC: Tensor, noise_SRD: Tensor, settings: Any, scale: Tensor) -> Tensor:
            self.drawn = list(noise_SRD[1:])
            return original(z_RC, noise_SRD, settings, scale)

        monkeypatch.setattr(baseline, "sample", keep)
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, **k: self.drawn.pop(0))


@pytest.mark.parametrize("name", ["mar", "ntp", "mntp"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_diffusers_denoises_as_we_do(name: str, guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name)
    sampler = model.sampler({**SAMPLERS[name], "guidance": guidance})
    ours = sample(model, some_conditions([3, 5]), 6, [1, 2], guidance=guidance)
    baseline = BASELINES.load("diffusers")(model)
    SameNoise(monkeypatch, baseline)
    theirs = baseline.generate(some_conditions([3, 5]), 6, sampler, ItemRNG([1, 2]))
    torch.testing.assert_close(theirs, ours, rtol=2e-3, atol=2e-3)
    assert "sample" not in vars(model.head)  # our own loop is back in its place
    assert torch.equal(sample(model, some_conditions([3, 5]), 6, [1, 2], guidance=guidance), ours)


@pytest.mark.parametrize("kept", [2, 25, 50, 100, 150, 200])
def test_diffusers_keeps_the_same_steps_of_the_same_schedule(kept: int) -> None:
    baseline = BASELINES.load("diffusers")(make("ntp"))
    baseline.scheduler.set_timesteps(kept)
    assert torch.equal(baseline.scheduler.timesteps, respaced(kept))
    torch.testing.assert_close(
        baseline.scheduler.alphas_cumprod.double(), cosine_alphas_bar(STEPS), rtol=2e-4, atol=1e-9
    )  # fmt: skip


def test_a_temperature_that_ddpm_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="no temperature"):
        by_baseline(make("ntp"), 4, [1], [3], temperature=0.5)


def test_a_backbone_that_musicgen_lacks_is_refused() -> None:
    shape = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, positions="learned", text="prefix")
    with pytest.raises(UserError, match="cannot be exported"):
        BASELINES.load("transformers")(make("ar", backbone=shape))


@pytest.mark.parametrize(("settings", "evaluations"), [({"steps": 4}, 4), ({"steps": 3, "solver": "heun"}, 6)])
def test_gemms_alone_are_all_products_of_a_clip_but_attentions(settings: dict[str, Any], evaluations: int) -> None:
    model, conditions = make("fm"), some_conditions([4, 2])
    sampler = model.sampler({**settings, "guidance": 2.0})
    floor = BASELINES.load("gemms")(model)
    floor.generate(conditions, 6, sampler, ItemRNG([1, 2]))  # finds out what there is
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        out = floor.generate(conditions, 6, sampler, ItemRNG([1, 2]))
    assert out.shape == (4, 6, 6)
    products = counter.get_total_flops()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.generate(conditions, 6, sampler, ItemRNG([1, 2]))
    attention = evaluations * 2 * 4 * 32 * (4 * 6 * 6 + 2 * 6 * 4)  # 2 layers; self: 4 rows, cross: 2 rows, 4 words
    text = 2 * 2 * (2 * 4) * 32 * 64  # keys and values of 2 layers, once
    assert counter.get_total_flops() - attention - text == products
    with pytest.raises(UserError, match="fixed grid"):
        floor.generate(conditions, 6, model.sampler({"solver": "dopri5"}), ItemRNG([1, 2]))
