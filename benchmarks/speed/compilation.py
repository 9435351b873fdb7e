"""Whether torch.compile compiled anything meanwhile: inside the clock it must not."""

from __future__ import annotations


class Compilations:
    """Counts what torch.compile has compiled since this was made, or since the last question."""

    def __init__(self) -> None:
        self._start = self._count()

    def since(self) -> int:
        """Graphs compiled since the last call."""
        start, self._start = self._start, self._count()
        return self._start - start

    def _count(self) -> int:
        from torch._dynamo.utils import counters

        return int(counters["stats"]["unique_graphs"])
