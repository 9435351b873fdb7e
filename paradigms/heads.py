"""The per-token head of MAR (Li et al. 2024), shared by mar, ntp, mntp and masked_fm: one network, two objectives.

``DiffusionHead`` is that of the papers; ``FlowHead`` is the same network trained by flow matching, so that the two can
be compared on the same backbone and the same masks (``head: {objective: flow}``).

Block: x + gate * MLP(modulate(LayerNorm(x))), modulated by y = step embedding + condition; modulations and the output
layer start at zero. Width 1024 and depth 3 in the papers.

Diffusion. The network's output v determines the noise, eps_hat = sqrt(1 - abar_t) x_t + sqrt(abar_t) v (v of Salimans
and Ho 2022); the loss is that of the papers, on eps_hat. At the first denoising steps, where x_t is all noise, eps_hat
is thus correct even before training. If the output were eps_hat itself, its error there would be multiplied by
1 / sqrt(alpha), several hundred, and the samples of an imprecise head would explode.

Variance. That of the denoising steps is learned, as in MAR, but as a quantity that holds for any choice of steps: one
more layer predicts E (v - v_hat)^2 per channel from the step and the condition, and ``diffusion`` turns it into the
variance (Bao et al. 2022, "Estimating the optimal covariance with imperfect mean"). It minimises the negative log
likelihood of v under N(v_hat, that error), with the weight that Nichol and Dhariwal (2021) give to their variational
bound; no gradient flows from it into the rest of the model. docs/method.md compares it with MAR's learned fraction and
with one error for all conditions.

Flow. As in ``fm``: x_t = (1 - t) noise + t data, v = data - noise, integrated from noise at t = 0 to data at t = 1.

Sampling computes before the denoising loop all that does not depend on the token's state: the modulations of all steps
come from one product per layer, and each is folded into the layer norm before it, gamma (1 + scale) and beta (1 +
scale) + shift. The loop itself does the other products, whose weights are a third of the head's.
"""

from __future__ import annotations

import math
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
        decay: whether weight decay applies to the head's matrices; MAR's reference exempts them.
    """

    width: int | None = None
    depth: int = 3
    repeats: int = 4
    weighting: Literal["noise", "velocity"] = "noise"
    objective: Literal["diffusion", "flow"] = later("diffusion")
    decay: bool = later(True)


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


VARIANCE_WEIGHT = 1e-3
"""Weight of the term that trains the variance (lambda of Nichol and Dhariwal 2021, section 3.1)."""
ERROR_FLOOR = 1e-6
"""Least expected error, so that its logarithm stays finite."""


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
        undecayed: parameters and layers without weight decay, see ``training.optimiser.decayed``.
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
        self.undecayed = () if options.decay else tuple(name for name, _ in self.named_children())

    def activated(self, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """The condition that modulates the blocks, of times (or integer steps) ``t_R`` and conditions; (R, W)."""
        return nn.functional.silu(self.step_embedding(t_R) + self.condition(z_RC))

    def velocity(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """The network's output at times (or integer steps) ``t_R``; (R, D)."""
        return self.predict(x_RD, self.activated(t_R, z_RC))

    def predict(self, x_RD: Tensor, y_RW: Tensor) -> Tensor:
        """The network's output under activated conditions; (R, D)."""
        h = self.inputs(x_RD)
        recomputed = self.recompute and torch.is_grad_enabled()
        for block in self.blocks:
            h = (
                checkpoint(block, h, y_RW, use_reentrant=False, preserve_rng_state=False)
                if recomputed
                else block(h, y_RW)
            )
        return self._out(h, *self.modulation_out(y_RW).chunk(2, dim=-1))

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
        """The network at each of the times, as a function of the tokens: (R, D) -> (n R, D) float32."""
        for _, y_SRW in self._activated_parts(times_S, z_RC):
            yield from self._fields(y_SRW, branches)

    def _activated_parts(self, times_S: Tensor, z_RC: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Activated conditions (S, R, W) of several times together, as many as memory allows, and which times."""
        embedded_S1W, condition_RW = self.step_embedding(times_S)[:, None], self.condition(z_RC)
        rows, width = condition_RW.shape
        most = max(1, MODULATIONS_HELD // (rows * width * (3 * len(self.blocks) + 2)))
        for start in range(0, len(times_S), most):
            part = slice(start, start + most)
            yield part, nn.functional.silu(embedded_S1W[part] + condition_RW)

    def _fields(self, y_SRW: Tensor, branches: int) -> Iterator[Callable[[Tensor], Tensor]]:
        """``fields``, given the activated conditions; all that does not depend on the tokens is computed beforehand."""
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
    """Predicts the noise in one token's latent from the backbone's output at its position, and how wrong it will be."""

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int) -> None:
        super().__init__(options, token_dim, d_model, time_scale=1.0)
        self.weighting, self.diffusion = options.weighting, Diffusion()
        self.error = Linear(self.condition.out_features, token_dim)
        nn.init.zeros_(self.error.weight)
        nn.init.constant_(self.error.bias, math.log(math.e - 1))  # an error of 1, that of v_hat = 0
        self.undecayed = (*self.undecayed, "error")  # decay would draw the errors towards each other

    def forward(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """Noise in tokens ``x_RD`` at integer steps ``t_R`` under conditions ``z_RC``; (R, D)."""
        signal_level, noise_level = self.diffusion.levels(t_R)
        return noise_level * x_RD + signal_level * self.velocity(x_RD, t_R, z_RC)

    def expected_error(self, y_RW: Tensor) -> Tensor:
        """E (v - v_hat)^2 of each channel under activated conditions (..., W); (..., D) float32, positive."""
        return nn.functional.softplus(self.error(y_RW).float()) + ERROR_FLOOR

    def guided_error(self, y_RW: Tensor, settings: HeadSampler, scale: Tensor | float | None) -> Tensor:
        """The expected error under guidance, (..., n R, W) -> (..., R, D).

        That with all conditions, as in MAR's reference; below scale 1 it moves to the null branch's, at 0 it is that.
        """
        everything, *others = self.expected_error(y_RW).chunk(settings.branches, dim=-2)
        scale = settings.guidance if scale is None else scale
        share = scale.clamp(0, 1) if isinstance(scale, Tensor) else min(max(scale, 0.0), 1.0)
        return torch.lerp(others[-1], everything, share) if others else everything

    def loss(self, tokens_BTD: Tensor, z_BTC: Tensor, rng: ItemRNG) -> Tensor:
        """Noise-prediction error |eps - eps_hat|^2 (Yang et al. 2025, eq. 2), mean over dims, tokens and repeats; (B,).

        The target of the network's output is v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0. Added is ``VARIANCE_WEIGHT``
        times the negative log likelihood of v, which trains ``expected_error`` alone.
        """
        batch, frames, dim = tokens_BTD.shape
        t = rng.integers(STEPS, self.repeats, frames).flatten()
        noise = rng.normal(self.repeats, frames, dim).flatten(0, 2)
        clean, z = _repeated(tokens_BTD, self.repeats), _repeated(z_BTC, self.repeats)
        signal_level, noise_level = self.diffusion.levels(t)
        y = self.activated(t, z)
        v_hat = self.predict(self.diffusion.noised(clean, noise, t), y)
        error = (v_hat - (signal_level * noise - noise_level * clean)).square()
        expected = self.expected_error(y.detach())
        likelihood = expected.log() + error.detach() / expected
        if self.weighting == "noise":
            error = error * signal_level.square()  # eps - eps_hat = sqrt(abar_t) (v - v_hat)
        return (error + VARIANCE_WEIGHT / 2 * likelihood).view(batch, -1).mean(dim=1)

    def sample(
        self, z_RC: Tensor, noise_SRD: Tensor, settings: HeadSampler, scale: Tensor | float | None = None
    ) -> Tensor:
        """Ancestral sampling; the first noise vector is the starting point, and each step adds one of the others."""
        kept, branches = settings.diffusion_steps, settings.branches
        updates, steps_S = self.diffusion.updates(kept), self.diffusion.steps(kept, z_RC.device)
        x, added_SRD = noise_SRD[0], noise_SRD[1:]
        for part, y_SRW in self._activated_parts(steps_S, z_RC):
            errors_SRD = self.guided_error(y_SRW, settings, scale)
            deviations_SRD = settings.temperature * self.diffusion.deviations(kept, part, errors_SRD)
            fields = self._fields(y_SRW, branches)
            for update, field, noise, deviation in zip(updates[part], fields, added_SRD[part], deviations_SRD):
                x = torch.sub(update.keep * x, guide(field(x), settings, scale), alpha=update.turn)
                x = torch.addcmul(x, noise, deviation)
        return x

    def draws(self, settings: HeadSampler) -> int:
        """The starting point, and one per step."""
        return settings.diffusion_steps + 1

    def evaluations(self, settings: HeadSampler) -> int:
        """One per step."""
        return settings.diffusion_steps

    def cost(self, tokens: int, repetitions: int, settings: Any, element_size: int) -> list[Phase]:
        """That of the network, and of the expected errors of all steps, which are computed ahead."""
        ahead, step = super().cost(tokens, repetitions, settings, element_size)
        flops, moved = self.error.cost(self.evaluations(settings) * tokens * settings.branches, element_size)
        return [Phase(ahead.name, ahead.times, ahead.flops + flops, ahead.bytes + moved), step]

    def forward_cost(self, tokens: int) -> int:
        """That of the network, and of the expected errors."""
        return super().forward_cost(tokens) + self.error.cost(tokens * self.repeats)[0]


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
