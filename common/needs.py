"""Models that must be trained before the cells of a study are known: an evaluator for a corpus, a codec for a rate.

A cell's identity includes the weights of its evaluator, so they are trained first. Code that trains something on demand
calls ``may_train``. A real run then prints what is trained, why and for how long. Inside ``only_listed``, as in a dry
run, nothing is trained: the need is added to a list, and the caller returns a placeholder with ``Need.identity``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from .lines import say

UNTRAINED = "not trained yet: "


@dataclass(frozen=True)
class Need:
    """A model to train first.

    Attributes:
        name: what it is, e.g. ``evaluator for my_music``.
        why: the reason, part of a sentence in the message.
        seconds: estimated time of training on one core.
    """

    name: str
    why: str
    seconds: float

    @property
    def identity(self) -> str:
        """The identity of the placeholder, different for each need."""
        return UNTRAINED + self.name


_listed: ContextVar[list[Need] | None] = ContextVar("listed", default=None)


@contextlib.contextmanager
def only_listed() -> Iterator[list[Need]]:
    """Context in which nothing is trained; yields the list to which needs are added, each once."""
    needs: list[Need] = []
    token = _listed.set(needs)
    try:
        yield needs
    finally:
        _listed.reset(token)


def may_train(need: Need) -> bool:
    """Whether to train ``need`` now, after a line on stderr; False inside ``only_listed``, which lists it."""
    needs = _listed.get()
    if needs is None:
        say(f"training {need.name} first, about {max(need.seconds / 60, 1):.0f} min on one core: {need.why}")
        return True
    if need not in needs:
        needs.append(need)
    return False
