"""Text-audio similarity: the cosine between a clip's embedding and its caption's, in a space trained to align the two.

The "CLAP score" of the field (Wu et al., 2023, arXiv:2211.06687): one cosine per clip, then their mean. Its scale
belongs to the checkpoint alone, so it is read against the same score for real clips and for shuffled captions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...common.errors import UserError
from .arrays import Float, as_paired


def cosine_similarity(audio: ArrayLike, text: ArrayLike) -> Float:
    """Cosine of each pair of rows (n, d), (n, d) -> (n,), in [-1, 1].

    Raises:
        UserError: unequal shapes, NaN, or an embedding of length zero.
    """
    first, second = as_paired(audio, text, "embeddings")
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if (lengths == 0).any():
        raise UserError(f"item {int(np.argmin(lengths))}: an embedding of length zero has no direction")
    return np.clip((first * second).sum(axis=1) / lengths, -1.0, 1.0)
