r"""Paired KL divergence between what a classifier hears in a reference clip and in the clip generated for its caption.

    KL(p || q) = sum_c p_c log(p_c / (q_c + eps)),   p = reference, q = generated, eps = 1e-6

Direction and epsilon as in audiocraft's ``kld`` metric over PaSST posteriors (MusicGen, arXiv:2306.05284, section 3.3):
``torch.nn.functional.kl_div(log(generated + eps), reference)``. The epsilon caps one clip at about 13.8 nats per
classifier. A class that the reference gives probability zero adds nothing (0 log 0 = 0).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from ...common.errors import UserError
from .arrays import Float, as_paired

EPSILON = 1e-6


def paired_kl(reference: ArrayLike, generated: ArrayLike) -> Float:
    """KL(reference || generated) per pair, in nats, (n,), from class posteriors (n, classes).

    Raises:
        UserError: unequal shapes, NaN, or rows that are not probabilities.
    """
    p, q = as_paired(reference, generated, "posteriors")
    for name, rows in (("reference", p), ("generated", q)):
        if (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-4):
            raise UserError(f"{name} posteriors: rows must be probabilities that sum to 1; apply a softmax first")
    return rel_entr(p, q + EPSILON).sum(axis=1)


def joint_kl(reference: Mapping[str, ArrayLike], generated: Mapping[str, ArrayLike]) -> Float:
    """``paired_kl`` of several classifiers summed, (n,): the KL of the product of their independent posteriors.

    Raises:
        UserError: the two sides come from different classifiers; see ``paired_kl``.
    """
    if not reference or set(reference) != set(generated):
        raise UserError(f"posteriors of {sorted(reference)} against {sorted(generated)}: use one evaluator for both")
    return np.sum([paired_kl(reference[name], generated[name]) for name in sorted(reference)], axis=0)
