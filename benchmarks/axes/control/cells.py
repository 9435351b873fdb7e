"""A control study as cells: every arm in every scenario, and the floors and ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....common.errors import UserError
from ....corpora.extractors import load_extractor
from ....training.sources import Sources, identity, load_data
from ...study.cells import Cell, CellConfig, EvaluationConfig
from ...study.study import Study
from ..fidelity.cells import evaluation_of, reference_cells, trained_cells
from .settings import ControlSettings

VERSION = 3  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


@dataclass(frozen=True)
class ControlEvaluation(EvaluationConfig):
    """How clips are scored.

    Attributes:
        controls: names of the controls that the study compares.
        heard_by: kind of extractor (chords, melody, beats) -> its name and version.
    """

    controls: tuple[str, ...] = ()
    heard_by: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ControlConfig(CellConfig):
    """The config of a cell of the axis control.

    Attributes:
        scenario: label of the scenario of an arm; empty for a reference.
        given: names of the controls that an arm is given.
    """

    evaluation: ControlEvaluation = ControlEvaluation()
    scenario: str = ""
    given: tuple[str, ...] = ()


def extractor_names(extractors: Mapping[str, str]) -> dict[str, str]:
    """Kind -> name and version of its extractor, as a cell's config states it."""
    return {kind: load_extractor(kind, name).name for kind, name in extractors.items()}


def expand(study: Study) -> list[Cell]:
    """The cells of a control study.

    Raises:
        UserError: no controls, or an unknown control or extractor; and what the fidelity axis raises.
    """
    chosen = study.section(ControlSettings)
    if not chosen.names:
        raise UserError(f"study {study.name}: controls.names is empty; name some, e.g. [chords_majmin, melody, drums]")
    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
    evaluation, how = evaluation_of(study, data)
    evaluation |= {"controls": list(chosen.names), "heard_by": extractor_names(chosen.extractors)}
    shared = {"axis": "control", "version": VERSION, "data": identity(data), "evaluation": evaluation}
    how = {**how, "extractors": chosen.extractors}
    variants = {label: {"scenario": label, "given": given} for label, given in chosen.given.items()}
    return reference_cells(study, data, shared, how) + trained_cells(study, data, shared, how, variants)
