"""Latency and throughput: how long a paradigm takes to generate clips, and how close that is to the device's bound.

The model has the real shape and random weights; nothing is trained and no data is read. A cell is one model, sampler
and setting (batch, duration, text, number format, decoder in the clock or not) on one device, in a process of its own.
Only a peer, another library doing the same work, shares the process, so that the two are timed in turns. See
benchmarks/speed for how samples are taken, ``latency_model`` for what is timed, and ``latency_metrics`` for the
contents of a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...study.axis import Context, Estimate
from ...study.cells import Cell
from ...study.study import Study

if TYPE_CHECKING:
    from .group import LatencyGroup


class Latency:
    """The axis; see the module's docstring."""

    default_study = "latency"
    exclusive = True

    def expand(self, study: Study) -> list[Cell]:
        """Every arm and seed, each followed by its peer where peers are wanted."""
        from .cells import expand

        return expand(study)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """From the bound at this device's rates, and how near earlier records came to theirs."""
        from .estimate import estimate

        return estimate(cells, results)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Nothing is shared."""

    def open(self, cells: Sequence[Cell], context: Context) -> LatencyGroup:
        """Make ready to time one model, and its peer."""
        from .group import LatencyGroup

        return LatencyGroup(cells, context)
