"""How a training run behaves towards its user: progress on stderr, and Ctrl-C.

On a terminal progress is a bar with the time left, elsewhere a line every half minute. The loss shown is that of the
last line of the log, the mean of ``train.log_every`` updates, as in the log, the records and ``bench train``; before
the first line of the log none is shown.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..common.lines import say

SECONDS_BETWEEN_LINES = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingProgress:
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

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=1.0, n=self._done, loss="")
            self._bar.update(self._task, completed=self._spent)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, n: int, spent: float, loss: float | None, validation: Sequence[float] = ()) -> None:
        """Show that update ``n`` is done, and with it the share ``spent`` of the budget.

        Args:
            loss: of the last line of the log; None before it.
            validation: the last validation loss; empty: there is none.
        """
        losses = [*([f"loss {loss:.4g}"] if loss is not None else []), *(f"validation {v:.4g}" for v in validation)]
        shown = ", ".join(losses)
        if self._bar is not None:
            self._bar.update(self._task, completed=spent, n=n, loss=shown)
        elif self._show and (time.monotonic() - self._said > SECONDS_BETWEEN_LINES or spent == 1):
            self._said = time.monotonic()
            left = (self._said - self._start) / max(spent - self._spent, 1e-9) * (1 - spent)
            say(f"{self._label}: update {n} ({spent:.0%}), {f'{shown}, ' if shown else ''}{_clock(left)} left")

    def _make_bar(self) -> Progress:
        return Progress(
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


class Interrupts:
    """Context that notes the first SIGINT or SIGTERM in ``received``, so that the current update is finished and saved.

    A second signal of the same kind acts as usual. (A cluster that ends a job sends all of its processes SIGTERM, and
    their parents then send SIGINT.) Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.received = False
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        signal.signal(number, self._previous[signal.Signals(number)])
