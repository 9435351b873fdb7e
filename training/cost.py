"""What training cost, as records keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainingCost:
    """What the checkpoint behind a cell cost; ``curve`` holds equally long columns (step, loss, cpu_seconds ...)."""

    updates: int
    cpu_seconds: float
    wall_seconds: float
    tokens: int = 0  # latent frames seen, padding left out
    parameters: dict[str, int] = field(default_factory=dict)
    curve: dict[str, tuple[float, ...]] = field(default_factory=dict)
    folder: str = ""  # the checkpoint, relative to the work folder
    flops: float | None = None  # of forward and backward passes, counted by ``Paradigm.training_cost``
    budget: dict[str, Any] = field(default_factory=dict)  # what was asked for: ``unit`` and ``amount``
