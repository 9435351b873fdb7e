"""The axis frame_rate: does the frame rate of the latents matter by itself, or by the length of the sequence?

The question is that of Tal et al. 2025, section 5.1 and figure 4. The protocol is that of the fidelity axis, at every
point of ``settings.py``: one codec per rate, arms trained on its latents in crops of the point's duration, with equal
updates and clips per update. Every point has the same prompts and its own ceilings, because a codec of another rate
sounds different. Whole clips are scored, which compare between points of one duration, and one window of each clip
(names end in ``_window``), which compare between all points (``measure.py``).

``cells.py`` and ``measure.py`` load torch, so they are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...study.axis import Context, Group, TrainingPoint
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity
from .settings import FrameRateSettings, points_of


class FrameRate(Fidelity):
    """See the module's docstring."""

    default_study = "frame_rate"
    tunes = False
    settings = FrameRateSettings
    chapter = "paradigm_bench.benchmarks.axes.frame_rate.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """References of all points, then every arm, trained to the end, at all points for each seed."""
        from .cells import expand

        return expand(study)

    def content(self, cell: Cell) -> dict[str, Any]:
        """What the fidelity axis has; the evaluator is not trained on a representation's output."""
        from ..fidelity.cells import content_of
        from .cells import VERSION

        return content_of(cell, VERSION, coded=False)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Encode the training clips by each codec; evaluator and codecs were made when the study was expanded."""
        from ..fidelity.cells import data_of

        trained = {cell.how["sources"]["representation"]: cell for cell in cells if cell.kind == "paradigm"}
        for cell in trained.values():
            data_of(cell)

    def training_points(self, study: Study) -> list[TrainingPoint]:
        """A point per frame rate and duration; its runs are measured at the end."""
        return [TrainingPoint(point.study, point.label) for point in points_of(study)]

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load data and evaluator; train the arm that the cells measure."""
        from .measure import FrameRateGroup

        return FrameRateGroup(cells, context)
