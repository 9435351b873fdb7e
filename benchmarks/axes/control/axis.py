"""The axis control: does a clip follow chords, melody and drums given over time, and what does that cost in fidelity?

The protocol is that of the fidelity axis (prompts, reference set, floors and ceilings, training), with the scenarios of
Tal et al. 2025, table 3: a trained arm is given all of a prompt's controls, each alone, none, or, as the floor, all of
another prompt's (``wrong``). Extractors detect chords, melody and beats in the generated clip, and these are compared
with the prompt's own (``metrics/control.py``). ``real`` scores the prompts' own audio and ``codec_*`` its resynthesis;
``shuffled_captions``, the audio of another prompt, is chance. For paradigms over codes the entropy of the first
codebook is recorded at every step (``metrics/entropy.py``).

``cells.py`` and ``measure.py`` load torch, so they are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...study.axis import Context, Group, TrainingPoint
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity
from .settings import ControlSettings


class Control(Fidelity):
    """See the module's docstring."""

    default_study = "control"
    tunes = False
    settings = ControlSettings
    chapter = "paradigm_bench.benchmarks.axes.control.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed in every scenario, trained to the end."""
        from .cells import expand

        return expand(study)

    def content(self, cell: Cell) -> dict[str, Any]:
        """What the fidelity axis has, and the extractors."""
        from ..fidelity.cells import content_of
        from .cells import VERSION, extractor_names

        found = content_of(cell, VERSION)
        found["evaluation"]["heard_by"] = extractor_names(cell.how["extractors"])
        return found

    def training_points(self, study: Study) -> list[TrainingPoint]:
        """One point; its runs are measured in every scenario."""
        return [TrainingPoint(study, cells=len(study.section(ControlSettings).given))]

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Load data, evaluator and extractors; train the arm that the cells measure."""
        from .measure import ControlGroup

        return ControlGroup(cells, context)
