"""The per-token diffusion head of MAR (Li et al. 2024), shared by mar, ntp and mntp.

Block: x + gate * MLP(modulate(LayerNorm(x))), modulated by y = step embedding + condition; modulations and the output
layer start at zero. Width 1024 and depth 3 in the papers.

The network's output v is read as the noise eps_hat = sqrt(1 - abar_t) x_t + sqrt(abar_t) v (v of Salimans and Ho 2022),
and the loss is the papers', on eps_hat. At the first denoising steps, where x_t is all noise, eps_hat is thus right
from the start. Were the output eps_hat itself, its error there would be multiplied by 1 / sqrt(alpha), several
hundred, and a head not trained to that precision would explode (two clips learned to a loss of 0.01 came out 1000 times
too loud).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from backbones.positions import TimeEmbedding
from common.errors import UserError
from common.seeds import ItemRNG
from paradigms.diffusion import STEPS, Diffusion
from paradigms.guidance import Schedule, guide


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
class HeadSampler:
    """How a token is drawn: denoising steps, temperature, guidance scale and its schedule over the clip."""

    diffusion_steps: int = 100
    temperature: float = 1.0
    guidance: float = 3.0
    guidance_schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        if not 2 <= self.diffusion_steps <= STEPS:
            raise UserError(f"sampler: diffusion_steps must be 2 to {STEPS}, not {self.diffusion_steps}")
        if self.temperature < 0:
            raise UserError(f"sampler: temperature must be 0 or more, not {self.temperature}")


def modulate(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """AdaLN: h (1 + scale) + shift."""
    return h * (1 + scale) + shift


class ResidualBlock(nn.Module):
    """One block of the head, (R, W) -> (R, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Transform ``x`` under the activated condition ``y``."""
        shift, scale, gate = self.modulation(y).chunk(3, dim=-1)
        return x + gate * self.mlp(modulate(self.norm(x), shift, scale))


class DiffusionHead(nn.Module):
    """Predicts the noise in one token's latent from the backbone's output at its position."""

    def __init__(self, options: HeadOptions, token_dim: int, d_model: int) -> None:
        super().__init__()
        width = options.width or (1024 if d_model >= 768 else d_model)
        self.repeats, self.weighting, self.token_dim = options.repeats, options.weighting, token_dim
        self.diffusion = Diffusion()
        self.inputs = nn.Linear(token_dim, width)
        self.step_embedding = TimeEmbedding(width, scale=1.0)
        self.condition = nn.Linear(d_model, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(options.depth))
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation_out = nn.Linear(width, 2 * width)
        self.outputs = nn.Linear(width, token_dim)
        modulations = [block.modulation for block in self.blocks if isinstance(block, ResidualBlock)]
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
        return self.outputs(modulate(self.norm_out(h), *self.modulation_out(y).chunk(2, dim=-1)))

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

    def sample(self, z_BTC: Tensor, settings: HeadSampler, scale: float, rng: ItemRNG) -> Tensor:
        """Draw tokens (B, T, D) for conditions (B, T, C), or (2B, T, C) with the null branch last when guided."""
        frames, guided = z_BTC.shape[1], len(z_BTC) == 2 * len(rng)
        noise = rng.normal(settings.diffusion_steps + 1, frames, self.token_dim)
        noise_SRD = noise.transpose(0, 1).flatten(1, 2)
        z_RC = z_BTC.flatten(0, 1)

        def predict(x_RD: Tensor, t: int) -> Tensor:
            rows = torch.cat([x_RD, x_RD]) if guided else x_RD
            noise_hat = self(rows, torch.full((len(rows),), t, device=rows.device), z_RC)
            return guide(noise_hat, scale) if guided else noise_hat

        return self.diffusion.sample(predict, noise_SRD, settings.temperature).view(len(rng), frames, self.token_dim)
