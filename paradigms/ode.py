"""ODE solvers for flow matching: fixed grids, and adaptive dopri5 through torchdiffeq.

The field is integrated from noise at time 0 to data at time 1. Explicit steps evaluate the field at the point they
start from (Tal et al. 2025, eq. 5 has the point they arrive at: published inconsistency X11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..common.errors import UserError

Field = Callable[[Tensor, float], Tensor]
Solver = Literal["euler", "midpoint", "heun", "dopri5"]
EVALUATIONS_PER_STEP = {"euler": 1, "midpoint": 2, "heun": 2}


@dataclass(frozen=True)
class ODESettings:
    """The solver, its steps on the fixed grid, and the tolerance (absolute and relative) of dopri5."""

    solver: Solver = "euler"
    steps: int = 50
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"sampler: steps must be 1 or more, not {self.steps}")
        if self.tolerance <= 0:
            raise UserError(f"sampler: tolerance must be above 0, not {self.tolerance}")


def evaluations(settings: ODESettings) -> int:
    """Number of evaluations of the field by a solver on the fixed grid."""
    return settings.steps * EVALUATIONS_PER_STEP[settings.solver]


def grid(settings: ODESettings, device: torch.device) -> Tensor:
    """The times of these evaluations, in order; made on the device, so that a captured step may do it."""
    at = torch.arange(evaluations(settings), device=device)
    if settings.solver == "heun":  # at a step's start and at its end
        return (at + 1).div(2, rounding_mode="floor") / settings.steps
    return at / len(at)


def integrate(field: Field, start: Tensor, settings: ODESettings) -> Tensor:
    """Solve dx/dt = field(x, t) from t = 0 to 1."""
    if settings.solver == "dopri5":
        return _dopri5(field, start, settings.tolerance)
    x, dt = start, 1.0 / settings.steps
    for i in range(settings.steps):
        x = _STEPPERS[settings.solver](field, x, i * dt, dt)
    return x


def _euler(field: Field, x: Tensor, t: float, dt: float) -> Tensor:
    return x + dt * field(x, t)


def _midpoint(field: Field, x: Tensor, t: float, dt: float) -> Tensor:
    return x + dt * field(x + dt / 2 * field(x, t), t + dt / 2)


def _heun(field: Field, x: Tensor, t: float, dt: float) -> Tensor:
    slope = field(x, t)
    return x + dt / 2 * (slope + field(x + dt * slope, t + dt))


_STEPPERS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}


def _dopri5(field: Field, start: Tensor, tolerance: float) -> Tensor:
    """torchdiffeq's dopri5. Its error norm spans the whole tensor, so the caller gives it one item at a time."""
    from torchdiffeq import odeint

    times = torch.tensor([0.0, 1.0], device=start.device)
    path: Tensor = odeint(
        lambda t, x: field(x, float(t)), start, times, method="dopri5", rtol=tolerance, atol=tolerance
    )
    return path[-1]
