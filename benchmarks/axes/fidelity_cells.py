"""A fidelity study as cells: every default resolved, everything named by content."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import paradigms
from backbones import BackboneConfig
from backbones.config import preset
from benchmarks.axes.judging import eligible, load_evaluator
from benchmarks.cells import Cell
from benchmarks.pipeline import Sources, identity, load_data
from benchmarks.study import ArmChoice, Study
from benchmarks.systems import REFERENCES
from benchmarks.trained import training_folder
from common.config import from_dict, to_dict
from common.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from benchmarks.pipeline import Data

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


def expand(study: Study) -> list[Cell]:
    """References first, then every arm for every seed, at every snapshot and at the end.

    Raises:
        UserError: an unknown paradigm, option, sampler setting, preset or reference; too few test clips.
    """
    data = load_data(Sources(study.corpus, study.representation, study.text), latents=False)
    evaluation, how = _evaluation(study, data)
    shared = {"axis": "fidelity", "version": VERSION, "data": identity(data), "evaluation": evaluation}
    cells = [_reference(name, shared, how) for name in study.evaluation.references]
    for seed in study.seeds:
        for arm in study.arms:
            cells += _arm(arm, seed, study, shared, how)
    return cells


def _evaluation(study: Study, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides the scores, and what a worker needs beside."""
    chosen, seconds = study.evaluation, study.train.seconds
    fit = len(eligible(data.corpus, chosen.split, seconds))
    prompts = min(chosen.prompts, fit // 2)
    if prompts < 2:
        raise UserError(
            f"corpus {data.corpus.name}: {fit} {chosen.split} clips of {seconds:g} s or more; "
            "scoring needs 4 at least: add clips or lower train.seconds"
        )
    if prompts < chosen.prompts:
        print(f"note: {fit} {chosen.split} clips make {prompts} prompts, not {chosen.prompts}", file=sys.stderr)
    sources = {"corpus": to_dict(study.corpus), "representation": study.representation, "text": study.text}
    evaluator = load_evaluator(chosen.evaluator, data)
    evaluation = {
        "split": chosen.split,
        "prompts": prompts,
        "seconds": seconds,
        "sample_rate": data.representation.spec.sample_rate,
        "evaluator": {"name": evaluator.name, "identity": evaluator.identity},
    }
    how = {"sources": sources, "evaluator": chosen.evaluator, "batch": chosen.batch, "keep_audio": chosen.keep_audio}
    return evaluation, how


def _reference(name: str, shared: dict[str, Any], how: dict[str, Any]) -> Cell:
    if name not in REFERENCES:
        hint = did_you_mean(name, list(REFERENCES))
        raise UserError(f"evaluation.references: unknown {name!r}{hint}; known: {', '.join(REFERENCES)}")
    return Cell("fidelity", name, "reference", 0, None, "references", {**shared, "reference": name, "seed": 0}, how)


def _arm(arm: ArmChoice, seed: int, study: Study, shared: dict[str, Any], how: dict[str, Any]) -> list[Cell]:
    paradigm = paradigms.REGISTRY.load(arm.paradigm)
    train = dataclasses.replace(study.train, seed=seed)
    backbone = {**to_dict(preset(study.backbone.preset)), **study.backbone.overrides}
    resolved = dataclasses.replace(from_dict(BackboneConfig, backbone, "backbone"), **paradigm.backbone_needs)
    config = {
        **shared,
        "model": {
            "paradigm": arm.paradigm,
            "options": to_dict(from_dict(paradigm.options_class, arm.options, f"{arm.name} options")),
            "backbone": to_dict(resolved),
        },
        "train": to_dict(train),
        "sampler": to_dict(paradigm.sampler(arm.sampler)),
        "seed": seed,
    }
    if seed != study.seeds[0]:
        how = {**how, "keep_audio": 0}  # one training run of each arm to listen to is enough
    updates = sorted({*train.snapshots, train.updates})
    return [
        Cell(
            "fidelity",
            arm.name,
            "paradigm",
            seed,
            at,
            training_folder(config),
            {**config, "at_updates": at},
            how,
            train.updates,
        )
        for at in updates
    ]
