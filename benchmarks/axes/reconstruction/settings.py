"""The section ``reconstruction`` of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...study.study import AxisSettings


@dataclass(frozen=True)
class ReconstructionSettings(AxisSettings):
    """How clips that went through a representation are scored; the extractors are those of the section ``controls``.

    Attributes:
        sample_rate: in Hz, at which clips are scored whatever the representation's own, so that what it cuts off
            counts too.
    """

    key: ClassVar[str] = "reconstruction"

    sample_rate: int = 16_000
