"""Caption adherence: is what was asked for also heard?

A caption asks for attributes (key, lead instrument, drum pattern ...); a classifier says which value it hears in the
generated clip. The score of one clip is 1 where they agree, else 0, and nothing (NaN) where its caption asked for
nothing. An accuracy means little alone, so it is given beside two kinds of chance: ``uniform`` (1 / values) and
``majority`` (always answering the commonest value asked for). A classifier errs too: the same score on the real clips
is the ceiling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...common.errors import UserError
from ...common.lines import count
from .arrays import Float


@dataclass(frozen=True)
class Chance:
    """What guessing would score: ``uniform`` among the values, or always the ``majority`` value asked for."""

    uniform: float
    majority: float


def agreement(asked: Sequence[str | None], heard: Sequence[str]) -> Float:
    """1.0 where the value heard is the value asked for, 0.0 where not, NaN where nothing was asked, (n,).

    Raises:
        UserError: the lengths differ.
    """
    if len(asked) != len(heard):
        raise UserError(f"{count(len(asked), 'clip')} asked for but {len(heard)} heard: give one of each per clip")
    return np.array([np.nan if a is None else float(a == h) for a, h in zip(asked, heard)], dtype=np.float64)


def chance(asked: Sequence[str | None], values: Sequence[str]) -> Chance:
    """Chance levels for the values asked for, out of all possible ``values``.

    Raises:
        UserError: no clip asks for anything.
    """
    counts = Counter(a for a in asked if a is not None)
    if not counts:
        raise UserError("no clip asks for this attribute, so it has no chance level; leave it out")
    return Chance(uniform=1.0 / len(values), majority=max(counts.values()) / sum(counts.values()))
