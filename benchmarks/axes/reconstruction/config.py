"""The config of a reconstruction cell, as dataclasses that reports can read without torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...study.cells import CellConfig, EvaluationConfig

VIEWS = ("continuous", "quantised")


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
