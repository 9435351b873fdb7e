"""The axis fidelity: sound quality and caption adherence of arms that are trained alike, scored by one evaluator.

The clips of the test split, sorted by hashes of their ids, are split into two disjoint sets of n: the captions of the
first are the prompts, the audio of the second is the reference set of every distance. Paired scores compare a clip with
its prompt's own audio. Floors and ceilings (``study/references.py``) answer the same prompts and are scored alike.

``cells.py`` expands a study to cells, ``measure.py`` trains, generates and scores. Both load torch, so they are
imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...study.axis import Context, Estimate, Group, TrainingAxis, TrainingPoint
from ...study.cells import Cell
from ...study.study import Study


class Fidelity(TrainingAxis):
    """See the module's docstring."""

    default_study = "quickstart"
    tunes = True
    chapter = "paradigm_bench.benchmarks.axes.fidelity.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed, at every snapshot and at the end."""
        from .cells import expand

        return expand(study)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """From what earlier records took."""
        from ...run.estimate.cells import estimate_trained

        return estimate_trained(cells, results)

    def content(self, cell: Cell) -> dict[str, Any]:
        """Corpus, representation, text encoder, evaluator and reward, by content."""
        from .cells import VERSION, content_of

        return content_of(cell, VERSION)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Encode the training clips, once for all workers; the evaluator was made when the study was expanded."""
        trained = next((cell for cell in cells if cell.kind == "paradigm"), None)
        if trained is not None:
            from .cells import data_of

            data_of(trained)

    def training_points(self, study: Study) -> list[TrainingPoint]:
        """One point; its runs are measured at every snapshot and at the end."""
        return [TrainingPoint(study, cells=len(study.measured_snapshots) + 1)]

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load data and evaluator; train the arm that the cells measure."""
        from .measure import FidelityGroup

        return FidelityGroup(cells, context)
