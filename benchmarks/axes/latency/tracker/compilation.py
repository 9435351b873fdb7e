"""Whether torch.compile compiled anything meanwhile: inside the clock it must not."""

from __future__ import annotations


class Compilations:
    """Counts what torch.compile compiles."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self._start = self._count()

    def some(self) -> bool:
        """Whether anything was compiled since."""
        return self._count() > self._start

    def _count(self) -> int:
        from torch._dynamo.utils import counters

        return int(counters["stats"]["unique_graphs"])
