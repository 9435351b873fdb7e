"""Seeds per item, so that a sample never depends on its batch, rank, device count or neighbours (DESIGN, rule 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any parts, e.g. ``seed_for(study_seed, prompt_id, repeat)``; the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class ItemRNG:
    """One independent random stream per batch item; draws are stacked on dim 0.

    Numbers are drawn on the CPU and moved, so that a GPU run sees the noise of a CPU run.

    Args:
        seeds: one seed per item.
        device: where the drawn tensors go.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        import torch

        self.device = device
        self._generators = [torch.Generator().manual_seed(int(s)) for s in seeds]

    def __len__(self) -> int:
        return len(self._generators)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal draws (B, *shape)."""
        import torch

        return torch.stack([torch.randn(shape, generator=g) for g in self._generators]).to(self.device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform draws in [0, 1), (B, *shape)."""
        import torch

        return torch.stack([torch.rand(shape, generator=g) for g in self._generators]).to(self.device)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Uniform integers in [0, high), (B, *shape), int64."""
        import torch

        return torch.stack([torch.randint(high, shape, generator=g) for g in self._generators]).to(self.device)

    def permutation(self, n: int) -> torch.Tensor:
        """One random permutation of 0..n-1 per item, (B, n), int64."""
        import torch

        return torch.stack([torch.randperm(n, generator=g) for g in self._generators]).to(self.device)
