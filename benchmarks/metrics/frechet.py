r"""Frechet distance between two sets of embeddings, the distance inside FID and FAD.

Each set is summarised by its mean and covariance, and the distance is that between two Gaussians (Dowson and Landau,
1982; Heusel et al., 2017, arXiv:1706.08500, Eq. 6; for audio Kilgour et al., 2019, arXiv:1812.08466, Eq. 1):

    d^2 = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2})

The trace of the square root needs no general matrix square root. S_1 S_2 has the eigenvalues of the symmetric
S_1^{1/2} S_2 S_1^{1/2}, so two symmetric eigenvalue problems give it exactly, with no complex part to throw away
(pytorch-fid #117, fadtk #38). Rounding leaves eigenvalues a little under zero where a covariance is singular; they are
clipped, and how much was clipped is part of the result, so that a broken input cannot hide.

Conventions: covariances with n - 1; the value is the SQUARED distance, as in every published table; embeddings are
never whitened (a nearly dead dimension would dominate). The estimate is biased upwards for small n, so only values at
equal n compare: ``benchmarks.evaluators.panel`` refuses unequal sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.metrics.arrays import Float, as_pair


@dataclass(frozen=True)
class FrechetDistance:
    """A Frechet distance and what it rests on.

    Attributes:
        value: the squared distance; tiny rounding below zero is possible for identical sets.
        n_reference, n_generated: items in each set.
        clipped: sum of the negative eigenvalues that were set to zero (<= 0); far from zero means broken input.
    """

    value: float
    n_reference: int
    n_generated: int
    clipped: float


def frechet_distance(reference: ArrayLike, generated: ArrayLike) -> FrechetDistance:
    """Frechet distance between embeddings (n, d) and (m, d).

    Raises:
        UserError: fewer than two items in a set, unequal dimensions, NaN or infinity.
    """
    first, second = as_pair(reference, generated, "embeddings", min_rows=2)
    value, clipped = gaussian_distance(first.mean(0), covariance(first), second.mean(0), covariance(second))
    return FrechetDistance(value, len(first), len(second), clipped)


def gaussian_distance(mean_1: Float, cov_1: Float, mean_2: Float, cov_2: Float) -> tuple[float, float]:
    """Squared Frechet distance between N(mean_1, cov_1) and N(mean_2, cov_2), and the sum of clipped eigenvalues."""
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    inner = root @ cov_2 @ root
    products = np.linalg.eigvalsh((inner + inner.T) / 2)
    trace_root = np.sqrt(np.clip(products, 0.0, None)).sum()
    clipped = np.clip(values, None, 0.0).sum() + np.clip(products, None, 0.0).sum()
    shift = mean_1 - mean_2
    return float(shift @ shift + np.trace(cov_1) + np.trace(cov_2) - 2.0 * trace_root), float(clipped)


def covariance(items: Float) -> Float:
    """Sample covariance (d, d) of items (n, d), with n - 1."""
    return np.atleast_2d(np.cov(items, rowvar=False))
