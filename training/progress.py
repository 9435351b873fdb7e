"""How far training is: a bar with the time left on a terminal, a line every half minute elsewhere.

The loss shown is that of the last line of the log, the mean of ``train.log_every`` updates: the one figure that the
log, the records and ``bench train`` have too. Before the first line of the log none is shown.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..common.lines import say

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows updates done, the loss and the time left on stderr.

    Args:
        label: what is being trained.
        done: updates done before this session.
        spent: share of the budget that they used, from 0 to 1.
        show: False for silence, e.g. in all processes but the first.
    """

    def __init__(self, label: str, done: int, spent: float, show: bool = True) -> None:
        self._label, self._done, self._spent, self._show = label, done, spent, show
        self._bar = self._make_bar() if show and sys.stderr.isatty() else None
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=1.0, n=self._done, loss="")
            self._bar.update(self._task, completed=self._spent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, n: int, spent: float, loss: float | None) -> None:
        """Say that update ``n`` is done, and with it the share ``spent`` of the budget.

        Args:
            loss: of the last line of the log; None before it.
        """
        shown = "" if loss is None else f"loss {loss:.4g}"
        if self._bar is not None:
            self._bar.update(self._task, completed=spent, n=n, loss=shown)
        elif self._show and (time.monotonic() - self._said > SECONDS_BETWEEN_LINES or spent == 1):
            self._said = time.monotonic()
            left = (self._said - self._start) / max(spent - self._spent, 1e-9) * (1 - spent)
            say(f"{self._label}: update {n} ({spent:.0%}), {f'{shown}, ' if shown else ''}{_clock(left)} left")

    def _make_bar(self) -> Bar:
        return Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%, update {task.fields[n]}"),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=2,
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
