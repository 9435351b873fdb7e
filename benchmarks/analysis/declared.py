"""What a system was trained on by its own declaration: a judge that it was trained against gives no verdict on it."""

from __future__ import annotations

from ..evaluators.rewards import evaluator_in
from .records import Record


def trained_against(record: Record) -> frozenset[str]:
    """Names of the evaluators whose scores the system of ``record`` was trained or tuned on.

    They are those that its study declares (``trained_on`` of an arm) and, for an arm that was tuned, the evaluator that
    the reward is made of. An evaluator that was trained in the same way on the same clips from another seed has the
    same name, and counts as the same.
    """
    config = record.config
    names = set(config.trained_on)
    if config.tune is not None:
        names.add(evaluator_in(config.tune["reward"]["name"]))
    return frozenset(names - {""})
