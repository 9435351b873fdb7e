"""Which positions are masked: ratios in training; counts and orders in sampling; reading and writing at positions.

Ratios are drawn once per batch, so that every row keeps the same number of tokens and no padding is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..common.seeds import ItemRNG

Order = Literal["random", "causal"]


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal(mean, std) restricted to [low, high], drawn by the inverse CDF."""

    mean: float
    std: float
    low: float
    high: float

    def draw(self, rng: ItemRNG) -> float:
        """One draw from the single stream of ``rng``."""
        return self._at(float(rng.uniform(1).double()))

    def quantiles(self, n: int = 64) -> list[float]:
        """The medians of ``n`` equally likely slices; a mean over them approximates an expectation."""
        return [self._at((i + 0.5) / n) for i in range(n)]

    def _at(self, share: float) -> float:
        """The inverse CDF."""
        z_scores = ((edge - self.mean) / self.std for edge in (self.low, self.high))
        low, high = (0.5 * (1 + math.erf(z / math.sqrt(2))) for z in z_scores)
        u = low + (high - low) * share
        value = self.mean + self.std * float(torch.special.ndtri(torch.tensor(u, dtype=torch.float64)))
        return min(max(value, self.low), self.high)


MAR_RATIO = TruncatedNormal(mean=1.0, std=0.25, low=0.7, high=1.0)
"""MAR's mask ratio (Li et al. 2024); mean 0.867."""

# Yang et al. 2025, figure 5 and table 8: an equal mixture of a normal at high ratios and a truncated normal whose tail
# reaches low ratios. Its parameters are not printed (published inconsistency X53); these were read off the figure.
MNTP_HIGH = TruncatedNormal(mean=0.75, std=0.1, low=0.0, high=1.0)
MNTP_LOW = TruncatedNormal(mean=0.0, std=0.35, low=0.0, high=1.0)

DROPS: dict[str, tuple[TruncatedNormal, ...]] = {
    "mixture": (MNTP_HIGH, MNTP_LOW),
    "high": (MNTP_HIGH,),
    "low": (MNTP_LOW,),
    "mar": (MAR_RATIO,),
    "fixed": (TruncatedNormal(mean=0.7, std=1.0, low=0.7, high=0.7),),
    "uniform": (TruncatedNormal(mean=0.5, std=1e3, low=0.0, high=1.0),),  # so wide a normal is flat
    "none": (),
}
"""Drop ratios of masked next-token prediction, equal mixtures of one or two parts. From Yang et al. 2025: ``mixture``
(table 8 C), its parts (A and B), MAR's (D), and those of table 3, rows C (``fixed``) and D (``uniform``)."""


def drop_ratio(name: str, rng: ItemRNG) -> float:
    """One draw of ``DROPS[name]``."""
    parts = DROPS[name]
    if not parts:
        return 0.0
    part = parts[0] if len(parts) == 1 or float(rng.uniform(1)) < 0.5 else parts[1]
    return part.draw(rng)


def cosine_counts(frames: int, iterations: int) -> list[int]:
    """Number of tokens still masked after each iteration: floor(T cos(pi i / 2N)), i = 1..N (Huang et al. 2025, 3.2.2).

    At least one token is revealed per iteration, as in MAR (the formula alone reveals none at first: published
    inconsistency X68). With more iterations than tokens the list is shorter than N.
    """
    counts, masked = [], frames
    for i in range(1, iterations + 1):
        masked = max(min(math.floor(frames * math.cos(math.pi / 2 * i / iterations) + 1e-9), masked - 1), 0)
        if i == iterations:
            masked = 0
        counts.append(masked)
        if masked == 0:
            break
    return counts


def unmasking_order(order: Order, rng: ItemRNG, frames: int, span: int = 1) -> Tensor:
    """A permutation (B, T) of the frames of each clip, of which sampling reveals the last ones first.

    Args:
        order: ``random``, in spans of ``span`` frames; or ``causal``, from left to right.
    """
    if order == "causal":
        return torch.arange(frames - 1, -1, -1, device=rng.device).expand(len(rng), -1)
    return span_order(rng, frames, span)


def span_order(rng: ItemRNG, frames: int, span: int) -> Tensor:
    """A random order (B, T) of the frames in which the ``span`` frames of each span are adjacent.

    A clip whose length is no multiple of the span ends with a shorter one.
    """
    order_BS = rng.permutation(-(-frames // span))
    order_BT = (order_BS[..., None] * span + torch.arange(span, device=order_BS.device)).flatten(1)
    if frames % span == 0:
        return order_BT
    inside_first = (order_BT >= frames).to(torch.int8).argsort(dim=1, stable=True)
    return order_BT.gather(1, inside_first)[:, :frames]


def hidden_first(order_BT: Tensor, known_BT: Tensor | None) -> Tensor:
    """``order_BT`` with the known positions moved behind the others."""
    if known_BT is None:
        return order_BT
    return order_BT.gather(1, known_BT.gather(1, order_BT).to(torch.int8).argsort(dim=1, stable=True))


def context_first(known_BT: Tensor) -> Tensor:
    """Order (B, T) with the known frames first and then the hidden ones, both in their order in time."""
    return (~known_BT).to(torch.int8).argsort(dim=1, stable=True)


def hidden_count(known_BT: Tensor | None, frames: int) -> int:
    """How many of ``frames`` are hidden, the same in every row; all of them if ``known_BT`` is None."""
    return frames if known_BT is None else int((~known_BT[0]).sum())


def index_at(positions_BM: Tensor, like_BTC: Tensor) -> Tensor:
    """Index (B, M, C) for ``gather`` and ``scatter`` of whole vectors of ``like_BTC`` at ``positions_BM``."""
    return positions_BM[..., None].expand(-1, -1, like_BTC.shape[-1])


def picked(x_BTC: Tensor, positions_BM: Tensor) -> Tensor:
    """The vectors (B, M, C) at ``positions_BM``."""
    return x_BTC.gather(1, index_at(positions_BM, x_BTC))
