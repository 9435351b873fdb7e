r"""FAD-infinity: the Frechet distance that infinitely many clips would give, extrapolated from smaller sets.

The Frechet distance of two samples is biased upwards by about a / n (Chong and Forsyth, 2020, "Effectively unbiased
FID", arXiv:1911.07023, section 3; for audio Gui et al., 2024, arXiv:2311.01616, section 3.2). So it is measured on
random subsets of several sizes n, a straight line is fitted in 1 / n, and its value at 1 / n = 0 is the score:

    FAD(n) = FAD_inf + slope / n

Conventions: subsets are of whole clips (never of frames, which are not independent), without replacement, drawn from a
fixed seed after sorting the clips by content, so that neither their order nor a second run changes a digit. BOTH sets
are cut to n: reference and generated set are equally small here, and a line through one of them alone would keep the
other's bias. The papers hold a large reference fixed: ``fixed_reference=True`` does that. R^2 says how straight the
points lie; far below 0.9 the extrapolation means little. The value may be below zero, as an unbiased estimate of a
small distance must be able to be. With fewer clips than dimensions the bias is no longer a / n, and some of it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...common.errors import UserError
from .arrays import Float, as_pair, by_content

MIN_CLIPS = 16
POINTS = 6  # sizes from n / 4 to n, evenly spaced in 1 / n
REPEATS = 4  # random subsets per size


@dataclass(frozen=True)
class FrechetInfinity:
    """The extrapolation and the points behind it.

    Attributes:
        value: the fitted distance at 1 / n = 0.
        slope: of the line over 1 / n: the bias at size n is slope / n.
        r_squared: share of the variance of the points that the line explains.
        sizes, distances: the points, mean distance per size.
    """

    value: float
    slope: float
    r_squared: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_infinity(
    reference: ArrayLike,
    generated: ArrayLike,
    *,
    points: int = POINTS,
    repeats: int = REPEATS,
    seed: int = 0,
    fixed_reference: bool = False,
) -> FrechetInfinity:
    """FAD-infinity between embeddings (n, d) and (m, d).

    Args:
        points: how many set sizes; the largest is min(n, m), the smallest a quarter of it.
        repeats: subsets drawn per size.
        fixed_reference: compare subsets of the generated set with the whole reference.

    Raises:
        UserError: fewer than 16 items in a set, fewer than 2 points, unequal dimensions, NaN or infinity.
    """
    x, y = as_pair(reference, generated, "embeddings", min_rows=MIN_CLIPS)
    if points < 2:
        raise UserError(f"FAD-infinity: a line needs 2 points, not {points}; give more")
    x, y = by_content(x), by_content(y)
    rng, sizes = np.random.default_rng(seed), _sizes(len(y) if fixed_reference else min(len(x), len(y)), points)
    distances: list[float] = []
    for size in sizes:
        times = 1 if size == len(y) and (fixed_reference or size == len(x)) else repeats
        drawn = [(x if fixed_reference else _subset(x, size, rng), _subset(y, size, rng)) for _ in range(times)]
        distances.append(float(np.mean([_distance(a, b) for a, b in drawn])))
    inverse = 1.0 / np.array(sizes)
    slope, value = (float(number) for number in np.polyfit(inverse, distances, 1))
    left = np.square(np.array(distances) - (slope * inverse + value)).sum()
    spread = np.square(np.array(distances) - np.mean(distances)).sum()
    r_squared = 1.0 - left / spread if spread > 0 else 1.0
    return FrechetInfinity(float(value), float(slope), float(r_squared), tuple(sizes), tuple(distances))


def _sizes(largest: int, points: int) -> list[int]:
    inverse = np.linspace(1.0 / largest, 4.0 / largest, points)
    return [int(size) for size in np.unique(np.round(1.0 / inverse))]


def _subset(items: Float, size: int, rng: np.random.Generator) -> Float:
    return items[rng.permutation(len(items))[:size]]


def _distance(x: Float, y: Float) -> float:
    """``frechet_distance`` by singular values: for S = F^T F, tr (S_1 S_2)^{1/2} is the nuclear norm of F_1 F_2^T.

    Exact for any rank; with fewer clips than dimensions the matrix is no larger than the clips are many.
    """
    first, second = _factor(x), _factor(y)
    shift = x.mean(0) - y.mean(0)
    nuclear = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(shift @ shift + np.square(first).sum() + np.square(second).sum() - 2.0 * nuclear)


def _factor(items: Float) -> Float:
    """F with F^T F = the covariance (n - 1), at most as many rows as there are dimensions."""
    centred = (items - items.mean(0)) / np.sqrt(len(items) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(items) > items.shape[1] else centred
