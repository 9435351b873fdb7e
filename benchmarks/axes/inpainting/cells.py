"""An inpainting study as cells: every arm, trained to the end, and the floors and ceilings."""

from __future__ import annotations

from dataclasses import dataclass

from ....training.sources import Sources, identity, load_data
from ...study.cells import Cell, CellConfig, EvaluationConfig
from ...study.references import CEILINGS
from ...study.study import Study
from ..fidelity.cells import evaluation_of, reference_cells, trained_cells
from .fill import EDITS, drawn_spans
from .settings import InpaintingSettings

VERSION = 3  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


@dataclass(frozen=True)
class SpanConfig:
    """Length of the span, and of what stays known on both sides at least, in seconds."""

    seconds: float = 0.0
    margin: float = 0.0


@dataclass(frozen=True)
class InpaintingEvaluation(EvaluationConfig):
    """How clips are scored, with the ``span`` that is removed from each."""

    span: SpanConfig = SpanConfig()


@dataclass(frozen=True)
class InpaintingConfig(CellConfig):
    """The config of a cell of the axis inpainting."""

    evaluation: InpaintingEvaluation = InpaintingEvaluation()


def expand(study: Study) -> list[Cell]:
    """The cells of an inpainting study.

    Raises:
        UserError: a span that does not fit the clips; and what the fidelity axis raises.
    """
    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
    chosen, train, seconds = study.section(InpaintingSettings), study.train, study.train.seconds
    span = {
        "seconds": train.hidden * seconds if chosen.seconds is None else chosen.seconds,
        "margin": train.margin * seconds if chosen.margin is None else chosen.margin,
    }
    latent, where = data.representation.spec, f"study {study.name}: inpainting"
    evaluation, how = evaluation_of(study, data)
    drawn_spans(["any"], seconds, span["seconds"], span["margin"], latent, where)  # an error if it does not fit
    shared = {
        "axis": "inpainting",
        "version": VERSION,
        "data": identity(data),
        "evaluation": {**evaluation, "span": span},
    }
    cells = reference_cells(study, data, shared, how, [*CEILINGS, *EDITS])
    return cells + trained_cells(study, data, shared, how, {"": {}})
