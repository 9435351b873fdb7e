"""The scalar normalisation of a corpus' latents, and how to measure it when they do not fit in memory.

Normalisation (Tal et al. 2025, appendix E.2), for M of shape (N clips, T, D), over the train split:

    mean = M.mean();  std = M.std(dim=1).mean();  z_norm = (z - mean) / std

That std is over time within a clip and channel only, so normalised latents have a standard deviation above 1 if clips
or channels differ from each other. It is the default ("paper"); "global" takes M.std() instead. Both are recorded.
"none" leaves latents as they are, which is said to harm flow matching (Tal et al. 2025, appendix E.1).

Up to ``ONE_PASS`` values are measured in one pass. For larger corpora, the moments that each shard was written with are
combined (Chan et al. 1982, the pairwise update of mean and squared deviations). The result is the same except for
rounding, and no latent is read.
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
    """Statistics of the train split's raw latents: the mean, and the standard deviation by both definitions."""

    mean: float
    std_paper: float
    std_global: float
    clips: int

    def std(self, normalisation: Normalisation) -> float:
        """The standard deviation that ``normalisation`` names; 1 for ``none``."""
        return {"paper": self.std_paper, "global": self.std_global, "none": 1.0}[normalisation]

    def shift(self, normalisation: Normalisation) -> float:
        """What is subtracted before the division: the mean; 0 for ``none``."""
        return 0.0 if normalisation == "none" else self.mean


@dataclass(frozen=True)
class Moments:
    """What a shard contributes to the statistics.

    Attributes:
        clips, values: number of clips and of latent values.
        mean, squares: mean of the values, and the sum of squared deviations from it.
        spreads, spread: number and sum of the standard deviations over time, one per channel of each clip with two or
            more frames.
    """

    clips: int
    values: int
    mean: float
    squares: float
    spreads: int
    spread: float


def latent_stats(z: Iterable[Tensor]) -> LatentStats:
    """Scalar statistics of latents [(T, D), ...]; T may differ; clips of one frame are left out of std_paper."""
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


def combine_moments(parts: Iterable[Moments]) -> LatentStats:
    """The statistics of all shards together, from their moments."""
    clips, values, mean, squares, spreads, spread = 0, 0, 0.0, 0.0, 0, 0.0
    for part in parts:
        apart, before = part.mean - mean, values
        clips, values = clips + part.clips, values + part.values
        squares += part.squares + apart**2 * before * part.values / values
        mean += apart * part.values / values
        spreads, spread = spreads + part.spreads, spread + part.spread
    return LatentStats(mean, spread / spreads, (squares / (values - 1)) ** 0.5, clips)


def _spreads(z: Sequence[Tensor]) -> Tensor:
    """Standard deviations over time, float64, one per channel of each clip with two or more frames."""
    rows = [z_TD.double().std(dim=0) for z_TD in z if len(z_TD) > 1]
    return torch.stack(rows) if rows else torch.zeros(0, dtype=torch.float64)
