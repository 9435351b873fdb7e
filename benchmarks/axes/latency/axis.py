"""Latency and throughput: how long a paradigm takes to generate clips, and how close that is to the device's bound.

The model has the real shape and random weights; nothing is trained and no data is read. A cell is one model, sampler
and setting (batch, duration, text, number format, decoder in the clock or not) on one device, in a process of its own.
Only a baseline, another library that does the same work, shares the process, so that the two are timed in turns.
``cells`` makes the cells, ``model`` is what is timed, ``measure`` times one model and its baselines by means of
``tracker``, and ``metrics`` says what a record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...study.axis import Axis, Context, Estimate, Group
from ...study.cells import Cell
from ...study.study import Study
from .cells import expand
from .settings import LatencySettings


class Latency(Axis):
    """The axis latency; see the module's docstring."""

    default_study = "latency"
    exclusive = True
    chooses_device = True
    settings = LatencySettings
    chapter = "paradigm_bench.benchmarks.axes.latency.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """One cell per arm and seed, followed by those of its baselines if the study asks for them."""
        return expand(study)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """Estimated seconds: the bound at this device's rates, times the ratio of time to bound in earlier records."""
        from .estimate import estimate  # loads torch

        return estimate(cells, results)

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """The group that times one model and its baselines."""
        from .measure import LatencyGroup  # loads torch

        return LatencyGroup(cells, context)
