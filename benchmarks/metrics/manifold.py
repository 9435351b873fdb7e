r"""Precision, recall, density and coverage: are generated clips realistic, and do they cover the variety of real ones?

Each item of a set has a ball whose radius is the distance to its k-th nearest neighbour in the same set; the union of
the balls estimates the manifold of the set.

- ``precision``: share of generated clips inside some ball of the reference (Kynkaanniemi et al., 2019,
  arXiv:1904.06991, Eq. 1-2): realism.
- ``recall``: share of reference clips inside some ball of the generated set: variety.
- ``density``: how many balls of the reference hold a generated clip, over k, on average (Naeem et al., 2020,
  arXiv:2002.09797, Eq. 3): realism, robust against an outlier in the reference. May exceed 1.
- ``coverage``: share of reference clips whose ball holds a generated clip (Eq. 4): variety, robust against an outlier
  among the generated clips.

k = 5 as in the second paper, at any n: another k would be another metric. All four depend on n, so compare at equal n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from .arrays import Float, as_pair

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """Which items lie in the balls of which others; rows are reference items, columns generated ones.

    Attributes:
        in_reference: (n, m) generated item j lies in the ball of reference item i.
        in_generated: (n, m) reference item i lies in the ball of generated item j.
    """

    in_reference: NDArray[np.bool_]
    in_generated: NDArray[np.bool_]

    @property
    def precision(self) -> float:
        """Share of generated items in some ball of the reference."""
        return float(self.in_reference.any(axis=0).mean())

    @property
    def recall(self) -> float:
        """Share of reference items in some ball of the generated set."""
        return float(self.in_generated.any(axis=1).mean())

    @property
    def density(self) -> float:
        """Mean number of reference balls around a generated item, over k."""
        return float(self.in_reference.sum(axis=0).mean() / NEIGHBOURS)

    @property
    def coverage(self) -> float:
        """Share of reference items with a generated item in their ball."""
        return float(self.in_reference.any(axis=1).mean())

    def of(self, index: NDArray[np.intp]) -> Manifold:
        """The same balls, with only the generated items ``index`` (repeats count in the averages)."""
        return Manifold(self.in_reference[:, index], self.in_generated[:, index])


def manifold(reference: ArrayLike, generated: ArrayLike) -> Manifold:
    """Balls of embeddings (n, d) and (m, d).

    Raises:
        UserError: fewer than 6 items in a set, unequal dimensions, NaN or infinity.
    """
    x, y = as_pair(reference, generated, "embeddings", min_rows=NEIGHBOURS + 1)
    between = cdist(x, y)
    return Manifold(between < _radii(x)[:, None], between < _radii(y)[None, :])


def _radii(items: Float) -> Float:
    """Distance of every item to its k-th nearest neighbour, itself not counted."""
    return np.partition(cdist(items, items), NEIGHBOURS, axis=1)[:, NEIGHBOURS]
