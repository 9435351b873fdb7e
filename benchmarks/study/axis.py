"""The interface of an axis, and what its cells return.

@axis-dev: subclass nothing; write a class with the attributes and methods of ``Axis``, and register it in
``benchmarks/axes/__init__.py``, by the entry point ``paradigm_bench.axis``, or name it as ``package.module:Class`` in a
study. ``expand``, ``estimate`` and ``prepare`` run once in the parent, ``open`` and ``Group.measure`` in a worker
process per group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ...common.registry import Registry
from ...training.cost import TrainingCost
from ..metrics.metric import Metric
from .cells import Cell
from .study import Study

Status = Literal["ok", "oom", "timeout", "unsupported", "failed", "throttled"]
ItemRow = Mapping[str, Any]  # one generated clip: "item" (prompt id), "caption", then one number per metric


class UnsupportedError(Exception):
    """The system cannot do what the cell asks for: recorded as ``unsupported`` and never tried again."""


def _silent(done: float, text: str) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """Where a group works.

    Attributes:
        study: its name.
        results: ``results/<study>``; artefacts go below it, named relative to it.
        work: what can be made again: checkpoints, shared by all studies.
        report: called with the fraction of the group that is done and a few words, any number of times.
    """

    study: str
    results: Path
    work: Path
    report: Callable[[float, str], None] = _silent


@dataclass(frozen=True)
class Measurement:
    """The result of measuring one cell; it goes into the cell's record."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    training: TrainingCost | None = None
    timing: dict[str, float] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    items: Sequence[ItemRow] = ()
    status: Status = "ok"
    reason: str = ""
    environment: dict[str, Any] = field(default_factory=dict)


class Group(Protocol):
    """Cells that share what was loaded or trained for them."""

    def measure(self, cell: Cell) -> Measurement:
        """Measure one cell of the group."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A guess of a cell's seconds in its worker and of its bytes of memory at the peak; None: not known."""

    seconds: float | None = None
    bytes: float | None = None


class Axis(Protocol):
    """One thing that can be measured.

    Attributes:
        default_study: measured where no study is named.
        exclusive: a cell needs the machine to itself, so workers run one after the other.
    """

    default_study: str
    exclusive: bool

    def expand(self, study: Study) -> list[Cell]:
        """All cells of ``study``, every default resolved."""
        ...

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """Estimates by cell id, and a sentence on how they were made; ``results`` holds the records of all studies."""
        ...

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Make what several groups need, once, before the workers start."""
        ...

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load what one group's cells share; train it where needed."""
        ...


AXES = Registry(
    "axis",
    {
        "fidelity": "paradigm_bench.benchmarks.axes.fidelity.axis:Fidelity",
        "control": "paradigm_bench.benchmarks.axes.control.axis:Control",
        "inpainting": "paradigm_bench.benchmarks.axes.inpainting.axis:Inpainting",
        "frame_rate": "paradigm_bench.benchmarks.axes.frame_rate.axis:FrameRate",
        "latency": "paradigm_bench.benchmarks.axes.latency.axis:Latency",
        "reconstruction": "paradigm_bench.benchmarks.axes.reconstruction.axis:Reconstruction",
        "samplesize": "paradigm_bench.benchmarks.axes.samplesize.axis:SampleSize",
    },
)
