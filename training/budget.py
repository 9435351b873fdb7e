"""What training may use, and what it cost. Arms can be compared at equal updates, tokens, FLOPs or wall time.

    train:
      budget: {unit: flops, amount: 2e14}

    updates        as ``train.updates``, which is the same run
    tokens         latent frames: updates x batch x frames of a crop
    flops          operations of forward and backward passes as ``Paradigm.training_cost`` counts them
    wall_seconds   of the training loop, over all sessions, without the time of the validation loss
    convergence    until the validation loss has stopped improving (``training.convergence``), at most ``train.updates``

Tokens and FLOPs are converted to a number of updates before training starts, rounded down, so that the schedule fits,
the run is deterministic, and it resumes exactly. Wall time cannot be converted: the loop stops after the update that
reaches it, and the schedule follows the share of the time that is spent. Such a run depends on the machine, its load
and its interruptions (the time since the last checkpoint is spent again), so two runs never give the same weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..common.errors import UserError
from .spec import Budget, TrainSpec


@dataclass(frozen=True)
class TrainingCost:
    """Cost of the weights that a cell measures.

    Attributes:
        updates, cpu_seconds, wall_seconds: as in ``TrainResult``.
        tokens: latent frames that were trained on.
        parameters: number of trainable parameters of each part of the model.
        curve: columns of equal length from the log: update, loss, cpu_seconds.
        folder: of the weights, relative to the work folder.
        flops: floating-point operations of all updates, by ``Paradigm.training_cost``; None: not counted.
        budget: ``unit`` and ``amount`` of the budget that was asked for.
        validation: columns of equal length: update (from 0), validation loss, its standard error; empty: none.
        ended: whether the validation loss had stopped improving, in words; empty for other budgets.
        converged: the same as a flag; None for other budgets.
    """

    updates: int
    cpu_seconds: float
    wall_seconds: float
    tokens: int = 0
    parameters: dict[str, int] = field(default_factory=dict)
    curve: dict[str, tuple[float, ...]] = field(default_factory=dict)
    folder: str = ""
    flops: float | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, tuple[float, ...]] = field(default_factory=dict)
    ended: str = ""
    converged: bool | None = None


def resolve(spec: TrainSpec, frames: int, flops_per_update: float | None = None) -> TrainSpec:
    """``spec`` with the updates that its budget buys; a budget in wall time or by convergence is left as it is.

    A budget in updates is replaced by ``updates``, so that the run and its weights equal those of ``train.updates``.

    Args:
        frames: latent frames of a crop.
        flops_per_update: see ``flops_per_update``; needed for a budget in FLOPs.

    Raises:
        UserError: the budget is less than one update, or leaves no room for the warm-up or a snapshot.
    """
    budget = spec.budget
    if budget.open_ended or budget == Budget():
        return spec
    prices = {"updates": 1.0, "tokens": float(spec.batch * frames), "flops": flops_per_update}
    price = prices[budget.unit]
    if price is None:
        raise ValueError("a budget in FLOPs needs the cost of an update")
    updates = int(budget.amount / price * (1 + 1e-12))  # a quotient that is whole but for rounding is whole
    if updates < 1:
        asked = f"train.budget of {budget.amount:g} {budget.unit}"
        raise UserError(f"{asked} is less than one update ({price:.3g}); raise it")
    kept = Budget() if budget.unit == "updates" else budget
    return dataclasses.replace(spec, updates=updates, budget=kept)


def flops_per_update(model: Any, spec: TrainSpec, text_tokens: int) -> float:
    """Floating-point operations of one update of ``model`` on the global batch, averaged over a run.

    Args:
        model: a ``Paradigm``; its weights may be on the meta device.
        text_tokens: tokens of each caption; the empty text of pre-training has one.

    Raises:
        UserError: the paradigm does not say what training costs.
    """
    frames = model.latent.frames(spec.seconds)
    hidden = spec.hidden_frames(frames)
    parts = ((1 - spec.inpainting, 0), (spec.inpainting, hidden))
    before = spec.pretraining / spec.updates
    phases = ((1 - before, text_tokens), (before, 1))
    flops: float = sum(
        share * phase * model.training_cost(spec.batch, frames, tokens, span)
        for share, span in parts
        for phase, tokens in phases
        if share and phase
    )
    return flops
