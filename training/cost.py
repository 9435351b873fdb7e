"""What training cost, as records keep it (apart from ``results``, so that records can be read without torch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
