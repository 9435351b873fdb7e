"""The token head's diffusion: schedule and sampler against diffusers, optimal denoising, its variance, its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def denoise(
    velocity: Callable[[Tensor, int], Tensor],
    noise_SBD: Tensor,
    temperature: float = 1.0,
    error: Callable[[int], Tensor | float] = lambda t: 0.0,
) -> Tensor:
    """The plain loop over ``Diffusion.updates``, with the expected squared error of v at each step."""
    x = noise_SBD[0]
    for added, step in zip(noise_SBD[1:], Diffusion().updates(len(noise_SBD) - 1), strict=True):
        x = step.keep * x - step.turn * velocity(x, step.t)
        if step.t:
            x = x + (step.posterior + step.turn**2 * error(step.t)) ** 0.5 * temperature * added
    return x


def expected_error(variance: float | Tensor, t: int | Tensor) -> float | Tensor:
    """E (v - E[v|x_t])^2 of Gaussian data: v and x_t are the two coordinates of (x_0, eps), rotated."""
    abar = Diffusion().alphas_bar[t]
    return variance / (abar * variance + 1 - abar)


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
@pytest.mark.parametrize("kept", [10, 250])
def test_optimal_denoising_reaches_gaussian_data(mean: float, std: float, kept: int) -> None:
    diffusion = Diffusion()
    noise = torch.randn(kept + 1, 8000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    predict = from_noise(optimal_noise(diffusion, mean, std))
    samples = denoise(predict, noise, error=lambda t: expected_error(std**2, t))
    assert samples.mean().item() == pytest.approx(mean, abs=4 * std / 8000**0.5)
    assert samples.std().item() == pytest.approx(std, rel=0.03)


def spread(variance: float, kept: int, error: Callable[[float, int], float]) -> float:
    """Standard deviation of generated tokens over the true one, without sampling, if ``error`` is taken for granted."""
    generated, diffusion = 1.0, Diffusion()
    for step in diffusion.updates(kept):
        abar = float(diffusion.alphas_bar[step.t])
        slope = (abar * (1 - abar)) ** 0.5 * (1 - variance) / (abar * variance + 1 - abar)  # E[v|x_t] = slope x_t
        added = step.posterior + step.turn**2 * error(variance, step.t) if step.t else 0.0
        generated = (step.keep - step.turn * slope) ** 2 * generated + added
    return (generated / variance) ** 0.5


@pytest.mark.parametrize("kept", [5, 25, 100, 1000])
@pytest.mark.parametrize("variance", [4.0, 1.0, 0.25, 0.1, 0.02])
def test_the_spread_of_gaussian_tokens_is_right(variance: float, kept: int) -> None:
    assert spread(variance, kept, expected_error) == pytest.approx(1, abs=0.002)


def test_the_posterior_variance_alone_and_one_error_for_all_tokens_are_not_enough() -> None:
    """Figures that docs/method.md and the docstring of ``diffusion`` give."""
    lower = [spread(variance, 25, lambda variance, t: 0.0) for variance in (1.0, 0.25, 0.1)]
    assert lower == pytest.approx([0.92, 0.88, 0.84], abs=0.01)
    shared = [spread(v, 25, lambda _, t: (expected_error(1.0, t) + expected_error(0.1, t)) / 2) for v in (1.0, 0.1)]
    assert shared == pytest.approx([0.97, 1.04], abs=0.01)


class ExactHead(DiffusionHead):
    """A head that knows the optimal answer for tokens whose channels are independent and Gaussian."""

    def __init__(self, variances: list[float]) -> None:
        super().__init__(HeadOptions(width=8, depth=1), len(variances), d_model=6)
        self.variances = torch.tensor(variances, dtype=torch.float64)

    def _activated_parts(self, times_S: Tensor, z_RC: Tensor) -> Iterator[tuple[slice, Tensor]]:
        yield slice(None), times_S[:, None, None].expand(-1, len(z_RC), 1)

    def _fields(self, y_SRW: Tensor, branches: int) -> Iterator[Callable[[Tensor], Tensor]]:
        for t in y_SRW[:, 0, 0].tolist():
            noise = optimal_noise(self.diffusion, 0.0, self.variances.sqrt())
            yield lambda x, t=t, noise=noise: from_noise(noise)(x, t).float()

    def expected_error(self, y_RW: Tensor) -> Tensor:
        return expected_error(self.variances, y_RW).float()


@pytest.mark.parametrize("kept", [25, 100])
def test_tokens_of_a_head_that_knows_the_optimum_have_the_true_spread(kept: int) -> None:
    variances, rows = [1.0, 0.25, 0.1], 20000
    noise_SRD = torch.randn(kept + 1, rows, 3, generator=torch.Generator().manual_seed(0))
    tokens = ExactHead(variances).sample(torch.zeros(rows, 6), noise_SRD, HeadSampler(kept, guidance=1.0))
    assert_close(tokens.std(dim=0) / torch.tensor(variances).sqrt(), torch.ones(3), rtol=0, atol=0.02)
    assert_close(torch.corrcoef(tokens.T), torch.eye(3), rtol=0, atol=0.03)


def test_a_head_learns_the_spread_of_tokens_that_differ_by_channel_and_condition() -> None:
    """Two kinds of tokens, one with a tenth of the other's variance; the condition tells which."""
    torch.manual_seed(0)
    head = DiffusionHead(HeadOptions(width=32, depth=2, weighting="velocity"), 3, d_model=6)
    deviations, codes = torch.tensor([1.0, 0.25, 0.1]).sqrt() * torch.tensor([[1.0], [0.1**0.5]]), torch.randn(2, 6)
    updates, average = 400, {name: p.detach().clone() for name, p in head.named_parameters()}
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    for update in range(updates):
        optimiser.param_groups[0]["lr"] = 1e-2 * min(1, (update + 1) / 50) * (1 - update / updates)
        kinds = torch.randint(2, (2, 256))
        tokens_BTD = torch.randn(2, 256, 3) * deviations[kinds]
        loss = head.loss(tokens_BTD, codes[kinds], ItemRNG([2 * update, 2 * update + 1])).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, p in head.named_parameters():
            average[name].lerp_(p.detach(), max(1 - (1 + update) / (10 + update), 0.01))
    head.load_state_dict(average)
    with torch.no_grad():
        for kept in (25, 100):
            for kind in (0, 1):
                noise_SRD = torch.randn(kept + 1, 5000, 3)
                tokens = head.sample(codes[kind].expand(5000, -1), noise_SRD, HeadSampler(kept, guidance=1.0))
                assert_close(tokens.std(dim=0) / deviations[kind], torch.ones(3), rtol=0, atol=0.06)


def test_the_variance_takes_no_part_in_what_the_rest_of_the_head_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for weight in (1e-3, 10.0):
        monkeypatch.setattr("paradigm_bench.paradigms.heads.VARIANCE_WEIGHT", weight)
        torch.manual_seed(0)
        head = perturb(DiffusionHead(HeadOptions(width=8, depth=1), 4, d_model=6), 0.2)
        z_BTC = torch.randn(1, 5, 6, requires_grad=True)
        head.loss(torch.randn(1, 5, 4), z_BTC, ItemRNG([1])).mean().backward()
        others = [p.grad for name, p in head.named_parameters() if not name.startswith("error.")]
        gradients.append([z_BTC.grad, *others])
        assert head.error.weight.grad.abs().amax() > 0
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other)


def test_the_expected_error_is_the_one_of_the_most_likely_gaussian() -> None:
    """At the error that the layer should learn, the gradient of its part of the loss vanishes on average."""
    torch.manual_seed(0)
    head = DiffusionHead(HeadOptions(width=8, depth=1, repeats=4), 2, d_model=6)
    tokens, z_BTC = torch.randn(50, 40, 2, generator=torch.Generator().manual_seed(1)), torch.zeros(50, 40, 6)
    with torch.no_grad():
        head.error.bias.fill_(torch.expm1(torch.tensor(1.0)).log())  # an untrained head errs by v, whose variance is 1
    head.loss(tokens, z_BTC, ItemRNG(list(range(50)))).mean().backward()
    at_optimum = head.error.bias.grad.abs().amax()
    head.zero_grad()
    with torch.no_grad():
        head.error.bias.fill_(torch.expm1(torch.tensor(2.0)).log())
    head.loss(tokens, z_BTC, ItemRNG(list(range(50)))).mean().backward()
    assert at_optimum < 0.1 * head.error.bias.grad.abs().amin()


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

    def activated(t_R: Tensor, z_RC: Tensor) -> Tensor:
        seen.update(t=t_R, z=z_RC)
        return torch.zeros(len(z_RC), 8)

    def predict(x_RD: Tensor, y_RW: Tensor) -> Tensor:
        seen.update(x=x_RD)
        return torch.full_like(x_RD, answer)

    monkeypatch.setattr(head, "activated", activated)
    monkeypatch.setattr(head, "predict", predict)
    loss_B = head.loss(tokens, z_BTC, ItemRNG([1, 2]))
    abar = cosine_alphas_bar()[seen["t"]].float()[:, None]
    token_of_row = seen["z"][:, 0].long()
    assert torch.bincount(token_of_row).tolist() == [repeats] * (batch * frames)
    clean = tokens.flatten(0, 1)[token_of_row]
    noise = (seen["x"] - abar.sqrt() * clean) / (1 - abar).sqrt()
    assert noise.std().item() == pytest.approx(1, abs=0.2)
    assert len(set(seen["t"].tolist())) > 20
    of_velocity = (answer - (abar.sqrt() * noise - (1 - abar).sqrt() * clean)).square().mean(dim=1)
    errors = of_velocity
    if weighting == "noise":
        errors = ((1 - abar).sqrt() * seen["x"] + abar.sqrt() * answer - noise).square().mean(dim=1)
    errors = errors + 0.5e-3 * of_velocity  # log likelihood under the variance 1 of a new head
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
@pytest.mark.parametrize("guidance", [None, 0.0, 0.4, 2.5])
def test_sampling_equals_the_plain_loop(monkeypatch: pytest.MonkeyPatch, held: int, guidance: float | None) -> None:
    """Modulations made ahead (in one go or in parts) and branches in one call change nothing.

    The variance is that of the full condition, and below scale 1 in part that of the null condition.
    """
    monkeypatch.setattr("paradigm_bench.paradigms.heads.MODULATIONS_HELD", held)
    torch.manual_seed(0)
    head = perturb(DiffusionHead(HeadOptions(width=16, depth=2), 4, d_model=6), 0.2)
    conditional, null, noise = torch.randn(5, 6), torch.randn(5, 6), torch.randn(11, 5, 4)

    @torch.no_grad()
    def velocity(x: Tensor, t: int) -> Tensor:
        wanted, free = (head.velocity(x, torch.full((5,), t), z_RC) for z_RC in (conditional, null))
        return wanted if guidance is None else free + guidance * (wanted - free)

    z_RC = conditional if guidance is None else torch.cat([conditional, null])

    @torch.no_grad()
    def error(t: int) -> Tensor:
        wanted, free = (head.expected_error(head.activated(torch.full((5,), t), z_RC)) for z_RC in (conditional, null))
        share = min(1.0 if guidance is None else guidance, 1.0)
        return free + share * (wanted - free)

    with torch.no_grad():
        settings = HeadSampler(diffusion_steps=10, temperature=0.9, guidance=1.0 if guidance is None else guidance)
        ours = head.sample(z_RC, noise, settings, None if guidance is None else torch.tensor([guidance]))
    assert error(500).std() > 0.02
    assert_close(ours, denoise(velocity, noise, 0.9, error), rtol=1e-4, atol=1e-4)
