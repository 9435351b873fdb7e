"""The section ``controls`` of a study: with which temporal controls arms are trained, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...study.study import AxisSettings


@dataclass(frozen=True)
class ControlSettings(AxisSettings):
    """Temporal controls that arms are trained with (representations/latents/controls.py), and how they are measured.

    All axes that train arms read ``names``; the axis ``reconstruction`` reads the extractors.

    Attributes:
        names: of the controls; none: arms have no such input.
        scenarios: what arms are given, each a cell: ``all`` controls, each alone (``single``), ``none``, or all of
            another clip (``wrong``).
        chords, melody, beats: the extractors that are applied to the arms' clips.
    """

    key: ClassVar[str] = "controls"

    names: tuple[str, ...] = ()
    scenarios: tuple[Literal["all", "single", "none", "wrong"], ...] = ("all", "single", "none", "wrong")
    chords: str = "templates"
    melody: str = "salience"
    beats: str = "librosa"

    @property
    def extractors(self) -> dict[str, str]:
        """Kind -> name of its extractor."""
        return {"chords": self.chords, "melody": self.melody, "beats": self.beats}

    @property
    def given(self) -> dict[str, list[str]]:
        """Label of each scenario -> the controls that arms are given in it; ``wrong`` gives those of another clip."""
        found: dict[str, list[str]] = {}
        for scenario in self.scenarios:
            if scenario == "single":
                found |= {f"{name} only": [name] for name in self.names}
            else:
                found[scenario] = [] if scenario == "none" else list(self.names)
        return found
