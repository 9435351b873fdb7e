"""The one scalar normalisation of a corpus' latents, and how it is measured when they do not fit in memory.

Normalisation (papers/002, E.2), for M of shape (N clips, T, D), over the train split:

    mean = M.mean();  std = M.std(dim=1).mean();  z_norm = (z - mean) / std

That std is over time within a clip and channel only, so normalised latents have a standard deviation above 1 when clips
or channels differ among themselves. It is the default ("paper"); "global" takes M.std() instead. Both are recorded.
"none" leaves latents as they are, which flow matching is said to suffer from (papers/002, E.1).

Up to ``ONE_PASS`` values are measured in one go. Larger corpora add up the moments that each shard was published with
(Chan et al. 1982, the pairwise update of mean and squared deviations): the same but for rounding, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["paper", "global", "none"]
ONE_PASS = 2**26  # latent values; half a gigabyte in double precision


@dataclass(frozen=True)
class LatentStats:
    """Statistics of the train split's raw latents: the mean, and the spread by both definitions."""

    mean: float
    std_paper: float
    std_global: float
    clips: int

    def std(self, normalisation: Normalisation) -> float:
        """The spread that ``normalisation`` names; 1 for ``none``."""
        return {"paper": self.std_paper, "global": self.std_global, "none": 1.0}[normalisation]

    def shift(self, normalisation: Normalisation) -> float:
        """What is subtracted first: the mean, or nothing."""
        return 0.0 if normalisation == "none" else self.mean


@dataclass(frozen=True)
class Moments:
    """What a shard adds to the statistics.

    Attributes:
        clips, values: how many.
        mean, squares: of the values: their mean, and the sum of squared deviations from it.
        spreads, spread: number and sum of the standard deviations over time, one per channel of each clip of two frames
            or more.
    """

    clips: int
    values: int
    mean: float
    squares: float
    spreads: int
    spread: float


def latent_stats(z: Iterable[Tensor]) -> LatentStats:
    """Scalar statistics of latents [(T, D), ...]; T may differ; a clip of one frame does not count in std_paper."""
    clips = list(z)
    frames_MD = torch.cat(clips).double()
    return LatentStats(
        frames_MD.mean().item(), _spreads(clips).mean().item(), frames_MD.std().item(), len(clips)
    )  # fmt: skip


def moments(z: Sequence[Tensor]) -> Moments:
    """The moments of latents [(T, D), ...]."""
    frames_MD = torch.cat(list(z)).double()
    mean = frames_MD.mean()
    spread = _spreads(z)
    squares = (frames_MD - mean).square().sum().item()
    return Moments(len(z), frames_MD.numel(), mean.item(), squares, spread.numel(), spread.sum().item())


def added(parts: Iterable[Moments]) -> LatentStats:
    """The statistics of all shards together, from their moments alone."""
    clips, values, mean, squares, spreads, spread = 0, 0, 0.0, 0.0, 0, 0.0
    for part in parts:
        apart, before = part.mean - mean, values
        clips, values = clips + part.clips, values + part.values
        squares += part.squares + apart**2 * before * part.values / values
        mean += apart * part.values / values
        spreads, spread = spreads + part.spreads, spread + part.spread
    return LatentStats(mean, spread / spreads, (squares / (values - 1)) ** 0.5, clips)


def _spreads(z: Sequence[Tensor]) -> Tensor:
    """Standard deviations over time, double, one per channel of each clip that has any."""
    rows = [z_TD.double().std(dim=0) for z_TD in z if len(z_TD) > 1]
    return torch.stack(rows) if rows else torch.zeros(0, dtype=torch.float64)
