"""How far training is: a bar with the time left on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows updates done, the loss and the time left on stderr.

    Args:
        label: what is being trained.
        done: updates done before this session.
        total: updates in all.
        show: False for silence, e.g. in all processes but the first.
    """

    def __init__(self, label: str, done: int, total: int, show: bool = True) -> None:
        self._label, self._done, self._total, self._show = label, done, total, show
        self._bar = self._make_bar() if show and sys.stderr.isatty() else None
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, completed=self._done, loss="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, n: int, loss: float) -> None:
        """Say that update ``n`` is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=n, loss=f"loss {loss:.4g}")
        elif self._show and (time.monotonic() - self._said > SECONDS_BETWEEN_LINES or n == self._total):
            self._said = time.monotonic()
            left = (self._said - self._start) / max(n - self._done, 1) * (self._total - n)
            line = f"{self._label}: update {n} of {self._total}, loss {loss:.4g}, {_clock(left)} left"
            print(line, file=sys.stderr, flush=True)

    def _make_bar(self) -> Bar:
        return Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
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
