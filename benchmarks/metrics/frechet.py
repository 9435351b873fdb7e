r"""Frechet distance between two sets of embeddings, the distance inside FID and FAD.

Each set is summarised by its mean and covariance, and the distance is that between two Gaussians (Dowson and Landau,
1982; Heusel et al., 2017, arXiv:1706.08500, Eq. 6; for audio Kilgour et al., 2019, arXiv:1812.08466, Eq. 1):

    d^2 = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2})

The trace of the square root needs no general matrix square root. With S_1 = F^T F, S_1 S_2 has the eigenvalues of the
symmetric F S_2 F^T, so symmetric eigenvalue problems give it exactly, with no complex part to throw away (pytorch-fid
#117, fadtk #38). Rounding leaves eigenvalues a little under zero where a covariance is singular; they are clipped, and
how much was clipped is part of the result, so that a broken input cannot hide. A set of fewer items than dimensions is
its own factor, S_2 = G^T G with G the centred items over sqrt(n - 1), and the trace is then the sum of the singular
values of F G^T: as exact, without any matrix of d x d, which for 2048 dimensions and 64 clips is a thousand times less.

Conventions: covariances with n - 1; the value is the SQUARED distance, as in every published table; embeddings are
never whitened (a nearly dead dimension would dominate). The estimate is biased upwards for small n, so only values at
equal n compare: ``benchmarks.evaluators.panel`` refuses unequal sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Float, as_pair, by_content


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
    """Frechet distance between embeddings (n, d) and (m, d); their order changes no digit.

    Raises:
        UserError: fewer than two items in a set, unequal dimensions, NaN or infinity.
    """
    first, second = as_pair(reference, generated, "embeddings", min_rows=2)
    value, clipped = FrechetReference.of(by_content(first)).distance(by_content(second))
    return FrechetDistance(value, len(first), len(second), clipped)


def gaussian_distance(mean_1: Float, cov_1: Float, mean_2: Float, cov_2: Float) -> tuple[float, float]:
    """Squared Frechet distance between N(mean_1, cov_1) and N(mean_2, cov_2), and the sum of clipped eigenvalues."""
    return FrechetReference.of_gaussian(mean_1, cov_1).to_gaussian(mean_2, cov_2)


@dataclass(frozen=True)
class FrechetReference:
    """A reference set, its share of the work done once for many distances to it.

    Attributes:
        mean: (d,).
        factor: F with covariance F^T F, (n, d) or (d, d).
        trace: of the covariance.
        clipped: sum of its negative eigenvalues.
    """

    mean: Float
    factor: Float
    trace: float
    clipped: float

    @classmethod
    def of(cls, items: Float) -> FrechetReference:
        """From embeddings (n, d)."""
        if len(items) > items.shape[1]:
            return cls.of_gaussian(items.mean(0), covariance(items))
        factor = own_factor(items)
        return cls(items.mean(0), factor, float(np.square(factor).sum()), 0.0)

    @classmethod
    def of_gaussian(cls, mean: Float, cov: Float) -> FrechetReference:
        """From a mean (d,) and a covariance (d, d)."""
        values, vectors = np.linalg.eigh(cov)
        factor = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
        return cls(mean, factor, float(np.trace(cov)), float(np.clip(values, None, 0.0).sum()))

    def distance(self, items: Float) -> tuple[float, float]:
        """Squared distance to embeddings (m, d), and the sum of clipped eigenvalues."""
        if len(items) > items.shape[1]:
            return self.to_gaussian(items.mean(0), covariance(items))
        factor = own_factor(items)
        trace_root = float(np.linalg.svd(self.factor @ factor.T, compute_uv=False).sum())
        return self._sum(items.mean(0), float(np.square(factor).sum()), trace_root), self.clipped

    def to_gaussian(self, mean: Float, cov: Float) -> tuple[float, float]:
        """Squared distance to N(mean, cov), and the sum of clipped eigenvalues."""
        inner = self.factor @ cov @ self.factor.T
        products = np.linalg.eigvalsh((inner + inner.T) / 2)
        trace_root = float(np.sqrt(np.clip(products, 0.0, None)).sum())
        clipped = self.clipped + float(np.clip(products, None, 0.0).sum())
        return self._sum(mean, float(np.trace(cov)), trace_root), clipped

    def _sum(self, mean: Float, trace: float, trace_root: float) -> float:
        shift = self.mean - mean
        return float(shift @ shift) + self.trace + trace - 2.0 * trace_root


def own_factor(items: Float) -> Float:
    """The centred items (n, d) over sqrt(n - 1): a factor of their covariance."""
    factor: Float = (items - items.mean(0)) / np.sqrt(len(items) - 1)
    return factor


def covariance(items: Float) -> Float:
    """Sample covariance (d, d) of items (n, d), with n - 1."""
    return np.atleast_2d(np.cov(items, rowvar=False))
