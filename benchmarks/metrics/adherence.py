"""Caption adherence: attribute accuracy (``adherence``) and text-audio similarity (``clap``).

**Attribute accuracy.** A caption asks for attributes (key, lead instrument, drum pattern ...), and a classifier detects
their values in the generated clip. The score of a clip is 1 where both agree, 0 where they do not, and NaN where its
caption does not ask for the attribute. An accuracy is read against two chance levels: ``uniform`` (1 / values) and
``majority`` (always predicting the most frequent value asked for). The classifier errs too; its accuracy on the real
clips is the ceiling.

**Text-audio similarity.** The cosine between the embeddings of a clip and of its caption, in a space trained to align
both; the mean over clips is known as CLAP score (Wu et al., 2023, arXiv:2211.06687). Its scale depends on the
checkpoint, so it is read against the same score of real clips and of shuffled captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...common.errors import UserError
from ...common.lines import count
from .arrays import Float, as_paired


@dataclass(frozen=True)
class Chance:
    """Expected accuracy of guessing: ``uniform`` among all values, or always the ``majority`` value asked for."""

    uniform: float
    majority: float


def agreement(asked: Sequence[str | None], detected: Sequence[str]) -> Float:
    """1.0 where the detected value is the one asked for, 0.0 where not, NaN where nothing was asked for, (n,).

    Raises:
        UserError: the lengths differ.
    """
    if len(asked) != len(detected):
        raise UserError(
            f"{count(len(asked), 'clip')} asked for but {len(detected)} detected: give one of each per clip"
        )
    return np.array([np.nan if a is None else float(a == d) for a, d in zip(asked, detected)], dtype=np.float64)


def chance(asked: Sequence[str | None], values: Sequence[str]) -> Chance:
    """Chance levels for the values asked for, out of all possible ``values``.

    Raises:
        UserError: no clip asks for anything.
    """
    counts = Counter(a for a in asked if a is not None)
    if not counts:
        raise UserError("no clip asks for this attribute, so it has no chance level; leave it out")
    return Chance(uniform=1.0 / len(values), majority=max(counts.values()) / sum(counts.values()))


def cosine_similarity(audio: ArrayLike, text: ArrayLike) -> Float:
    """Cosine of each pair of rows of two matrices (n, d); returns (n,), in [-1, 1].

    Raises:
        UserError: unequal shapes, NaN, or an embedding of length zero.
    """
    first, second = as_paired(audio, text, "embeddings")
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if (lengths == 0).any():
        raise UserError(f"item {int(np.argmin(lengths))}: an embedding of length zero has no direction")
    return np.asarray(np.clip((first * second).sum(axis=1) / lengths, -1.0, 1.0))
