"""A line in the terminal that says how much of a run is done and when it will end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...common.errors import UserError
from ...common.files import read_json
from ...common.lines import say
from ..analysis.records import Record
from ..study.cells import Cell

MEASURING = 150  # measuring a cell takes about as long as this many updates of training; only the ETA depends on it
QUIET_S = 30.0  # between lines where the output is no terminal


class Progress:
    """Progress of groups of cells: ``show`` rewrites the line, ``finished`` prints results above it.

    Args:
        total, done: number of cells of the run, and of those that had a record before.
        groups: the cells that are still to measure.
        tell: what the line of a measured cell adds to its name.
    """

    def __init__(
        self, total: int, done: int, groups: Sequence[Sequence[Cell]], tell: Callable[[Record], str] | None = None
    ) -> None:
        self.total, self.done = total, done
        self._tell = tell
        self._weights = {group[0].id: _weight(group) for group in groups}
        self._ended = 0.0
        self._start = time.monotonic()
        self._last = float("-inf")
        self._terminal = sys.stderr.isatty()

    def finished(self, cells: Sequence[Cell], records: Sequence[Record]) -> None:
        """Count a group as done and print how each of its cells ended."""
        self.done += len(cells)
        self._ended += _weight(cells)
        titles = {cell.id: cell.title for cell in cells}
        for record in records:
            self._clear()
            told = self._tell(record) if self._tell and record.status == "ok" else ""
            say(f"{record.status:<11} {titles[record.id]}{told}" + (f": {record.reason}" if record.reason else ""))

    def show(self, statuses: Sequence[Path]) -> None:
        """Show the line, given the status files of the running workers."""
        now = time.monotonic()
        if now - self._last < (1.0 if self._terminal else QUIET_S):
            return
        states = [_state(path) for path in statuses]
        if not any(text for _, text in states):
            return
        self._last = now
        line = f"[{self.done}/{self.total} cells] " + " | ".join(text for _, text in states if text) + self._eta(states)
        if self._terminal:
            sys.stderr.write("\r\x1b[K" + line[:160])
            sys.stderr.flush()
        else:
            say(line)

    def _eta(self, states: Sequence[tuple[float, str]]) -> str:
        """The time that is left, from the share of the work that is done; empty before 2% of it are."""
        total = sum(self._weights.values())
        typical = total / max(1, len(self._weights))
        fraction = (self._ended + sum(done * typical for done, _ in states)) / max(total, 1e-9)
        if fraction < 0.02:
            return ""
        left = (time.monotonic() - self._start) * (1 - min(fraction, 1)) / fraction
        return f" · {left / 60:.0f} min left" if left > 90 else f" · {left:.0f} s left"

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")


def _weight(group: Sequence[Cell]) -> float:
    return max(cell.updates for cell in group) + MEASURING * len(group)


def _state(path: Path) -> tuple[float, str]:
    """The share of its group that a worker has done, and its text; (0, "") before it has reported."""
    try:
        data = read_json(path)
        return float(data["done"]), str(data["text"])
    except (UserError, KeyError, TypeError):
        return 0.0, ""
