"""Cells: one measurement each, identified by a hash of its full resolved config.

A cell's ``config`` holds everything that decides its result, defaults included, so two runs with the same id measure
the same thing and a result that exists need not be made again, while editing any default changes the id. The label an
arm carries in tables and the study it belongs to are not part of it: studies that share a cell share its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from common.config import config_hash
from common.errors import UserError


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        axis: what is measured.
        system: the row's name in tables: an arm's label or a reference's name.
        kind: ``paradigm`` for an arm, ``reference`` for a floor or a ceiling.
        seed: study seed; None of its randomness comes from elsewhere.
        at_updates: the training update whose weights are measured; None where nothing is trained.
        group: cells with the same group share preparation (one training run) and go to the same worker.
        config: everything that decides the result, as plain data.
        how: what the worker needs and no result depends on, such as where things are found on this machine.
        updates: training updates the group needs, for progress and time estimates.
        label: the swept settings that set the cell apart, e.g. ``batch 8``; empty without a sweep.
    """

    axis: str
    system: str
    kind: Literal["paradigm", "reference"]
    seed: int
    at_updates: int | None
    group: str
    config: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)
    updates: int = 0
    label: str = ""

    @property
    def id(self) -> str:
        """The cell's identity."""
        return config_hash(self.config)

    @property
    def title(self) -> str:
        """How progress lines and errors call it."""
        at = "" if self.at_updates is None else f" at {self.at_updates}"
        label = f" {self.label}" if self.label else ""
        return f"{self.system}{label} seed {self.seed}{at}"


def check_distinct(cells: Sequence[Cell], study: str) -> None:
    """Refuse a study in which two cells would measure the same thing under two names.

    Raises:
        UserError: naming both.
    """
    seen: dict[str, Cell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.id, cell)
        if twin is not cell:
            raise UserError(f"study {study}: {twin.title!r} and {cell.title!r} are the same measurement; remove one")
