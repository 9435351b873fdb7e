"""Trials as cells of the axis fidelity: prompts of the validation split, the reference set from the training split.

A trial has one cell for each of the tuning's seeds. The trials of one trained model share a group, so that it is
trained once. The test split is never read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ....common.config import from_dict, to_dict
from ....common.errors import UserError, did_you_mean
from ....training.spec import Budget, TrainSpec, scaled_to
from ...evaluators.base import EVALUATORS
from ...metrics.catalogue import CATALOGUE, TAGGERS, about, evaluator_of, family
from ...study.axis import find_axis
from ...study.cells import Cell, CellConfig, check_distinct
from ...study.chosen import put
from ...study.study import ArmChoice, EvaluationChoice, Study
from .design import Trial

AXIS, SPLIT, REFERENCE_SPLIT, REAL = "fidelity", "valid", "train", "real"


def check_study(study: Study) -> None:
    """Refuse a study whose arms cannot be tuned.

    Raises:
        UserError: another axis, a seed that the study itself uses, or a score that says nothing of better and worse.
    """
    if study.axis != AXIS:
        raise UserError(
            f"study {study.name} measures {study.axis}; arms are tuned on axis {AXIS}: tune those of a study of it, "
            f"and take its file over by the key tuned"
        )
    score, shared = study.tuning.score, sorted({*study.seeds} & {*study.tuning.seeds})
    if shared:
        raise UserError(f"{study.name}: tuning.seeds has {shared[0]}, which is a seed of the study; choose another")
    if family(score) not in CATALOGUE or about(score).better == "neither":
        known = [name for name, info in CATALOGUE.items() if info.better != "neither"]
        raise UserError(
            f"{study.name}: tuning.score: {score!r} is no metric with a better end"
            f"{did_you_mean(family(score), known)}; give one of {', '.join(known)} and its evaluator, as in kad_musicnn"
        )


def trial_cells(study: Study, trials: Sequence[Trial]) -> tuple[list[Cell], list[list[Cell]]]:
    """The cells of real audio, and those of every trial, in the order of ``trials``.

    Raises:
        UserError: a value that a setting cannot have, no evaluator of the score's name, two trials that are the same,
            or a corpus with too few clips in the validation or the training split.
    """
    arms = {arm.name: arm for arm in study.arms}
    numbers = {f"{trial.arm} {trial.label}": i for i, trial in enumerate(trials)}  # errors call an arm by its label
    chosen = tuple(_with(arms[trials[i].arm], trials[i], study.name, label) for label, i in numbers.items())
    cells = find_axis(AXIS).expand(_trial_study(study, chosen))
    _check_evaluator(study, cells[0].read(CellConfig))
    made: list[list[Cell]] = [[] for _ in trials]
    for cell in cells:
        if cell.kind == "paradigm":
            number = numbers[cell.system]
            trial = trials[number]
            made[number].append(dataclasses.replace(cell, system=trial.arm, label=trial.label))
    check_distinct([cell for own in made for cell in own], study.name)
    return [cell for cell in cells if cell.kind == "reference"], made


def trial_train(study: Study) -> TrainSpec:
    """The training of a trial: the study's with its share of the budget, without snapshots.

    Where the validation loss ends the study's trainings, a trial has its share of the most updates, so that all trials
    of a study train equally long.
    """
    train, share = study.train, study.tuning.share
    scaled = dataclasses.replace(scaled_to(train, max(round(share * train.updates), 1)), snapshots=())
    if train.budget.by_convergence:
        return dataclasses.replace(scaled, budget=Budget())
    return dataclasses.replace(scaled, budget=dataclasses.replace(train.budget, amount=share * train.budget.amount))


def _trial_study(study: Study, arms: tuple[ArmChoice, ...]) -> Study:
    evaluation = dataclasses.replace(
        study.evaluation, prompts=study.tuning.prompts, split=SPLIT, reference_split=REFERENCE_SPLIT,
        judges=_judges(study.evaluation, study.tuning.score), references=(REAL,), keep_audio=0, snapshots=False,
        reward="", replication=False,
    )  # fmt: skip
    return dataclasses.replace(
        study, arms=arms, seeds=study.tuning.seeds, train=trial_train(study), evaluation=evaluation, sweep={}
    )


def _with(arm: ArmChoice, trial: Trial, where: str, label: str) -> ArmChoice:
    """The arm with the trial's settings; it is not tuned by reward."""
    plain: dict[str, Any] = {**to_dict(arm), "label": label, "tune": {}, "chosen_by": {}}
    return from_dict(ArmChoice, put(plain, trial.values), where)


def _judges(evaluation: EvaluationChoice, score: str) -> tuple[str, ...]:
    """The judge that the score needs, as the study names it or by its own name; no judge for a score by the tagger.

    Of evaluators of other packages the names are not known before they are loaded, so all that the study has are kept.
    """
    name = evaluator_of(score)
    if name in TAGGERS:
        return ()
    named = tuple(spec for spec in evaluation.judges if spec.partition(":")[0] == name)
    return named or ((name,) if name in EVALUATORS.names() else evaluation.judges)


def _check_evaluator(study: Study, config: CellConfig) -> None:
    """Refuse a score whose evaluator is none of those that score the trials."""
    score, known = study.tuning.score, [one.name for one in (config.evaluation.evaluator, *config.evaluation.judges)]
    name = evaluator_of(score)
    if name not in known:
        hint = did_you_mean(name, [*EVALUATORS.names(), *known])
        raise UserError(
            f"{study.name}: tuning.score {score!r}: no evaluator {name!r}{hint}; known: "
            f"{', '.join(dict.fromkeys([*EVALUATORS.names(), *known]))}"
        )
