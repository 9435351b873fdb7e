r"""MAD: the Mauve Audio Divergence, minus the logarithm of MAUVE between two sets of embeddings.

MAUVE (Pillutla et al., 2021, arXiv:2102.01454, section 2) clusters both sets together, so that each becomes a
histogram P (generated) or Q (reference), and measures how far both are from mixtures R = w P + (1 - w) Q:

    curve(w) = (exp(-c KL(Q || R)), exp(-c KL(P || R))),   c = 5,   MAUVE = area under the curve

It is 1 for equal histograms and about 0.004 for disjoint ones. Huang et al., 2025 (arXiv:2503.16669) found its negative
logarithm on self-supervised embeddings to follow listeners better than FAD: 0 is best, 5.53 the worst possible.

Conventions as in the papers' code: embeddings scaled to unit length, principal components up to 90% of the
variance, k-means with n / 10 clusters (at least 2), 25 mixtures. Ours in addition: float64, and k-means++ from a fixed
seed on clips sorted by content, the best of five starts, so that the same sets always give the same score. With few
clips the histograms are coarse, and real against real is clearly above 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from .arrays import Float, as_pair

SCALING = 5.0
MIXTURES = 25
VARIANCE_KEPT = 0.9
STARTS = 5
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Quantised:
    """Both sets as cluster numbers, item i of each in the order it was given; ``clusters`` of them."""

    reference: Labels
    generated: Labels
    clusters: int


def mauve_audio_divergence(reference: ArrayLike, generated: ArrayLike) -> float:
    """MAD, -ln MAUVE, between embeddings (n, d) and (m, d); 0 is best.

    Raises:
        UserError: fewer than two items in a set, unequal dimensions, NaN or infinity.
    """
    labels = quantise(reference, generated)
    return divergence(counts(labels.generated, labels.clusters), counts(labels.reference, labels.clusters))


def quantise(reference: ArrayLike, generated: ArrayLike) -> Quantised:
    """Cluster both sets together.

    Raises:
        UserError: see ``mauve_audio_divergence``.
    """
    x, y = as_pair(reference, generated, "embeddings", min_rows=2)
    both, clusters = np.concatenate([x, y]), max(2, round(min(len(x), len(y)) / 10))
    order = np.lexsort(both.T[::-1])
    labels = np.empty(len(both), np.intp)
    labels[order] = _cluster(_project(both[order]), clusters, np.random.default_rng(0))
    return Quantised(labels[: len(x)], labels[len(x) :], clusters)


def divergence(p: ArrayLike, q: ArrayLike) -> float:
    """-ln MAUVE of two histograms of one length; counts or shares."""
    return float(-np.log(mauve(p, q)))


def mauve(p: ArrayLike, q: ArrayLike) -> float:
    """Area under the divergence curve of two histograms, in (0, 1]."""
    first, second = np.asarray(p, np.float64), np.asarray(q, np.float64)
    first, second = first / first.sum(), second / second.sum()
    weights = np.linspace(1e-6, 1 - 1e-6, MIXTURES)[:, None]
    mixed = weights * first + (1 - weights) * second
    towards_q = np.exp(-SCALING * rel_entr(second, mixed).sum(axis=1))
    towards_p = np.exp(-SCALING * rel_entr(first, mixed).sum(axis=1))
    x, y = np.concatenate([[1.0], towards_q, [0.0]]), np.concatenate([[0.0], towards_p, [1.0]])
    return (_area(x, y) + _area(y, x)) / 2


def counts(labels: Labels, clusters: int) -> Float:
    """How many items fall in each cluster, (clusters,)."""
    return np.bincount(labels, minlength=clusters).astype(np.float64)


def _area(x: Float, y: Float) -> float:
    order = np.lexsort((-y, x))  # the curve falls: where points share an x, the higher comes first
    return float(np.trapezoid(y[order], x[order]))


def _project(items: Float) -> Float:
    """Unit length, then the principal components that hold 90% of the variance."""
    lengths = np.linalg.norm(items, axis=1, keepdims=True)
    unit = items / np.where(lengths > 0, lengths, 1.0)
    centred = unit - unit.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    share = np.cumsum(values[::-1]) / max(float(values.sum()), np.finfo(float).tiny)
    kept = int(np.argmax(share >= VARIANCE_KEPT)) + 1
    return np.asarray(centred @ vectors[:, ::-1][:, :kept])


def _cluster(items: Float, clusters: int, rng: np.random.Generator) -> Labels:
    """Labels (n,) of the k-means clustering with the least squared distances among several starts."""
    starts = [kmeans2(items, _plus_plus(items, clusters, rng), iter=50, minit="matrix")[0] for _ in range(STARTS)]
    squared = min((_squared(items, centres) for centres in starts), key=lambda found: found.min(axis=1).sum())
    return np.asarray(squared.argmin(axis=1))


def _plus_plus(items: Float, clusters: int, rng: np.random.Generator) -> Float:
    """k-means++ (Arthur and Vassilvitskii, 2007): each centre is drawn in proportion to
    its squared distance from the nearest centre so far.
    """
    centres, nearest = [items[rng.integers(len(items))]], np.full(len(items), np.inf)
    for _ in range(clusters - 1):
        nearest = np.minimum(nearest, _squared(items, centres[-1][None])[:, 0])
        total = nearest.sum()
        weights = nearest / total if total > 0 else np.full(len(items), 1.0 / len(items))
        centres.append(items[rng.choice(len(items), p=weights)])
    return np.stack(centres)


def _squared(items: Float, centres: Float) -> Float:
    return np.asarray(cdist(items, centres, "sqeuclidean"))
