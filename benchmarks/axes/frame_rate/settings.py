"""The section ``frame_rate`` of a study: which frame rates are compared, and at which lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....common.errors import UserError
from ...study.study import AxisSettings


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
