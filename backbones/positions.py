"""Position and time codes: sinusoids, cosines first (Copet et al. 2023), and rotary embeddings (Su et al. 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .linear import Layer

TIME_SCALE = 1000.0
"""Factor of a time in [0, 1] before the sinusoid. Without it, codes of different times are nearly collinear."""


def sinusoid(values: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal code of ``values`` (...,) -> (..., dim): cosines, then sines, of geometrically spaced frequencies.

    Frequencies are ``max_period ** -(i / (half - 1))`` for i = 0..half-1, as in MusicGen (division by half - 1). An odd
    ``dim`` is padded with one zero.
    """
    half = dim // 2
    exponent = torch.arange(half, device=values.device, dtype=torch.float32) / max(half - 1, 1)
    angles = values.float()[..., None] * torch.exp(-math.log(max_period) * exponent)
    code = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return nn.functional.pad(code, (0, dim % 2))


class TimeEmbedding(Layer):
    """Time or noise level per item (B,) -> (B, C): sinusoid, then a two-layer MLP with SiLU.

    Args:
        scale: factor before the sinusoid; ``TIME_SCALE`` for flow times in [0, 1], 1 for integer diffusion steps.
    """

    def __init__(self, dim: int, scale: float = TIME_SCALE, code_dim: int = 256) -> None:
        super().__init__()
        self.scale, self.code_dim = scale, code_dim
        self.mlp = nn.Sequential(nn.Linear(code_dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time_B: Tensor) -> Tensor:
        """(B,) -> (B, C)."""
        code = sinusoid(time_B * self.scale, self.code_dim)
        embedded: Tensor = self.mlp(code.to(next(self.mlp.parameters()).dtype))
        return embedded


def rotary_angles(positions_BT: Tensor, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (B, 1, T, head_dim / 2) that rotate pairs of channels by an angle growing with position."""
    frequencies = base ** (-torch.arange(0, head_dim, 2, device=positions_BT.device, dtype=torch.float32) / head_dim)
    angles = positions_BT.float()[:, None, :, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x_BHTD: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary embedding to queries or keys (B, H, T, D); channel i is paired with channel i + D / 2."""
    cos, sin = (a.to(x_BHTD.dtype) for a in angles)
    first, second = x_BHTD.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
