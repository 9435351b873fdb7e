"""The section ``reconstruction`` of a study, and the config of a cell; reports read both without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...study.cells import CellConfig, EvaluationConfig
from ...study.study import AxisSettings

VIEWS = ("continuous", "quantised")


@dataclass(frozen=True)
class ReconstructionSettings(AxisSettings):
    """How clips that went through a representation are scored; the extractors are those of the section ``controls``.

    Attributes:
        sample_rate: in Hz, at which clips are scored whatever the representation's own, so that what it cuts off
            counts too.
    """

    key: ClassVar[str] = "reconstruction"

    sample_rate: int = 16_000


@dataclass(frozen=True)
class ReconstructionEvaluation(EvaluationConfig):
    """How clips are scored.

    Attributes:
        heard_by: kind of extractor (chords, melody, beats) -> its name and version.
        visqol: whether ViSQOL is computed; it is an optional package.
    """

    heard_by: dict[str, str] = field(default_factory=dict)
    visqol: bool = False


@dataclass(frozen=True)
class RepresentationView:
    """A view of a representation, and what it costs a model.

    Attributes:
        view: one of ``VIEWS``.
        sample_rate, frame_rate_hz: of the audio and of the frames.
        channels, numbers_per_second: of the continuous view, per frame and per second.
        codebooks, cardinality, bits_per_second: of the quantised view.
    """

    name: str = ""
    fingerprint: str = ""
    view: str = VIEWS[0]
    sample_rate: int = 0
    frame_rate_hz: float = 0.0
    channels: int = 0
    numbers_per_second: float = 0.0
    codebooks: int = 0
    cardinality: int = 0
    bits_per_second: float = 0.0


@dataclass(frozen=True)
class ReconstructionConfig(CellConfig):
    """The config of a reconstruction cell; ``representation`` is None for a reference."""

    evaluation: ReconstructionEvaluation = ReconstructionEvaluation()
    representation: RepresentationView | None = None
