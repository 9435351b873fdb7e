"""The per-token diffusion head of MAR (Li et al. 2024), shared by mar, ntp and mntp.

Block: x + gate * MLP(modulate(LayerNorm(x))), modulated by y = step embedding + condition; modulations and the output
layer start at zero. Width 1024 and depth 3 in the papers.

The network's output v is read as the noise eps_hat = sqrt(1 - abar_t) x_t + sqrt(abar_t) v (v of Salimans and Ho 2022),
and the loss is the papers', on eps_hat. At the first denoising steps, where x_t is all noise, eps_hat is thus right
from the start. Were the output eps_hat itself, its error there would be multiplied by 1 / sqrt(alpha), several
hundred, and a head not trained to that precision would explode (two clips learned to a loss of 0.01 came out 1000 times
too loud).

Sampling does outside the denoising loop all that does not depend on the token's state: the modulations of all steps
come from one product per layer, and each is folded into the layer norm before it, gamma (1 + scale) and beta (1 +
scale) + shift. Inside remain the small products, whose weights are a third of the head's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from backbones.cost import TIME_CODE, Phase, linear
from backbones.linear import Linear
from backbones.positions import TimeEmbedding
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.diffusion import STEPS, Diffusion
from paradigms.guidance import Guided, Schedule, guide


@dataclass(frozen=True)
class HeadOptions:
    """Size of the head and how often each token is used in training.

    Attributes:
        width: hidden width; None follows the backbone: 1024 from d_model 768 up (the papers), else d_model.
        depth: residual blocks.
        repeats: noise levels drawn per token and step (MAR's ``diffusion_batch_mul``).
        weighting: the error that is minimised: of the ``noise`` (the papers), or of the ``velocity`` v, which is the
            former over abar_t, so that high noise levels, where a token's content is decided, count as much as low.
    """

    width: int | None = None
    depth: int = 3
    repeats: int = 4
    weighting: Literal["noise", "velocity"] = "noise"


@dataclass(frozen=True)
class HeadSampler(Guided):
    """How a token is drawn: denoising steps, temperature, guidance and its schedule over the clip."""

    diffusion_steps: int = 100
    temperature: float = 1.0
    guidance_schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        if not 2 <= self.diffusion_steps <= STEPS:
            raise UserError(f"sampler: diffusion_steps must be 2 to {STEPS}, not {self.diffusion_steps}")
        if self.temperature < 0:
            raise UserError(f"sampler: temperature must be 0 or more, not {self.temperature}")


MODULATIONS_HELD = 2**26
"""Numbers of modulations held at once; longer loops are done in parts."""


class ResidualBlock(nn.Module):
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
        """The layer norm's scale and shift under ``y``, modulation included, and the gate."""
        shift, scale, gate = self.modulation(y).chunk(3, dim=-1)
        return self.norm.weight * (1 + scale), torch.addcmul(shift, self.norm.bias, 1 + scale), gate

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
        """The block under modulations that ``fold`` made."""
        h = torch.addcmul(shift, nn.functional.layer_norm(x, x.shape[-1:], eps=self.norm.eps), scale)
        return torch.addcmul(x, gate, self.mlp(h))


class DiffusionHead(nn.Module):
    """Predicts the noise in one token's latent from the backbone's output at its position."""

    blocks: nn.ModuleList

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int) -> None:
        super().__init__()
        width = options.width or (1024 if d_model >= 768 else d_model)
        self.repeats, self.weighting, self.token_dim = options.repeats, options.weighting, token_dim
        self.diffusion = Diffusion()
        self.inputs = Linear(token_dim, width)
        self.step_embedding = TimeEmbedding(width, scale=1.0)
        self.condition = Linear(d_model, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(options.depth))
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation_out = Linear(width, 2 * width)
        self.outputs = Linear(width, token_dim)
        modulations = [block.modulation for block in self._residual()]
        for layer in [*modulations, self.modulation_out, self.outputs]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """Noise in tokens ``x_RD`` at integer steps ``t_R`` under conditions ``z_RC``; (R, D)."""
        signal_level, noise_level = self.diffusion.levels(t_R)
        return noise_level * x_RD + signal_level * self.velocity(x_RD, t_R, z_RC)

    def velocity(self, x_RD: Tensor, t_R: Tensor, z_RC: Tensor) -> Tensor:
        """The network's own output, v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0; (R, D)."""
        y = nn.functional.silu(self.step_embedding(t_R) + self.condition(z_RC))
        h = self.inputs(x_RD)
        for block in self.blocks:
            h = block(h, y)
        return self._out(h, *self.modulation_out(y).chunk(2, dim=-1))

    def loss(self, tokens_BTD: Tensor, z_BTC: Tensor, rng: ItemRNG) -> Tensor:
        """Noise-prediction error |eps - eps_hat|^2 (papers/003 eq. 2), mean over dims, tokens and repeats; (B,)."""
        batch, frames, dim = tokens_BTD.shape
        t = rng.integers(STEPS, self.repeats, frames).flatten()
        noise = rng.normal(self.repeats, frames, dim).flatten(0, 2)
        clean = tokens_BTD[:, None].expand(-1, self.repeats, -1, -1).flatten(0, 2)
        z = z_BTC[:, None].expand(-1, self.repeats, -1, -1).flatten(0, 2)
        signal_level, noise_level = self.diffusion.levels(t)
        v_hat = self.velocity(self.diffusion.noised(clean, noise, t), t, z)
        error = (v_hat - (signal_level * noise - noise_level * clean)).square()
        if self.weighting == "noise":
            error = error * signal_level.square()  # eps - eps_hat = sqrt(abar_t) (v - v_hat)
        return error.view(batch, -1).mean(dim=1)

    def sample(self, z_RC: Tensor, noise_SRD: Tensor, settings: HeadSampler, scale: Tensor) -> Tensor:
        """Draw one token per row, (R, D) float32.

        Args:
            z_RC: conditions (n R, C) of guidance's n branches, the null branch last.
            noise_SRD: standard normal draws (S + 1, R, D): the starting point, then what each step adds.
            scale: guidance scale, a tensor of one number.
        """
        updates = self.diffusion.updates(settings.diffusion_steps)
        steps_S = self.diffusion.steps(settings.diffusion_steps, z_RC.device)
        embedded_S1W, condition_RW = self.step_embedding(steps_S)[:, None], self.condition(z_RC)
        rows, width = condition_RW.shape
        part = max(1, MODULATIONS_HELD // (rows * width * (3 * len(self.blocks) + 2)))
        x = noise_SRD[0]
        for start in range(0, len(updates), part):
            y_SRW = nn.functional.silu(embedded_S1W[start : start + part] + condition_RW)
            folded = [block.fold(y_SRW) for block in self._residual()]
            shift_out, scale_out = self.modulation_out(y_SRW).chunk(2, dim=-1)
            for i, update in enumerate(updates[start : start + part]):
                h = self.inputs(x.to(z_RC.dtype))
                h = h if settings.branches == 1 else h.repeat(settings.branches, 1)
                for block, (a, b, gate) in zip(self._residual(), folded):
                    h = block.modulated(h, a[i], b[i], gate[i])
                v = guide(self._out(h, shift_out[i], scale_out[i]).float(), settings, scale)
                x = torch.sub(update.keep * x, v, alpha=update.turn)
                if update.spread:
                    x = torch.add(x, noise_SRD[start + i + 1], alpha=update.spread * settings.temperature)
        return x

    def cost(self, tokens: int, repetitions: int, settings: HeadSampler, element_size: int) -> list[Phase]:
        """What drawing ``tokens`` tokens at once costs, ``repetitions`` times."""
        rows, steps = tokens * settings.branches, settings.diffusion_steps
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

    def _residual(self) -> list[ResidualBlock]:
        return [block for block in self.blocks if isinstance(block, ResidualBlock)]

    def _out(self, h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return self.outputs(torch.addcmul(shift, self.norm_out(h), 1 + scale))
