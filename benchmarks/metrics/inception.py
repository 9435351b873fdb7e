r"""Inception Score: are single clips classified with confidence, and do the clips together cover the classes?

    IS = exp(mean_x KL(p(y|x) || p(y))),   p(y) = mean_x p(y|x)

Salimans et al., 2016 (arXiv:1606.03498), section 4. It lies between 1 and the number of classes and needs no
reference; it also cannot see whether the captions were followed. One score over the whole set: splitting it into
tenths, as the first implementation did, biases it downwards (Barratt and Sharma, 2018, arXiv:1801.01973).

An evaluator with several classifiers (key, drums ...) has one score per classifier; ``joint_inception_score`` is their
geometric mean, which lies between 1 and the geometric mean of the numbers of classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from ...common.errors import UserError
from .arrays import as_matrix


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
