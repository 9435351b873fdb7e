"""The section ``inpainting`` of a study: the span to fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...study.study import AxisSettings


@dataclass(frozen=True)
class InpaintingSettings(AxisSettings):
    """The span to fill.

    Attributes:
        seconds: its length; None: the share of the clip that ``train.hidden`` states.
        margin: seconds that stay known on both sides at least; None: the share that ``train.margin`` states.
    """

    key: ClassVar[str] = "inpainting"

    seconds: float | None = None
    margin: float | None = None
