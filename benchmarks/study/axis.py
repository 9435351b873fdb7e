"""The interface of an axis: what a study can measure, and how its cells are made and measured.

@axis-dev: write a subclass of ``Axis`` in a folder of its own and register it in ``AXES`` below, or in an installed
package by the entry point ``paradigm_bench.axis``, or name it as ``package.module:Class`` in a study. There is no other
list of axes. ``expand``, ``estimate`` and ``prepare`` run once in the parent process; ``open`` and ``Group.measure``
run in a worker process for each group of cells.

The module of the subclass is imported whenever a study is read. Keep it light: import torch, the code that measures and
the code that reports inside the methods.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from ...common.errors import UserError
from ...common.registry import Registry
from ...training.budget import TrainingCost
from ..metrics.metric import Metric
from .cells import Cell
from .study import AxisSettings, Study

Status = Literal["ok", "oom", "timeout", "unsupported", "failed", "throttled"]
ItemRow = Mapping[str, Any]  # one generated clip: "item" (prompt id), "caption", then one number per metric

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
DEFAULT_AXIS = "fidelity"  # measured where neither an axis nor a study is named


class UnsupportedError(Exception):
    """The system cannot do what the cell asks for: recorded as ``unsupported`` and never tried again."""


def _silent(done: float, text: str) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """Where a group of cells is measured.

    Attributes:
        study: name of the study.
        results: ``results/<study>``; artefacts are written below it and named relative to it.
        work: folder of what can be made again, such as checkpoints; all studies share it.
        report: takes the fraction of the group that is done and a short text; may be called any number of times.
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
    """A guess of the seconds that a cell takes in its worker, and of the peak of memory in bytes; None: not known."""

    seconds: float | None = None
    bytes: float | None = None


class Axis(abc.ABC):
    """One thing that can be measured.

    Attributes:
        default_study: the study that ``bench run --axis NAME`` measures where none is named; empty: there is none.
        exclusive: a cell needs the machine to itself: workers run one after the other, and records are neither shared
            between studies nor verified.
        measures_arms: a study needs at least one arm.
        tunes: arms may be tuned by a reward, and ``evaluation.reward`` may score clips.
        chooses_device: the axis' own settings say on which device it measures; ``--device`` sets them.
        settings: dataclass of the axis' section of a study; None: it has no section.
        chapter: ``"module:attribute"`` of its ``report.chapter.Chapter``; empty: reports say that it has none.
    """

    default_study: ClassVar[str] = ""
    exclusive: ClassVar[bool] = False
    measures_arms: ClassVar[bool] = True
    tunes: ClassVar[bool] = False
    chooses_device: ClassVar[bool] = False
    settings: ClassVar[type[AxisSettings] | None] = None
    chapter: ClassVar[str] = ""

    @abc.abstractmethod
    def expand(self, study: Study) -> list[Cell]:
        """All cells of ``study``, with every default resolved."""

    @abc.abstractmethod
    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load what the cells of one group share, and train it where needed."""

    def content(self, cell: Cell) -> dict[str, Any]:
        """What the cell's config should state of its content, by what is on this machine: the version of the axis'
        protocol, fingerprints of corpus and weights. ``bench verify`` refuses a record that states something else.
        """
        return {}

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:  # noqa: B027 (an axis need not have it)
        """Make what several groups need, once, before the workers start."""

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """Estimates by cell id, and a sentence on how they were made; ``results`` holds the records of all studies."""
        return {cell.id: Estimate() for cell in cells}, "This axis makes no estimates."


@dataclass(frozen=True)
class TrainingPoint:
    """Settings that all arms of a study are trained with, for ``bench plan``.

    Attributes:
        study: the study with these settings.
        label: sets the point apart from the study's other points; empty where there is one.
        cells: number of cells that are measured per training run and sampler.
    """

    study: Study
    label: str = ""
    cells: int = 1


class TrainingAxis(Axis):
    """An axis that trains the arms of a study before it measures them; ``bench train`` and ``bench plan`` need one."""

    @abc.abstractmethod
    def training_points(self, study: Study) -> list[TrainingPoint]:
        """The points at which ``study``, which has no sweep, trains each of its arms."""


def find_axis(name: str) -> Axis:
    """The axis that is registered under ``name``, or that is the class at ``package.module:Class``.

    Raises:
        UserError: an unknown name, or a module that cannot be imported.
    """
    axis = AXES.load(name)()
    if not isinstance(axis, Axis):
        raise UserError(
            f"axis {name!r} is no subclass of paradigm_bench.benchmarks.study.axis.Axis; derive it from that class"
        )
    return axis


def settings_classes(axis: str = "") -> dict[str, type[AxisSettings]]:
    """Section of a study -> its dataclass, for all registered axes and for ``axis``.

    Raises:
        UserError: an axis that cannot be imported.
    """
    names = dict.fromkeys([*AXES.names(), *filter(None, [axis])])
    found = [find_axis(name).settings for name in names]
    return {settings.key: settings for settings in found if settings is not None}
