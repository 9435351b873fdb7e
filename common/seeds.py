"""Random numbers per clip, so that a sample does not depend on its batch, rank or the number of devices.

torch is imported inside methods, so that seeds can be computed without it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Noise = Literal["philox", "torch"]
"""How random numbers are drawn: ``philox`` on the device itself, equal to those on the CPU but for rounding; ``torch``
by torch's generators on the CPU, as in records of the first version."""


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any parts, e.g. ``seed_for(study_seed, prompt_id, repeat)``; the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class ItemRNG:
    """One independent random stream per clip of a batch; draws are stacked on dim 0.

    Random bits come from the counter-based generator Philox (``common.philox``) and are equal on all devices. Normal
    draws take logarithms and cosines of them, which devices round differently.

    Args:
        seeds: one seed per clip, from 0 to 2**63 - 1.
        device: on which numbers are drawn.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        import torch

        from .philox import Streams

        self.device = torch.device(device)
        self._streams = Streams(seeds, self.device)

    @property
    def seeds(self) -> list[int]:
        """The seed of each clip."""
        return self._streams.seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def again(self) -> ItemRNG:
        """The same streams from their beginning."""
        return type(self)(self.seeds, self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal draws (B, *shape) float32 (Box and Muller 1958: two from each word)."""
        import torch

        first_BN, second_BN = self._halves(math.prod(shape)).tensor_split(2, dim=1)
        radius = (first_BN & 0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).log_().mul_(-2).sqrt_()  # at most 6.66
        angle = second_BN.float().mul_(math.pi * 2.0**-31)
        return self._shaped(torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1), shape)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform draws in [0, 1), (B, *shape) float32, multiples of 2**-24."""
        return self._shaped(((self._halves(math.prod(shape)) >> 8) & 0xFFFFFF).float().mul_(2.0**-24), shape)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Uniform integers in [0, high), (B, *shape) int64; ``high`` at most 2**31 (Lemire 2019, without rejection)."""
        halves = self._halves(math.prod(shape)).long() & 0xFFFFFFFF
        return self._shaped(halves * high >> 32, shape)

    def permutation(self, n: int) -> torch.Tensor:
        """One random permutation of 0..n-1 per clip, (B, n) int64: the order of n random words."""
        return self._streams.words(n).argsort(dim=1)

    def _halves(self, numbers: int) -> torch.Tensor:
        """At least ``numbers`` random 32-bit integers, (B, even number) int32: the halves of 64-bit words."""
        import torch

        words = -(-numbers // 2)
        return self._streams.words(words).contiguous().flatten().view(torch.int32).view(len(self), 2 * words)

    def _shaped(self, numbers_BN: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return numbers_BN[:, : math.prod(shape)].reshape(len(self), *shape)


class TorchRNG(ItemRNG):
    """The streams of the first version: one torch generator per clip, on the CPU; draws are copied to ``device``."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        import torch

        self.device = torch.device(device)
        self._generators = [torch.Generator().manual_seed(int(s)) for s in seeds]

    @property
    def seeds(self) -> list[int]:
        """The seed of each clip."""
        return [generator.initial_seed() for generator in self._generators]

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
        """One random permutation of 0..n-1 per clip, (B, n), int64."""
        import torch

        return self._stack(torch.randperm, n)

    def _stack(self, draw: Callable[..., torch.Tensor], *what: Any) -> torch.Tensor:
        import torch

        return torch.stack([draw(*what, generator=generator) for generator in self._generators]).to(self.device)


def item_rng(seeds: Sequence[int], device: torch.device | str = "cpu", noise: Noise = "philox") -> ItemRNG:
    """One random stream per clip, of the kind ``noise``."""
    return (TorchRNG if noise == "torch" else ItemRNG)(seeds, device)
