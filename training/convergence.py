"""When training has stopped improving: the rule of a budget by convergence.

    train:
      updates: 20000
      budget: {unit: convergence, amount: 0.02, over: 0.5, decay: 0.2}

After warm-up the learning rate is constant, and the validation loss (``training.validation``) of the averaged weights
is computed as the number of updates grows. With L(u) that loss after u updates, training has stopped improving at u if

    L((1 - over) u) - L(u) < amount * (L(0) - L(u))

With the settings above: if the second half of the updates brought less than 2% of the whole improvement. Both sides are
differences of losses, so that the unit of a loss and what no model can learn (the noise that a diffusion or flow loss
always holds) cancel, and one ``amount`` serves all paradigms; and both ends are shares of the updates, so that the rule
is the same for fast and for slow learners. Then the learning rate falls over ``decay`` of all updates (warmup-stable-
decay: Hu et al. 2024; Haegele et al. 2024), and training ends. If the loss has not stopped improving in time, the rate
falls so that training ends after ``train.updates``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common.lines import count
from .spec import TrainSpec


def has_stopped(spec: TrainSpec, updates: Sequence[int], losses: Sequence[float]) -> bool:
    """Whether the validation loss has stopped improving at the last of ``updates``.

    The earlier loss is the last one up to the share ``over`` before, and must be from after the warm-up.

    Args:
        updates: at which the loss was computed, ascending, the first 0.
        losses: there.
    """
    budget, last = spec.budget, losses[-1]
    before = [i for i, update in enumerate(updates) if update <= (1 - budget.over) * updates[-1]]
    if not before or updates[before[-1]] < max(spec.warmup, 1):
        return False
    return losses[before[-1]] - last <= budget.amount * max(losses[0] - last, 0.0)


def is_due(spec: TrainSpec, update: int, spent: tuple[float, float]) -> bool:
    """Whether the validation loss is computed after ``update``, as ``TrainSpec.validate_every`` says.

    Args:
        spent: shares of the budget before and after it.
    """
    if spent[1] == 1:
        return True
    if spec.validate_every:
        return update % spec.validate_every == 0
    if spec.budget.by_convergence:
        return update >= max(spec.warmup, FIRST) and _quarter(update) > _quarter(update - 1)
    return int(VALIDATIONS * spent[1] + 1e-9) > int(VALIDATIONS * spent[0] + 1e-9)


def how_it_ended(spec: TrainSpec, stopped: int) -> str:
    """Whether a run stopped improving, as records say it; empty for other budgets.

    Args:
        stopped: the update after which the loss had stopped improving; 0: it had not.
    """
    budget = spec.budget
    if not budget.by_convergence:
        return ""
    if not stopped:
        return f"did not stop improving within {count(spec.updates, 'update')}"
    over = f"updates {round((1 - budget.over) * stopped):,} to {stopped:,}"
    return f"stopped improving: {over} brought less than {budget.amount:.3g} of the whole improvement"


VALIDATIONS = 10
FIRST = 16
"""No validation of a run that the loss ends comes before this update; those before would say nothing."""


def _quarter(update: int) -> int:
    """How many quarters of a doubling lie below ``update``."""
    quarters = 0
    while update > 0 and round(2 ** ((quarters + 1) / 4)) <= update:
        quarters += 1
    return quarters
