"""The section ``frame_rate`` of a study, and its points: at which rate, how long in seconds, how many frames.

A frame rate changes two things at once: the time that one latent covers and the length of the sequence. They are
separated as in Tal et al. 2025, figure 4: at a fixed duration the sequence grows with the rate, at a fixed length the
clip gets shorter. A point that belongs to both, such as 25 Hz at 4 s and 100 frames, is measured once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from ....common.errors import UserError
from ...study.study import AxisSettings, Study
from ..latency.settings import LatencySettings

RATE = "{rate}"
SHORTEST = 0.1  # seconds; evaluators refuse shorter clips


@dataclass(frozen=True)
class FrameRateSettings(AxisSettings):
    """What is measured: every rate at each duration, and at each length of the sequence.

    The study's ``representation`` holds ``{rate}``, and what that becomes must have the rate. ``train.seconds`` is not
    read: each point trains on crops of its own duration.

    Attributes:
        rates: latent frames per second.
        seconds: durations that are held while the rate changes.
        frames: lengths that are held while the rate changes.
        window: seconds of each clip that are scored at every point alike; None: the shortest duration.
    """

    key: ClassVar[str] = "frame_rate"

    rates: tuple[float, ...] = (12.5, 25.0, 50.0, 100.0)
    seconds: tuple[float, ...] = (4.0,)
    frames: tuple[int, ...] = (100,)
    window: float | None = None

    def __post_init__(self) -> None:
        for name in ("rates", "seconds", "frames"):
            wrong = [value for value in getattr(self, name) if value <= 0]
            if wrong:
                raise UserError(f"frame_rate.{name} has {wrong[0]:g} but must be above 0")
        if not self.rates or not (self.seconds or self.frames):
            raise UserError("frame_rate: give rates, and seconds or frames to measure them at")


@dataclass(frozen=True)
class FrameRatePoint:
    """One codec at one duration.

    Attributes:
        rate: latent frames per second.
        frames: of a clip.
        study: the study at this point, with its representation and its length of clips.
    """

    rate: float
    frames: int
    study: Study

    @property
    def seconds(self) -> float:
        """Length of clips in training and in sampling."""
        return self.study.train.seconds

    @property
    def label(self) -> str:
        """For tables: ``25 Hz, 4 s``."""
        return f"{self.rate:g} Hz, {self.seconds:g} s"

    @property
    def setting(self) -> dict[str, Any]:
        """The point as a cell's config has it (``cells.FrameRateSetting``)."""
        return {"hz": self.rate, "frames": self.frames, "seconds": self.seconds}


def points_of(study: Study) -> list[FrameRatePoint]:
    """All points: first those of each duration, then those of each length, by rate.

    Raises:
        UserError: a representation without ``{rate}``, or a duration that is no whole number of frames.
    """
    chosen = study.section(FrameRateSettings)
    if RATE not in study.representation and len(chosen.rates) > 1:
        raise UserError(
            f"{study.name}: representation {study.representation!r} has one frame rate; "
            f"write {RATE} in place of the rate, or give one rate in frame_rate.rates"
        )
    found: dict[tuple[float, int], FrameRatePoint] = {}
    lengths = [(rate, _frames(study, rate, seconds)) for seconds in chosen.seconds for rate in chosen.rates]
    for rate, frames in [*lengths, *((rate, frames) for frames in chosen.frames for rate in chosen.rates)]:
        found.setdefault((rate, frames), FrameRatePoint(rate, frames, _at(study, rate, frames)))
    return list(found.values())


def window_of(study: Study, found: list[FrameRatePoint]) -> float:
    """Seconds of each clip that are scored at all points alike.

    Raises:
        UserError: a window that is longer than the shortest clip, or too short for evaluators.
    """
    shortest = min(found, key=lambda point: point.seconds)
    window = study.section(FrameRateSettings).window or shortest.seconds
    if not SHORTEST <= window <= shortest.seconds:
        raise UserError(
            f"{study.name}: frame_rate.window is {window:g} s but must lie between {SHORTEST:g} and "
            f"{shortest.seconds:g} s, the shortest clip ({shortest.label})"
        )
    return window


def _frames(study: Study, rate: float, seconds: float) -> int:
    frames = rate * seconds
    if abs(frames - round(frames)) > 1e-6 or frames < 1:
        raise UserError(
            f"{study.name}: frame_rate.seconds {seconds:g} is {frames:g} frames at {rate:g} Hz; "
            "choose a duration with a whole number of frames at every rate"
        )
    return round(frames)


def _at(study: Study, rate: float, frames: int) -> Study:
    latency = dataclasses.replace(study.section(LatencySettings), frame_rate=rate)
    return dataclasses.replace(
        study.with_section(latency),
        representation=study.representation.replace(RATE, f"{rate:g}"),
        train=dataclasses.replace(study.train, seconds=frames / rate),
    )
