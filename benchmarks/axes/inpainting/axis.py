"""The axis inpainting: fill a span of a real clip, given its caption and the audio on both sides.

The task is that of Tal et al. 2025, section 5.3, the protocol that of the fidelity axis. One span is removed from every
prompt's own audio, the same for every system, and each system returns the clip with the span filled. What decides are
scores of the span: distances of crops that hold the span with some context on either side (names end in ``_span``,
against the same crops of the reference clips), the seam distance (``metrics/seam.py``), and the similarity of the
span's and its surroundings' embeddings. Scores of whole clips, most of which every system returns as it got them, are
recorded too. ``real`` is the ceiling and ``codec_*`` its resynthesis. The floors are ``splice``, a piece of another
prompt's audio, ``silence``, and ``frozen``, the last 50 ms before the span, repeated.

``cells.py`` and ``measure.py`` load torch, so they are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...study.axis import Context, Group, TrainingPoint
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity
from .settings import InpaintingSettings


class Inpainting(Fidelity):
    """See the module's docstring."""

    default_study = "inpainting"
    tunes = False
    settings = InpaintingSettings
    chapter = "paradigm_bench.benchmarks.axes.inpainting.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed, trained to the end."""
        from .cells import expand

        return expand(study)

    def content(self, cell: Cell) -> dict[str, Any]:
        """The same as of the fidelity axis."""
        from ..fidelity.cells import content_of
        from .cells import VERSION

        return content_of(cell, VERSION)

    def training_points(self, study: Study) -> list[TrainingPoint]:
        """One point; its runs are measured at the end."""
        return [TrainingPoint(study)]

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load data and evaluator; train the arm that the cells measure."""
        from .measure import InpaintingGroup

        return InpaintingGroup(cells, context)
