r"""Metrics of class posteriors: Inception Score of a set (``is``) and KL divergence of pairs of clips (``kl``).

**Inception Score**: are single clips classified with confidence, and do the clips together cover the classes?

    IS = exp(mean_x KL(p(y|x) || p(y))),   p(y) = mean_x p(y|x)

Salimans et al., 2016 (arXiv:1606.03498), section 4. It lies between 1 and the number of classes and needs no reference,
so it cannot tell whether captions were followed. It is computed once over the whole set: splitting the set into tenths,
as the first implementation did, biases the score downwards (Barratt and Sharma, 2018, arXiv:1801.01973).

**Paired KL**: how much do the classes of a generated clip differ from those of the real clip of the same caption?

    KL(p || q) = sum_c p_c log(p_c / (q_c + eps)),   p = reference, q = generated, eps = 1e-6

Direction and epsilon are those of audiocraft's ``kld`` metric over PaSST posteriors (MusicGen, arXiv:2306.05284,
section 3.3): ``torch.nn.functional.kl_div(log(generated + eps), reference)``. The epsilon limits one clip to about 13.8
nats per classifier. A class with probability zero in the reference adds nothing (0 log 0 = 0).

An evaluator with several classifiers (key, drums ...) gives one score per classifier. ``joint_inception_score`` is
their geometric mean, ``joint_kl`` their sum, which is the KL divergence of the product of independent posteriors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from ...common.errors import UserError
from .arrays import Float, as_matrix, as_paired

EPSILON = 1e-6


def inception_score(posteriors: ArrayLike) -> float:
    """Inception Score of class posteriors (n, classes).

    Raises:
        UserError: no rows, NaN or infinity.
    """
    p = as_matrix(posteriors, "posteriors")
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def joint_inception_score(posteriors: Mapping[str, ArrayLike]) -> float:
    """Geometric mean of the Inception Scores of several classifiers, name -> (n, classes).

    Raises:
        UserError: no classifier; see ``inception_score``.
    """
    if not posteriors:
        raise UserError("no class posteriors, so there is no Inception Score; use an evaluator that classifies")
    return float(np.exp(np.mean([np.log(inception_score(p)) for p in posteriors.values()])))


def paired_kl(reference: ArrayLike, generated: ArrayLike) -> Float:
    """KL(reference || generated) of each pair in nats, (n,), from class posteriors (n, classes).

    Raises:
        UserError: unequal shapes, NaN, or rows that are not probabilities.
    """
    p, q = as_paired(reference, generated, "posteriors")
    for name, rows in (("reference", p), ("generated", q)):
        if (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-4):
            raise UserError(f"{name} posteriors: rows must be probabilities that sum to 1; apply a softmax first")
    return np.asarray(rel_entr(p, q + EPSILON).sum(axis=1))


def joint_kl(reference: Mapping[str, ArrayLike], generated: Mapping[str, ArrayLike]) -> Float:
    """``paired_kl`` summed over several classifiers, name -> (n, classes); returns (n,).

    Raises:
        UserError: the two sides come from different classifiers; see ``paired_kl``.
    """
    if not reference or set(reference) != set(generated):
        raise UserError(f"posteriors of {sorted(reference)} against {sorted(generated)}: use one evaluator for both")
    return np.asarray(np.sum([paired_kl(reference[name], generated[name]) for name in sorted(reference)], axis=0))
