"""Cells: one measurement each, identified by a hash of its full resolved config.

A cell's ``config`` holds everything that decides its result, defaults included, so two runs with the same id measure
the same thing and a result that exists need not be made again, while editing any default changes the id. The label an
arm carries in tables and the study it belongs to are not part of it: studies that share a cell share its meaning.

The config is plain data, because its hash is the identity. It is read through dataclasses: ``CellConfig`` holds what
several axes have, and an axis with more inherits from it (``LatencyConfig`` in ``benchmarks/axes/latency/cells.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.precision import Precision
from ...common.seeds import Noise
from ...training.spec import ModelConfig, TrainSpec


@dataclass(frozen=True)
class Content:
    """A corpus or a representation by its content."""

    name: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Identity:
    """An evaluator or a reward; ``identity`` is a hash of its weights and settings."""

    name: str = ""
    identity: str = ""


@dataclass(frozen=True)
class DataConfig:
    """The audio, by content: ``representation`` is empty where a cell uses several."""

    corpus: Content = Content()
    representation: Content = Content()
    text: str = ""
    latents: str = "float32"


@dataclass(frozen=True)
class EvaluationConfig:
    """How clips are scored, the same for every system of a table.

    Attributes:
        split, prompts: the clips whose captions are the prompts.
        reference_split: of the reference set; empty: other clips of ``split``.
        seconds: length of a clip.
        sample_rate: in Hz, at which clips are scored.
        evaluator: the tagger, which computes adherence.
        judges: evaluators that are independent of the suite; old records have none.
        reward: what else scores every clip; None: nothing.
        replication: the distance of every clip to the nearest training clip is measured.
    """

    split: str = ""
    prompts: int = 0
    seconds: float = 0.0
    sample_rate: int = 0
    evaluator: Identity = Identity()
    judges: tuple[Identity, ...] = ()
    reward: Identity | None = None
    replication: bool = False
    reference_split: str = ""


@dataclass(frozen=True)
class CellConfig:
    """The config of a cell. Defaults stand for what an axis does not have, and for what old records did not state.

    Attributes:
        version: of the axis' protocol.
        model, train, sampler: of an arm; ``model`` and ``train`` are None for a reference.
        at_updates: the training update whose weights are measured; None: nothing is trained, or the end.
        noise: how random numbers are drawn; the first records, which do not state it, drew torch's own.
        tune: settings of the tuning by reward; None: the arm is not tuned.
        trained_on: evaluators whose scores the arm was trained on, as the study declares.
        reference: name of the floor or ceiling; empty for an arm.
    """

    axis: str
    version: int = 0
    data: DataConfig = DataConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    model: ModelConfig | None = None
    train: TrainSpec | None = None
    sampler: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    at_updates: int | None = None
    noise: Noise = "torch"
    precision: Precision = "fp32"
    tune: dict[str, Any] | None = None
    trained_on: tuple[str, ...] = ()
    reference: str = ""


C = TypeVar("C", bound=CellConfig)


def read_config(config: Mapping[str, Any], cls: type[C]) -> C:
    """The plain ``config`` of a cell as a dataclass; keys that ``cls`` does not have are left out.

    Raises:
        UserError: a value of the wrong type.
    """
    try:
        return msgspec.convert(config, cls, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(f"config of a cell on axis {config.get('axis')!r}: {error}") from error


@dataclass(frozen=True)
class Preparation:
    """What a worker needs to measure a cell, although no result depends on it; a record keeps it.

    Attributes:
        group, updates, label: as in ``Cell``.
        settings: ``Cell.how``: what the axis needs, such as the names of corpus, representation and evaluator.
    """

    group: str
    updates: int = 0
    label: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        axis: what is measured.
        system: the row's name in tables: an arm's label or a reference's name.
        kind: ``paradigm`` for an arm, ``reference`` for a floor or a ceiling.
        seed: seed of the study; all randomness of the cell derives from it.
        at_updates: the training update whose weights are measured; None where nothing is trained.
        group: cells with the same group share preparation (one training run) and go to the same worker.
        config: everything that decides the result, as plain data.
        how: what the worker needs and no result depends on, such as where things are found on this machine.
        updates: training updates the group needs, for progress and time estimates.
        label: the swept settings that set the cell apart, e.g. ``batch 8``; empty without a sweep.
    """

    axis: str
    system: str
    kind: Literal["paradigm", "reference"]
    seed: int
    at_updates: int | None
    group: str
    config: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)
    updates: int = 0
    label: str = ""

    @property
    def id(self) -> str:
        """The cell's identity."""
        return config_hash(self.config)

    @property
    def title(self) -> str:
        """How progress lines and errors call it."""
        at = "" if self.at_updates is None else f" at {self.at_updates}"
        label = f" {self.label}" if self.label else ""
        return f"{self.system}{label} seed {self.seed}{at}"

    def read(self, cls: type[C]) -> C:
        """The config as a dataclass of its axis."""
        return read_config(self.config, cls)

    @property
    def preparation(self) -> Preparation:
        """What a record keeps of this cell beside its config."""
        return Preparation(self.group, self.updates, self.label, self.how)


def check_distinct(cells: Sequence[Cell], study: str) -> None:
    """Refuse a study in which two cells would measure the same thing under two names.

    Raises:
        UserError: naming both.
    """
    seen: dict[str, Cell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.id, cell)
        if twin is not cell:
            raise UserError(f"study {study}: {twin.title!r} and {cell.title!r} are the same measurement; remove one")
