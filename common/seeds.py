"""Seeds per item, so that a sample never depends on its batch, rank, device count or neighbours (DESIGN, rule 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any parts, e.g. ``seed_for(study_seed, prompt_id, repeat)``; the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class ItemRNG:
    """One independent random stream per batch item; draws are stacked on dim 0.

    Args:
        seeds: one seed per item.
        device: where the drawn tensors go.
        source: where numbers are drawn: on the ``cpu`` and moved, so that a GPU run sees the noise of a CPU run, or on
            the ``device`` itself, which is faster and gives other numbers there.
    """

    def __init__(
        self, seeds: Sequence[int], device: torch.device | str = "cpu", source: Literal["cpu", "device"] = "cpu"
    ) -> None:
        import torch

        self.device = device
        self._drawn_on = torch.device(device if source == "device" else "cpu")
        self._generators = [torch.Generator(self._drawn_on).manual_seed(int(s)) for s in seeds]

    def __len__(self) -> int:
        return len(self._generators)

    def again(self) -> ItemRNG:
        """The same streams from their beginning."""
        source: Literal["cpu", "device"] = "cpu" if self._drawn_on.type == "cpu" else "device"
        return ItemRNG([generator.initial_seed() for generator in self._generators], self.device, source)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal draws (B, *shape)."""
        import torch

        return self._stack(torch.randn, shape)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform draws in [0, 1), (B, *shape)."""
        import torch

        return self._stack(torch.rand, shape)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Uniform integers in [0, high), (B, *shape), int64."""
        import torch

        return self._stack(torch.randint, high, shape)

    def permutation(self, n: int) -> torch.Tensor:
        """One random permutation of 0..n-1 per item, (B, n), int64."""
        import torch

        return self._stack(torch.randperm, n)

    def _stack(self, draw: Callable[..., torch.Tensor], *what: Any) -> torch.Tensor:
        import torch

        rows = [draw(*what, generator=generator, device=self._drawn_on) for generator in self._generators]
        return torch.stack(rows).to(self.device)
