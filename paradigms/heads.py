"""The per-token head of MAR (Li et al. 2024), shared by mar, ntp, mntp and masked_fm: one network, two objectives.

``DiffusionHead`` is that of the papers; ``FlowHead`` is the same network trained by flow matching, so that the two can
be compared on the same backbone and the same masks (``head: {objective: flow}``).

Block: x + gate * MLP(modulate(LayerNorm(x))), modulated by y = step embedding + condition; modulations and the output
layer start at zero. Width 1024 and depth 3 in the papers.

Diffusion. The network's output v determines the noise, eps_hat = sqrt(1 - abar_t) x_t + sqrt(abar_t) v (v of Salimans
and Ho 2022); the loss is that of the papers, on eps_hat. At the first denoising steps, where x_t is all noise, eps_hat
is thus correct even before training. If the output were eps_hat itself, its error there would be multiplied by
1 / sqrt(alpha), several hundred, and the samples of an imprecise head would explode (two clips learned to a loss of
0.01 came out 1000 times too loud).

Flow. As in ``fm``: x_t = (1 - t) noise + t data, v = data - noise, integrated from noise at t = 0 to data at t = 1.

Sampling computes before the denoising loop all that does not depend on the token's state: the modulations of all steps
come from one product per layer, and each is folded into the layer norm before it, gamma (1 + scale) and beta (1 +
scale) + shift. The loop itself does the other products, whose weights are a third of the head's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..backbones.cost import TIME_CODE, Phase, linear
from ..backbones.linear import Layer, Linear
from ..backbones.positions import TIME_SCALE, TimeEmbedding
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .diffusion import STEPS, Diffusion
from .guidance import Guided, Schedule, guide
from .ode import ODESettings, evaluations, grid, integrate


@dataclass(frozen=True)
class HeadOptions:
    """Size of the head and how often each token is used in training.

    Attributes:
        width: hidden width; None: 1024 for a d_model of 768 or more (as in the papers), else d_model.
        depth: residual blocks.
        repeats: noise levels drawn per token and step (MAR's ``diffusion_batch_mul``).
        weighting: the error that diffusion minimises: of the ``noise`` (the papers), or of the ``velocity`` v, which is
            the former divided by abar_t, so that high noise levels, which decide a token's content, count as much as
            low ones.
        objective: ``diffusion`` (the papers) or ``flow``.
    """

    width: int | None = None
    depth: int = 3
    repeats: int = 4
    weighting: Literal["noise", "velocity"] = "noise"
    objective: Literal["diffusion", "flow"] = later("diffusion")


class FlowSampler(Guided):
    """Settings that sampling by a flow needs.

    Attributes:
        temperature: scale of the noise that it starts from.
    """

    temperature: float

    @property
    def ode(self) -> ODESettings:
        """The solver."""
        raise NotImplementedError


@dataclass(frozen=True)
class HeadSampler(FlowSampler):
    """How a token is generated: denoising steps, temperature, guidance and its schedule over the clip.

    For a flow, ``diffusion_steps`` are Euler steps, and the temperature scales the noise that they start from.
    """

    diffusion_steps: int = 100
    temperature: float = 1.0
    guidance_schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        if not 2 <= self.diffusion_steps <= STEPS:
            raise UserError(f"sampler: diffusion_steps must be 2 to {STEPS}, not {self.diffusion_steps}")
        if self.temperature < 0:
            raise UserError(f"sampler: temperature must be 0 or more, not {self.temperature}")

    @property
    def ode(self) -> ODESettings:
        """The solver of a flow."""
        return ODESettings(steps=self.diffusion_steps)


MODULATIONS_HELD = 2**26
"""Most numbers of modulations in memory at once; longer denoising loops are done in parts."""


class ResidualBlock(Layer):
    """One block of the head, (R, W) -> (R, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, width))
        self.modulation = Linear(width, 3 * width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Transform ``x`` under the activated condition ``y``."""
        return self.modulated(x, *self.fold(y))

    def fold(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scale and shift of the layer norm under ``y``, modulation included, and the gate."""
        shift, scale, gate = self.modulation(y).chunk(3, dim=-1)
        return self.norm.weight * (1 + scale), torch.addcmul(shift, self.norm.bias, 1 + scale), gate

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
        """The block's output under modulations from ``fold``."""
        h = torch.addcmul(shift, nn.functional.layer_norm(x, x.shape[-1:], eps=self.norm.eps), scale)
        return torch.addcmul(x, gate, self.mlp(h))


class TokenHead(nn.Module):
    """The network that maps a token's noisy state to its velocity, given the backbone's output at its position.

    Attributes:
        recompute: see ``Backbone``.
    """

    blocks: nn.ModuleList

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int, time_scale: float) -> None:
        super().__init__()
        width = options.width or (1024 if d_model >= 768 else d_model)
        self.repeats, self.token_dim, self.recompute = options.repeats, token_dim, False
        self.inputs = Linear(token_dim, width)
        self.step_embedding = TimeEmbedding(width, scale=time_scale)
        self.condition = Linear(d_model, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(options.depth))
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation_out = Linear(width, 2 * width)
        self.outputs = Linear(width, token_dim)
        modulations = [block.modulation for block in self._residual()]
        for layer in [*modulations, self.modulation_out, self.outputs]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def velocity(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """The network's output at times (or integer steps) ``t_R``; (R, D)."""
        y = nn.functional.silu(self.step_embedding(t_R) + self.condition(z_RC))
        h = self.inputs(x_RD)
        for block in self.blocks:
            recomputed = self.recompute and torch.is_grad_enabled()
            h = checkpoint(block, h, y, use_reentrant=False, preserve_rng_state=False) if recomputed else block(h, y)
        return self._out(h, *self.modulation_out(y).chunk(2, dim=-1))

    def loss(self, tokens_BTD: Tensor, z_BTC: Tensor, rng: ItemRNG) -> Tensor:
        """The objective's error, mean over dims, tokens and repeats; (B,)."""
        raise NotImplementedError

    def sample(self, z_RC: Tensor, noise_SRD: Tensor, settings: Any, scale: Tensor | float | None = None) -> Tensor:
        """Generate one token per row, (R, D) float32.

        Args:
            z_RC: conditions (n R, C) of the n branches of guidance, the null branch last.
            noise_SRD: standard normal draws; S is what ``draws`` returns.
            scale: guidance scale, where a schedule changes it.
        """
        raise NotImplementedError

    def draws(self, settings: Any) -> int:
        """Number S of noise vectors that one token takes."""
        raise NotImplementedError

    def evaluations(self, settings: Any) -> int:
        """Number of passes of the network that one token takes."""
        raise NotImplementedError

    def fields(self, times_S: Tensor, z_RC: Tensor, branches: int) -> Iterator[Callable[[Tensor], Tensor]]:
        """The network at each of the times, as a function of the tokens: (R, D) -> (n R, D) float32.

        All that does not depend on the tokens is computed beforehand, for several times together.
        """
        embedded_S1W, condition_RW = self.step_embedding(times_S)[:, None], self.condition(z_RC)
        rows, width = condition_RW.shape
        part = max(1, MODULATIONS_HELD // (rows * width * (3 * len(self.blocks) + 2)))
        for start in range(0, len(times_S), part):
            y_SRW = nn.functional.silu(embedded_S1W[start : start + part] + condition_RW)
            folded = [block.fold(y_SRW) for block in self._residual()]
            out = self.modulation_out(y_SRW).chunk(2, dim=-1)
            for i in range(len(y_SRW)):
                here = [(a[i], b[i], gate[i]) for a, b, gate in folded]
                yield partial(self._folded, blocks=here, out=(out[0][i], out[1][i]), branches=branches)

    def _folded(
        self, x_RD: Tensor, blocks: list[tuple[Tensor, Tensor, Tensor]], out: tuple[Tensor, Tensor], branches: int
    ) -> Tensor:
        h = self.inputs(x_RD.to(self.inputs.weight.dtype))
        h = h if branches == 1 else h.repeat(branches, 1)
        for block, modulations in zip(self._residual(), blocks):
            h = block.modulated(h, *modulations)
        return self._out(h, *out).float()

    def cost(self, tokens: int, repetitions: int, settings: Any, element_size: int) -> list[Phase]:
        """Cost of generating ``tokens`` tokens together, ``repetitions`` times."""
        rows, steps = tokens * settings.branches, self.evaluations(settings)
        width, depth = self.condition.out_features, len(self.blocks)
        modulations, d_model = (3 * depth + 2) * width, self.condition.in_features
        ahead = linear(steps, TIME_CODE, width) + linear(steps, width, width)
        ahead += linear(rows, d_model, width) + linear(steps * rows, width, modulations)
        ahead_weights = (TIME_CODE + width + d_model + 3) * width + (width + 1) * modulations
        step = linear(tokens, self.token_dim, width) + linear(rows, width, 2 * depth * width + self.token_dim)
        step_weights = (self.token_dim + 1) * width + (width + 1) * (2 * depth * width + self.token_dim)
        step_weights += 2 * depth * width  # layer norms
        return [
            Phase("head modulations", repetitions, ahead, ahead_weights * element_size),
            Phase("head step", repetitions * steps, step, step_weights * element_size),
        ]

    def forward_cost(self, tokens: int) -> int:
        """Operations of a forward pass of ``loss`` on ``tokens`` tokens, each at ``repeats`` noise levels."""
        rows, width, depth = tokens * self.repeats, self.condition.out_features, len(self.blocks)
        once = linear(rows, 2 * self.token_dim + self.condition.in_features + TIME_CODE + width, width)
        return once + linear(rows, width, (5 * depth + 2) * width)

    def _residual(self) -> list[ResidualBlock]:
        return [block for block in self.blocks if isinstance(block, ResidualBlock)]

    def _out(self, h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return self.outputs(torch.addcmul(shift, self.norm_out(h), 1 + scale))


class DiffusionHead(TokenHead):
    """Predicts the noise in one token's latent from the backbone's output at its position."""

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int) -> None:
        super().__init__(options, token_dim, d_model, time_scale=1.0)
        self.weighting, self.diffusion = options.weighting, Diffusion()

    def forward(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """Noise in tokens ``x_RD`` at integer steps ``t_R`` under conditions ``z_RC``; (R, D)."""
        signal_level, noise_level = self.diffusion.levels(t_R)
        return noise_level * x_RD + signal_level * self.velocity(x_RD, t_R, z_RC)

    def loss(self, tokens_BTD: Tensor, z_BTC: Tensor, rng: ItemRNG) -> Tensor:
        """Noise-prediction error |eps - eps_hat|^2 (Yang et al. 2025, eq. 2), mean over dims, tokens and repeats; (B,).

        The target of the network's output is v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0.
        """
        batch, frames, dim = tokens_BTD.shape
        t = rng.integers(STEPS, self.repeats, frames).flatten()
        noise = rng.normal(self.repeats, frames, dim).flatten(0, 2)
        clean, z = _repeated(tokens_BTD, self.repeats), _repeated(z_BTC, self.repeats)
        signal_level, noise_level = self.diffusion.levels(t)
        v_hat = self.velocity(self.diffusion.noised(clean, noise, t), t, z)
        error = (v_hat - (signal_level * noise - noise_level * clean)).square()
        if self.weighting == "noise":
            error = error * signal_level.square()  # eps - eps_hat = sqrt(abar_t) (v - v_hat)
        return error.view(batch, -1).mean(dim=1)

    def sample(
        self, z_RC: Tensor, noise_SRD: Tensor, settings: HeadSampler, scale: Tensor | float | None = None
    ) -> Tensor:
        """Ancestral sampling; the first noise vector is the starting point, and each step adds one of the others."""
        updates = self.diffusion.updates(settings.diffusion_steps)
        steps_S, x = self.diffusion.steps(settings.diffusion_steps, z_RC.device), noise_SRD[0]
        fields = self.fields(steps_S, z_RC, settings.branches)
        for update, field, noise in zip(updates, fields, noise_SRD[1:]):
            x = torch.sub(update.keep * x, guide(field(x), settings, scale), alpha=update.turn)
            if update.spread:
                x = torch.add(x, noise, alpha=update.spread * settings.temperature)
        return x

    def draws(self, settings: HeadSampler) -> int:
        """The starting point, and one per step."""
        return settings.diffusion_steps + 1

    def evaluations(self, settings: HeadSampler) -> int:
        """One per step."""
        return settings.diffusion_steps


class FlowHead(TokenHead):
    """Regresses the velocity of a token's straight path from noise to data; each token has its own time."""

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int) -> None:
        super().__init__(options, token_dim, d_model, time_scale=TIME_SCALE)

    def loss(self, tokens_BTD: Tensor, z_BTC: Tensor, rng: ItemRNG) -> Tensor:
        """|v - v_hat|^2 at uniform times (MaskAudioFlow 2025, eq. 4), mean over dims, tokens and repeats; (B,)."""
        batch, frames, dim = tokens_BTD.shape
        t_R = rng.uniform(self.repeats, frames).flatten()
        noise = rng.normal(self.repeats, frames, dim).flatten(0, 2)
        clean, z = _repeated(tokens_BTD, self.repeats), _repeated(z_BTC, self.repeats)
        v_hat = self.velocity(torch.lerp(noise, clean, t_R[:, None]), t_R, z)
        return (v_hat - (clean - noise)).square().view(batch, -1).mean(dim=1)

    def sample(
        self, z_RC: Tensor, noise_SRD: Tensor, settings: FlowSampler, scale: Tensor | float | None = None
    ) -> Tensor:
        """Integrate from the noise vector, scaled by the temperature."""
        fields = self.fields(grid(settings.ode, z_RC.device), z_RC, settings.branches)
        return integrate(
            lambda x, t: guide(next(fields)(x), settings, scale), settings.temperature * noise_SRD[0], settings.ode
        )

    def draws(self, settings: FlowSampler) -> int:
        """The starting point."""
        return 1

    def evaluations(self, settings: FlowSampler) -> int:
        """Those of the solver."""
        return evaluations(settings.ode)


def token_head(options: HeadOptions, token_dim: int, d_model: int) -> TokenHead:
    """The head with the objective that the options name."""
    return (FlowHead if options.objective == "flow" else DiffusionHead)(options, token_dim, d_model)


def _repeated(x_BTC: Tensor, repeats: int) -> Tensor:
    """The tokens of every clip, repeated ``repeats`` times, (B repeats T, C)."""
    return x_BTC[:, None].expand(-1, repeats, -1, -1).flatten(0, 2)
