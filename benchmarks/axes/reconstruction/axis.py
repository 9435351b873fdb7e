"""Reconstruction: what a representation loses of a clip before any model is trained on it.

Real clips go through encoder and decoder and, if there are codebooks, also through the quantiser; the two views are
separate systems. (Tal et al. 2025, appendix B, reports the unquantised view only, which is not what a model of codes
decodes.) The decoded clip is compared with the original (SI-SNR, ViSQOL, log-MSD, log-mel distance); all clips are
compared as a set (the evaluator's distances, as on the fidelity axis); and the chords, beats and melody that extractors
detect in the decoded clip are compared with the clip's annotation, as on the control axis. The row ``real`` scores the
clips themselves, so it shows the errors of the extractors; ``noise`` and ``silence`` are the floors.

A study sweeps over ``representation``; rows without one are measured once. All are scored at one sample rate. Times are
not metrics here, because they vary from run to run: a record's ``timing`` holds the processor seconds of encoding and
decoding, one clip at a time, and their share of the clip's length.

``cells.py`` and ``measure.py`` load torch, so they are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...study.axis import Axis, Context, Estimate, Group
from ...study.cells import Cell
from ...study.study import Study
from .config import ReconstructionSettings


class Reconstruction(Axis):
    """The axis reconstruction; see the module's docstring."""

    default_study = "reconstruction"
    measures_arms = False
    settings = ReconstructionSettings
    chapter = "paradigm_bench.benchmarks.axes.reconstruction.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """Floors and ceiling, then the views of the study's representation."""
        from .cells import expand

        return expand(study)

    def content(self, cell: Cell) -> dict[str, Any]:
        """Corpus, evaluator, extractors and representation, by content."""
        from .cells import content_of

        return content_of(cell)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """From what earlier records of the same cells took, else from the published records for as much audio."""
        from ...run.estimate.cells import estimate_scored

        return estimate_scored(cells, results)

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load clips, evaluator, extractors and the representation."""
        from .measure import ReconstructionGroup

        return ReconstructionGroup(cells, context)
