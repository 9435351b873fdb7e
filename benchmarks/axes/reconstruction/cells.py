"""The cells of a reconstruction study: floors and ceiling, and the views of its representation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ....corpora import Corpus
from ....corpora.spec import CorpusChoice
from ....representations import load_representation
from ....representations.spec import LatentSpec
from ...evaluators import Evaluator
from ...metrics import reconstruction as metrics
from ...study.cells import Cell
from ...study.study import Study
from ..control.cells import extractor_names
from ..control.settings import ControlSettings
from ..eval_set import check_roles, identities, load_evaluators, named_evaluators
from ..fidelity.cells import prompts_of
from .config import VIEWS, ReconstructionSettings

VERSION = 1  # raise it when the protocol or the meaning of a metric changes; all cells are then measured again
REFERENCES = ("real", "noise", "silence")


def expand(study: Study) -> list[Cell]:
    """The cells of one representation, and those that need none.

    Raises:
        UserError: an unknown representation, evaluator or extractor; too few clips; no reference of this axis.
    """
    known = [name for name in study.evaluation.references if name in REFERENCES]
    if not known:
        raise UserError(f"{study.name}: evaluation.references has none of {', '.join(REFERENCES)}; name at least one")
    how = {
        "corpus": to_dict(study.corpus),
        **named_evaluators(study.evaluation),
        "extractors": study.section(ControlSettings).extractors,
        "representation": study.representation,
        "keep_audio": study.evaluation.keep_audio,
    }
    corpus, evaluators = open_sources(how)
    check_roles(evaluators, study.evaluation)
    shared = {
        "axis": "reconstruction",
        "version": VERSION,
        "data": {"corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint}},
        "evaluation": {
            "split": study.evaluation.split,
            "prompts": prompts_of(study, corpus),
            "seconds": study.train.seconds,
            "sample_rate": study.section(ReconstructionSettings).sample_rate,
            **_scored_by(how, evaluators),
        },
    }
    cells = [_cell(name, "references", {**shared, "reference": name}, how) for name in known]
    latents = load_representation(study.representation)
    for view in VIEWS if latents.spec.codebooks else VIEWS[:1]:
        about = {"fingerprint": latents.fingerprint, "view": view, **facts(latents.spec, view)}
        name = f"{latents.spec.name}, {view}"
        cells.append(_cell(name, f"latents-{latents.fingerprint}", {**shared, "representation": about}, how))
    return cells


def content_of(cell: Cell) -> dict[str, Any]:
    """The parts of a cell's config that state content, as they are on this machine."""
    corpus, evaluators = open_sources(cell.how)
    found: dict[str, Any] = {
        "version": VERSION,
        "data": {"corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint}},
        "evaluation": _scored_by(cell.how, evaluators),
    }
    if "representation" in cell.config:
        found["representation"] = {"fingerprint": load_representation(cell.how["representation"]).fingerprint}
    return found


def facts(spec: LatentSpec, view: str) -> dict[str, Any]:
    """What a view of a representation costs a model: frames per second, and the content of a frame."""
    found = {"name": spec.name, "sample_rate": spec.sample_rate, "frame_rate_hz": spec.frame_rate_hz}
    if view == "continuous":
        return {**found, "channels": spec.dim, "numbers_per_second": spec.dim * spec.frame_rate_hz}
    bits = spec.codebooks * math.log2(spec.cardinality) * spec.frame_rate_hz
    return {**found, "codebooks": spec.codebooks, "cardinality": spec.cardinality, "bits_per_second": round(bits, 3)}


def open_sources(how: Mapping[str, Any]) -> tuple[Corpus, list[Evaluator]]:
    """The corpus; and tagger and judges, none trained on any representation, so that they are the same for all."""
    corpus = from_dict(CorpusChoice, how["corpus"], "corpus").load()
    return corpus, load_evaluators(how, corpus)


def _scored_by(how: Mapping[str, Any], evaluators: Sequence[Evaluator]) -> dict[str, Any]:
    return {
        **identities(evaluators),
        "heard_by": extractor_names(how["extractors"]),
        "visqol": not metrics.visqol_missing(),
    }


def _cell(system: str, group: str, config: dict[str, Any], how: dict[str, Any]) -> Cell:
    return Cell("reconstruction", system, "reference", 0, None, f"reconstruction-{group}", {**config, "seed": 0}, how)
