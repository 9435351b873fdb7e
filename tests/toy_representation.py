"""A representation in one file, as docs/representations.md tells to write one: frames of a cosine transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from paradigm_bench.common.errors import UserError
from paradigm_bench.representations.base import Representation, fingerprint, fit_length
from paradigm_bench.representations.spec import LatentSpec

RATE, BLOCK, LEVELS = 8000, 160, 64  # 50 frames a second


class BlockCosines(Representation):
    """Each frame: the first ``dim`` coefficients of the orthonormal DCT-II of its 160 samples.

    Codes: one codebook per coefficient, 64 even steps over the range that a full-scale frame can have.
    """

    basis: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        n, k = torch.arange(BLOCK) + 0.5, torch.arange(dim)[:, None]
        basis_DN = torch.cos(math.pi / BLOCK * n * k) * math.sqrt(2 / BLOCK)
        basis_DN[0] /= math.sqrt(2)
        self.register_buffer("basis", basis_DN)
        self.step = 2 * math.sqrt(BLOCK) / (LEVELS - 1)
        self.spec = LatentSpec(f"cosines {dim}", RATE, RATE / BLOCK, dim, codebooks=dim, cardinality=LEVELS)
        self.fingerprint = fingerprint(self, {"class": "BlockCosines", "dim": dim, "levels": LEVELS})

    def encode(self, wav_BN: Tensor) -> Tensor:
        frames = max(1, self.spec.frames(wav_BN.shape[-1] / RATE))
        return fit_length(wav_BN, frames * BLOCK).reshape(len(wav_BN), frames, BLOCK) @ self.basis.mT

    def decode(self, z_BTD: Tensor) -> Tensor:
        return (z_BTD @ self.basis).flatten(1)

    def quantise(self, z_BTD: Tensor) -> Tensor:
        steps = (z_BTD / self.step + (LEVELS - 1) / 2).round().clamp(0, LEVELS - 1)
        return steps.long().mT

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        return (codes_BKT.mT - (LEVELS - 1) / 2) * self.step


def load(argument: str) -> Representation:
    """``toy_representation:load`` or ``toy_representation:load:<dim>``."""
    if not (argument or "24").isdigit():
        raise UserError(f"toy_representation:load:{argument}: expected a number of coefficients, for example 24")
    return BlockCosines(int(argument or 24))


def load_nothing(argument: str) -> object:
    return object()
