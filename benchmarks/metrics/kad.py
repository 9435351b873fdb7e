r"""Kernel audio distance: an unbiased squared maximum mean discrepancy between two sets of embeddings.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j),
    k(a, b) = exp(-|a - b|^2 / (2 s^2))

Gretton et al., 2012 (JMLR 13, Eq. 3); for audio Chung et al., 2025 (KAD, arXiv:2502.15602, Eq. 6-7). Unlike the Frechet
distance it assumes no Gaussian and is unbiased at any n, so it may be slightly below zero. The bandwidth s is the
median distance between REFERENCE items, as in the paper; a bandwidth that depended on the generated set would make
values of different systems incomparable. The value is multiplied by 100, as in kadtk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from ...common.errors import UserError
from .arrays import Float, as_matrix, as_pair, by_content

SCALE = 100.0


def median_bandwidth(reference: ArrayLike) -> float:
    """Median pairwise Euclidean distance of the reference embeddings (n, d).

    Raises:
        UserError: fewer than two items, NaN, or more than half of the pairs coincide.
    """
    bandwidth = float(np.median(pdist(as_matrix(reference, "reference embeddings", min_rows=2))))
    if bandwidth == 0.0:
        raise UserError("reference embeddings: most items are identical, so there is no kernel width; mend the set")
    return bandwidth


def kernel_distance(reference: ArrayLike, generated: ArrayLike, bandwidth: float | None = None) -> float:
    """KAD (100 times the unbiased MMD^2) between embeddings (n, d) and (m, d).

    Args:
        bandwidth: kernel width s; ``None`` takes ``median_bandwidth(reference)``.

    Raises:
        UserError: fewer than two items in a set, unequal dimensions, NaN, or a degenerate reference.
    """
    x, y = as_pair(reference, generated, "embeddings", min_rows=2)
    return KernelTable.of(by_content(x), by_content(y), bandwidth).distance(np.ones(len(y)))


@dataclass(frozen=True)
class KernelTable:
    """The kernel between all items of two sets, evaluated once for many draws of generated items.

    Attributes:
        within_reference: mean over pairs of different reference items.
        to_reference: mean kernel of each generated item to the reference, (m,).
        between: kernel between all generated items, (m, m).
    """

    within_reference: float
    to_reference: Float
    between: Float

    @classmethod
    def of(cls, reference: Float, generated: Float, bandwidth: float | None = None) -> KernelTable:
        """From embeddings (n, d) and (m, d); ``bandwidth`` as in ``kernel_distance``."""
        width = median_bandwidth(reference) if bandwidth is None else bandwidth

        def kernel(squared: Float) -> Float:
            return np.exp(-squared / (2.0 * width**2))

        return cls(
            float(kernel(pdist(reference, "sqeuclidean")).mean()),
            kernel(cdist(generated, reference, "sqeuclidean")).mean(axis=1),
            kernel(cdist(generated, generated, "sqeuclidean")),
        )

    def distance(self, counts: Float) -> float:
        """KAD of the set that holds generated item i ``counts[i]`` times."""
        m = counts.sum()
        within = (counts @ self.between @ counts - m) / (m * (m - 1))  # an item beside itself: kernel 1, left out
        return float(SCALE * (self.within_reference + within - 2.0 * (counts @ self.to_reference) / m))
