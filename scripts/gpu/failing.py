"""The comparison after a capture that fails. It must be the last one, because the process captures no step after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from paradigm_bench.paradigms.session import Session, Step, capture_failures, captures_on

RUNS = 3
"""The first run calls the step, the second run tries to capture it, the third run comes after the failure."""


class Waiting(Session):
    """A session whose step counts its executions. It reads the count from the device, which no capture allows."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.executed = torch.zeros((), dtype=torch.int64, device=device)

    def step(self) -> None:
        """Count."""
        self.executed += 1
        self.executed.item()


class Simulated(Waiting):
    """The same on a CPU, where every capture would succeed."""

    def capture(self, step: Step) -> Step:
        """Fail."""
        raise RuntimeError("simulated failure")


def lost_runs(device: str) -> float:
    """Difference between the number of runs and the number of executions of a step that cannot be captured: 0.

    Raises:
        AssertionError: the failure is not reported in one line.
        RuntimeError: the device cannot be used after the failure.
    """
    place = torch.device(device)
    assert captures_on(place), "nothing is captured any more, because an earlier capture failed"
    session = (Waiting if place.type == "cuda" else Simulated)(place)
    before = len(capture_failures())
    for _ in range(RUNS):
        session.run("count", session.step)
    told = capture_failures()[before:]
    assert len(told) == 1, f"one line should report the failure, not {len(told)}"
    torch.randn(8, device=place)
    if place.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    return abs(RUNS - session.executed.item())


def comparisons(device: str) -> Iterator[tuple[str, Any, Any]]:
    """The comparison: its name, function that computes the error, function that returns its limit."""
    yield "a capture that fails", lambda: lost_runs(device), lambda: 0.0
