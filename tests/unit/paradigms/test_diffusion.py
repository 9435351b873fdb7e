"""The token head's diffusion: schedule and sampler against diffusers, optimal denoising, its loss by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.diffusion import Diffusion, cosine_alphas_bar, respaced
from paradigm_bench.paradigms.heads import DiffusionHead, HeadOptions, HeadSampler
from tests.helpers import perturb


def diffusers_scheduler(module: object) -> object:
    return module.DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        variance_type="fixed_small",
        clip_sample=False,
        timestep_spacing="linspace",
    )


def denoise(velocity: Callable[[Tensor, int], Tensor], noise_SBD: Tensor, temperature: float = 1.0) -> Tensor:
    """The plain loop over ``Diffusion.updates``."""
    x = noise_SBD[0]
    for added, step in zip(noise_SBD[1:], Diffusion().updates(len(noise_SBD) - 1), strict=True):
        x = step.keep * x - step.turn * velocity(x, step.t) + step.spread * temperature * added
    return x


def from_noise(predict_noise: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """v of a predictor of the noise, which is what papers and peers have."""
    bars = Diffusion().alphas_bar
    return lambda x, t: (predict_noise(x, t) - (1 - bars[t]).sqrt() * x) / bars[t].sqrt()


def test_cosine_schedule_is_diffusers() -> None:
    scheduler = diffusers_scheduler(pytest.importorskip("diffusers"))
    assert_close(cosine_alphas_bar(), scheduler.alphas_cumprod.double(), rtol=2e-4, atol=0)  # theirs is float32
    assert cosine_alphas_bar()[-1] < 1e-8


@pytest.mark.parametrize("kept", [2, 25, 100, 1000])
def test_respaced_sampling_is_diffusers(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    ddpm = pytest.importorskip("diffusers.schedulers.scheduling_ddpm")
    scheduler = diffusers_scheduler(ddpm)
    scheduler.alphas_cumprod = cosine_alphas_bar()  # in float64, see the test above
    scheduler.set_timesteps(kept)
    assert scheduler.timesteps.tolist() == respaced(kept).tolist()
    noise = torch.randn(kept + 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    draws = iter(noise[1:])
    monkeypatch.setattr(ddpm, "randn_tensor", lambda *args, **kwargs: next(draws))

    def predict(x: Tensor, t: int) -> Tensor:
        return torch.sin(x * 1.3 + t / 500)

    theirs = noise[0]
    for t in scheduler.timesteps:
        theirs = scheduler.step(predict(theirs, int(t)), t, theirs).prev_sample
    assert_close(denoise(from_noise(predict), noise), theirs, rtol=1e-5, atol=1e-5)


def optimal_noise(diffusion: Diffusion, mean: float, std: float) -> object:
    """E[eps | x_t] for data N(mean, std^2)."""

    def predict(x: Tensor, t: int) -> Tensor:
        abar = float(diffusion.alphas_bar[t])
        return (1 - abar) ** 0.5 * (x - abar**0.5 * mean) / (abar * std**2 + 1 - abar)

    return predict


@pytest.mark.parametrize(("mean", "std"), [(1.5, 0.4), (0.0, 2.0)])
def test_optimal_denoising_reaches_gaussian_data(mean: float, std: float) -> None:
    diffusion = Diffusion()
    noise = torch.randn(251, 8000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    samples = denoise(from_noise(optimal_noise(diffusion, mean, std)), noise)
    assert samples.mean().item() == pytest.approx(mean, abs=4 * std / 8000**0.5)
    assert samples.std().item() == pytest.approx(std, rel=0.04)


def test_temperature_scales_the_added_noise() -> None:
    diffusion = Diffusion()
    noise = torch.randn(101, 4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    predict = from_noise(optimal_noise(diffusion, 1.0, 0.5))
    cold, warm, hot = (denoise(predict, noise, temperature).std().item() for temperature in (0.0, 0.8, 1.0))
    assert cold < 0.8 * warm < 0.8 * hot
    still = noise.clone()
    still[1:] = 0
    assert_close(denoise(predict, noise, 0.0), denoise(predict, still, 1.0))


@pytest.mark.parametrize("weighting", ["noise", "velocity"])
def test_head_loss_by_hand(monkeypatch: pytest.MonkeyPatch, weighting: Literal["noise", "velocity"]) -> None:
    """From what the head was shown follow the noise, hence the loss of a constant answer; each row has its own z."""
    batch, frames, dim, repeats, answer = 2, 3, 4, 5, 0.3
    head = DiffusionHead(HeadOptions(width=8, depth=1, repeats=repeats, weighting=weighting), dim, d_model=6)
    tokens = torch.randn(batch, frames, dim, generator=torch.Generator().manual_seed(0))
    z_BTC = torch.arange(batch * frames).view(batch, frames, 1).expand(-1, -1, 6).float()
    seen = {}

    def velocity(x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        seen.update(x=x_RD, t=t_R, z=z_RC)
        return torch.full_like(x_RD, answer)

    monkeypatch.setattr(head, "velocity", velocity)
    loss_B = head.loss(tokens, z_BTC, ItemRNG([1, 2]))
    abar = cosine_alphas_bar()[seen["t"]].float()[:, None]
    token_of_row = seen["z"][:, 0].long()
    assert torch.bincount(token_of_row).tolist() == [repeats] * (batch * frames)
    clean = tokens.flatten(0, 1)[token_of_row]
    noise = (seen["x"] - abar.sqrt() * clean) / (1 - abar).sqrt()
    assert noise.std().item() == pytest.approx(1, abs=0.2)
    assert len(set(seen["t"].tolist())) > 20
    if weighting == "noise":
        errors = ((1 - abar).sqrt() * seen["x"] + abar.sqrt() * answer - noise).square().mean(dim=1)
    else:
        errors = (answer - (abar.sqrt() * noise - (1 - abar).sqrt() * clean)).square().mean(dim=1)
    by_item = [errors[token_of_row // frames == item].mean() for item in range(batch)]
    assert_close(loss_B, torch.stack(by_item), rtol=1e-4, atol=1e-5)


def test_untrained_head_is_right_in_pure_noise_and_then_every_input_counts() -> None:
    torch.manual_seed(0)
    head = DiffusionHead(HeadOptions(width=16, depth=2), 4, d_model=6)
    x, t, z = torch.randn(3, 4), torch.tensor([10, 500, 990]), torch.randn(3, 6)
    assert_close(head(x, t, z), (1 - cosine_alphas_bar()[t]).sqrt().float()[:, None] * x)
    perturb(head, 0.2)
    base = head(x, t, z)
    for changed in (head(x + 1, t, z), head(x, t - 5, z), head(x, t, z.flip(0))):
        assert (changed - base).abs()[[0, 2]].amax() > 1e-3


@pytest.mark.parametrize("held", [2**26, 500])
@pytest.mark.parametrize("guidance", [None, 2.5])
def test_sampling_equals_the_plain_loop(monkeypatch: pytest.MonkeyPatch, held: int, guidance: float | None) -> None:
    """Modulations made ahead (in one go or in parts) and branches in one call change nothing."""
    monkeypatch.setattr("paradigm_bench.paradigms.heads.MODULATIONS_HELD", held)
    torch.manual_seed(0)
    head = perturb(DiffusionHead(HeadOptions(width=16, depth=2), 4, d_model=6), 0.2)
    conditional, null, noise = torch.randn(5, 6), torch.randn(5, 6), torch.randn(11, 5, 4)

    @torch.no_grad()
    def velocity(x: Tensor, t: int) -> Tensor:
        wanted, free = (head.velocity(x, torch.full((5,), t), z_RC) for z_RC in (conditional, null))
        return wanted if guidance is None else free + guidance * (wanted - free)

    z_RC = conditional if guidance is None else torch.cat([conditional, null])
    with torch.no_grad():
        settings = HeadSampler(diffusion_steps=10, temperature=0.9, guidance=guidance or 1.0)
        ours = head.sample(z_RC, noise, settings, torch.tensor([guidance or 1.0]))
    assert_close(ours, denoise(velocity, noise, 0.9), rtol=1e-4, atol=1e-4)
