"""How the arms of a study are tuned: which settings are searched, with how many trials, and on which score.

    tuning:
      score: kad_musicnn
      trainings: 8                       # models that each arm may train
      samplings: 3                       # sampler settings that are scored with each of them
      all:                               # searched for every arm
        train.lr: [2e-3, 4e-3, 8e-3, 16e-3]
        train.optimiser: [adamw, muon]
        sampler.guidance: [1.5, 2.5, 3.5]
      own:                               # one further setting of each arm
        ar: {sampler.top_k: [50, 250]}
        fm: {options.time_weight: [false, true]}

``bench tune-arms`` does it (``benchmarks/run/tuning``); docs/tuning-arms.md describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...common.config import from_dict, to_dict
from ...common.errors import UserError, did_you_mean
from ...training.spec import TrainSpec

OPTIMISATION = (
    "lr", "optimiser", "betas", "muon_momentum", "weight_decay", "schedule", "final_fraction", "clip_norm", "ema_decay",
)  # fmt: skip
"""Settings of ``train`` that an arm may have of its own. Those that decide the data or the cost are the study's."""

SEARCHED: dict[str, tuple[Any, ...]] = {
    "train.lr": (2e-3, 4e-3, 8e-3, 16e-3),
    "train.optimiser": ("adamw", "muon"),
    "sampler.guidance": (1.5, 2.5, 3.5),
}
"""What every arm searches unless the study says otherwise."""


@dataclass(frozen=True)
class TuningChoice:
    """The section ``tuning`` of a study.

    Attributes:
        score: the metric of the axis fidelity that decides, with its evaluator, as in a record.
        share: of the study's training budget, that a trial trains with.
        prompts: captions of the validation split that a trial answers.
        seeds: of the trials, none of them a seed of the study; the score of a trial is the mean over them.
        trainings: number of models that each arm trains, with different settings.
        samplings: number of sampler settings that are scored with each of these models.
        all: dotted key of an arm -> values, searched for every arm: ``train.<one of OPTIMISATION>``,
            ``sampler.<key>``, ``options.<key>``.
        own: label of an arm -> one further key with its values, which this arm alone searches.
    """

    score: str = "kad_musicnn"
    share: float = 0.25
    prompts: int = 64
    seeds: tuple[int, ...] = (1000,)
    trainings: int = 8
    samplings: int = 3
    all: dict[str, tuple[Any, ...]] = field(default_factory=lambda: dict(SEARCHED))
    own: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"tuning.share is {self.share:g} but must be above 0 and at most 1")
        for name, least in (("prompts", 2), ("trainings", 1), ("samplings", 1)):
            if getattr(self, name) < least:
                raise UserError(f"tuning.{name} is {getattr(self, name)} but must be {least} or more")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"tuning.seeds is {list(self.seeds)} but must name at least one seed, and each once")


def arm_train(own: Mapping[str, Any], train: TrainSpec, where: str) -> TrainSpec:
    """The training of an arm: the study's ``train``, with the arm's ``own`` settings of the optimisation.

    Raises:
        UserError: a setting that all arms must share, or a value that it cannot have.
    """
    for key in own:
        check_optimisation(key, where)
    return from_dict(TrainSpec, {**to_dict(train), **own}, f"{where}: train") if own else train


def check_optimisation(key: str, where: str) -> None:
    """Refuse a setting of ``train`` that an arm may not have of its own.

    Raises:
        UserError: naming it.
    """
    if key not in OPTIMISATION:
        hint = did_you_mean(key, list(OPTIMISATION))
        raise UserError(f"{where}: train.{key} is common to all arms{hint}; of its own an arm may have "
                        f"{', '.join(OPTIMISATION)}")  # fmt: skip
