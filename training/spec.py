"""The settings of a training run, the same for every paradigm, and the learning rate that follows from them.

An update is one optimiser step on one global batch, however many processes and micro-batches share it. Updates are
counted from 1: ``learning_rate(spec, 1)`` is the rate of the first, ``learning_rate(spec, spec.updates)`` that of the
last. The defaults suit the tiny preset on a CPU. Tal et al. 2025 (section 4) train 500k updates of 256 x 10 s with
AdamW at 1e-4, 4000 updates of warm-up and cosine decay.

Unconditional pre-training (Huang et al. 2025, section 3.1.2): the first ``pretraining`` updates withhold every text and
control, the others are plain training. The paper trains both phases alike (AdamW at 5e-5; it does not state batch,
updates and schedule), so here each phase is a training of its own with the same settings: warm-up and schedule start
again, AdamW's moments start at zero, and the second phase starts from the averaged weights of the first, as from a
finished model. ``updates`` count both phases, so that runs with and without pre-training cost the same.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ..backbones import BackboneConfig
from ..common.config import later
from ..common.errors import UserError
from ..common.precision import Precision

Unit = Literal["updates", "tokens", "flops", "wall_seconds", "convergence"]


@dataclass(frozen=True)
class Budget:
    """What a run may use, see ``training.budget``; by default ``train.updates`` decide.

    Attributes:
        amount: in ``unit``. With ``convergence``: training stops when the last ``over`` of the updates brought less
            than this share of the whole improvement of the validation loss.
        over: share of the updates so far over which the improvement is measured (``convergence`` only).
        decay: last share of the updates, over which the learning rate falls (``convergence`` only).
    """

    unit: Unit = "updates"
    amount: float = 0.0
    over: float = later(0.5)
    decay: float = later(0.2)

    def __post_init__(self) -> None:
        if not self.amount >= 0 or (self.amount == 0 and self.unit != "updates"):
            raise UserError(f"train.budget.amount is {self.amount:g} {self.unit} but must be above 0")
        shares = {name: getattr(self, name) for name in ("over", "decay")}
        if not self.by_convergence:
            for name, value in shares.items():
                if value != getattr(Budget, name):
                    raise UserError(f"train.budget.{name} has no effect with unit {self.unit}; remove it")
            return
        for name, value in {"amount": self.amount, **shares}.items():
            if not 0 < value < 1:
                raise UserError(f"train.budget.{name} is {value:g} but must lie above 0 and below 1")

    @property
    def by_convergence(self) -> bool:
        """Whether the validation loss ends the run; its number of updates is then at most ``train.updates``."""
        return self.unit == "convergence"

    @property
    def open_ended(self) -> bool:
        """Whether the number of updates is not known before the run has ended."""
        return self.by_clock or self.by_convergence

    @property
    def by_clock(self) -> bool:
        """Whether wall time ends the run, so that its number of updates is not known beforehand."""
        return self.unit == "wall_seconds"


@dataclass(frozen=True)
class TrainSpec:
    """Settings of one training run.

    Attributes:
        updates: optimiser steps, those of pre-training included.
        batch: clips per update, over all processes and micro-batches.
        seconds: length of the crop taken from each clip.
        lr: peak learning rate.
        optimiser: ``adamw`` for all parameters, or ``muon`` for the matrices of transformer blocks and AdamW for the
            rest, both at the same rate (``training.optimiser``).
        betas: AdamW's moment decays.
        muon_momentum: Muon's decay of its one moment.
        weight_decay: decay of matrices, by either optimiser; norms, biases and embeddings have none.
        warmup: updates of linear warm-up.
        schedule: shape after the warm-up, ``cosine`` or ``constant``; a run that the validation loss ends has its own
            (``learning_rate``).
        final_fraction: the last update's learning rate as a fraction of ``lr`` (cosine only).
        clip_norm: gradients are scaled down to this global norm.
        ema_decay: decay of the moving average of the weights; ramped up as min(decay, (1 + n) / (10 + n)).
        condition_dropout: probability, per sample, that the text is withheld (for classifier-free guidance).
        control_dropout: probability, per sample, that a temporal control is withheld, for each control alone.
        joint_control_dropout: probability, per sample, that all controls are withheld. Where the text is withheld, all
            controls are too.
        inpainting: share of the updates that train inpainting: one span of each crop is hidden, at a random place.
        hidden: length of that span as a share of the crop (Tal et al. 2025, section 5.3: 5 of 10 seconds).
        margin: least known part on each side of the span, as a share of the crop (there 1 of 10 seconds).
        accumulate: micro-batches per update and process; more of them need less memory for the same result.
        precision: ``fp32``; ``tf32``, on a GPU matrix products of fp32 numbers that round their factors; ``bf16``,
            autocast over fp32 weights.
        checkpoint_every: updates between checkpoints to resume from.
        log_every: updates per line of the log, which has their mean loss.
        snapshots: updates after which the averaged weights are kept, for learning curves. Where the validation loss
            ends the run, those after its end are left out.
        validate_every: updates between validation losses (``training.validation``); 0: about ten times in a run, four
            times while the number of updates doubles where the validation loss ends the run. Always at the end.
        validation_clips: held-out clips on which it is computed; 0: it is not.
        pretraining: updates of unconditional pre-training, the first of ``updates``; 0: none.
        compile: compile the blocks of backbone and head with torch.compile; captions are then padded to one length.
        recompute: keep only each block's input for the backward pass and compute the rest again (activation
            checkpointing): less memory, about a third more time, the same gradients.
        seed: of the data order, the crops, condition dropout and all noise.
        budget: what the run may use, in place of ``updates``, see ``training.budget``; once it is resolved, ``updates``
            are those that it buys. With a budget in wall time ``updates`` are ignored; with ``convergence`` they are
            the most that the run may take.
    """

    updates: int = 1000
    batch: int = 16
    seconds: float = 4.0
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    warmup: int = 100
    schedule: Literal["cosine", "constant"] = "cosine"
    final_fraction: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    condition_dropout: float = 0.1
    control_dropout: float = later(0.5)
    joint_control_dropout: float = later(0.2)
    inpainting: float = later(0.0)
    hidden: float = later(0.5)
    margin: float = later(0.1)
    accumulate: int = 1
    precision: Precision = "fp32"
    checkpoint_every: int = 500
    log_every: int = 10
    snapshots: tuple[int, ...] = ()
    seed: int = 0
    budget: Budget = later(Budget())  # noqa: RUF009
    pretraining: int = later(0)
    compile: bool = later(False)
    recompute: bool = later(False)
    optimiser: Literal["adamw", "muon"] = later("adamw")
    muon_momentum: float = later(0.95)
    validate_every: int = later(0)
    validation_clips: int = later(64)

    def __post_init__(self) -> None:
        for name in ("updates", "batch", "accumulate", "checkpoint_every", "log_every", "seconds", "lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"train.{name} is {getattr(self, name)} but must be above 0")
        shares = ("control_dropout", "joint_control_dropout", "inpainting", "hidden", "margin")
        for name in ("condition_dropout", "ema_decay", "final_fraction", "weight_decay", "muon_momentum", *shares):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"train.{name} is {getattr(self, name)} but must lie between 0 and 1")
        for name in ("validate_every", "validation_clips"):
            if getattr(self, name) < 0:
                raise UserError(f"train.{name} is {getattr(self, name)} but must be 0 or more")
        if self.budget.by_convergence and self.validation_clips < 2:
            raise UserError(
                f"train.validation_clips is {self.validation_clips} but a budget by convergence needs 2 or more"
            )
        self._check_phases()
        if self.accumulate > self.batch:
            raise UserError(f"train.accumulate is {self.accumulate} but must not exceed train.batch ({self.batch})")
        if self.inpainting and self.hidden + 2 * self.margin > 1:
            raise UserError(f"train.hidden ({self.hidden}) plus twice train.margin ({self.margin}) must not exceed 1")
        if self.snapshots and self.budget.by_clock:
            raise UserError(
                "train.snapshots cannot be used with a budget in wall time, which may end earlier; remove them"
            )
        beyond = [update for update in self.snapshots if not 1 <= update <= self.updates]
        if beyond:
            raise UserError(
                f"train.snapshots has {beyond[0]} but must lie between 1 and train.updates ({self.updates})"
            )

    def _check_phases(self) -> None:
        if self.pretraining and self.budget.unit in ("flops", "wall_seconds", "convergence"):
            raise UserError(
                f"train.pretraining is a number of updates and needs a budget in updates or tokens, "
                f"not in {self.budget.unit}"
            )
        if not 0 <= self.pretraining < self.updates and not self.budget.by_clock:
            raise UserError(
                f"train.pretraining is {self.pretraining} but must be 0 or more, below train.updates ({self.updates})"
            )
        shortest = min(self.pretraining or self.updates, self.updates - self.pretraining)
        if self.warmup < 0 or (self.warmup > shortest and not self.budget.by_clock):
            most = "train.updates" if not self.pretraining else "the length of the shorter training phase"
            raise UserError(f"train.warmup is {self.warmup} but must lie between 0 and {most} ({shortest})")
        if self.budget.by_convergence and self.warmup >= self.first_decay():
            raise UserError(
                f"train.warmup is {self.warmup} but must end before the learning rate falls, at update "
                f"{self.first_decay()} at the latest; lower it, or raise train.updates"
            )

    def phase(self, update: int) -> tuple[int, int]:
        """The number of ``update`` within its phase (from 1), and the number of updates of that phase."""
        if update <= self.pretraining:
            return update, self.pretraining
        return update - self.pretraining, self.updates - self.pretraining

    def first_decay(self, stopped: int = 0) -> int:
        """The update after which the learning rate begins to fall in a run that the validation loss ends.

        Args:
            stopped: the update after which the loss had stopped improving; 0: it has not, and ``updates`` are the end.
        """
        latest = self.updates - max(round(self.budget.decay * self.updates), 1)
        return min(stopped, latest) if stopped else latest

    def end(self, stopped: int = 0) -> int:
        """The last update of a run; ``stopped``: see ``first_decay``."""
        if not self.budget.by_convergence or not stopped:
            return self.updates
        start, share = self.first_decay(stopped), self.budget.decay
        return min(start + max(round(start * share / (1 - share)), 1), self.updates)

    def hidden_frames(self, frames: int) -> int:
        """Length in frames of the span that an inpainting update hides in a crop of ``frames``."""
        return max(round(self.hidden * frames), 1)

    def spent(self, updates: int, wall_seconds: float, stopped: int = 0) -> float:
        """The share of the budget, from 0 to 1, that is used after ``updates`` updates and ``wall_seconds``.

        Args:
            stopped: see ``first_decay``.
        """
        return min(wall_seconds / self.budget.amount if self.budget.by_clock else updates / self.end(stopped), 1.0)


@dataclass(frozen=True)
class ModelConfig:
    """The model of an arm.

    Attributes:
        normalisation: of the latents that it is trained on.
        controls: the temporal controls that it is trained with, each as plain data (``ControlSpec``).
        own_backbone: fields of ``backbone`` that the arm has of its own, not from the study.
    """

    paradigm: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    normalisation: Literal["paper", "global", "none"] = "paper"
    controls: tuple[dict[str, Any], ...] = ()
    own_backbone: tuple[str, ...] = ()


SCALED = ("warmup", "checkpoint_every", "pretraining", "validate_every")
"""Fields that count updates and keep their share of all updates in ``scaled_to``."""


def scaled_to(spec: TrainSpec, updates: int) -> TrainSpec:
    """``spec`` for another number of updates: fields in ``SCALED`` and the snapshots keep their share, rounded.

    Snapshots that would coincide, or lie outside 1 to ``updates`` - 1, are dropped.
    """
    share = updates / spec.updates
    pretraining = min(round(share * spec.pretraining), updates - 1)
    return dataclasses.replace(
        spec,
        updates=updates,
        pretraining=pretraining,
        warmup=min(round(share * spec.warmup), pretraining or updates, updates - pretraining),
        checkpoint_every=max(round(share * spec.checkpoint_every), 1),
        validate_every=max(round(share * spec.validate_every), 1) if spec.validate_every else 0,
        snapshots=tuple(at for at in dict.fromkeys(round(share * at) for at in spec.snapshots) if 1 <= at < updates),
    )


def learning_rate(spec: TrainSpec, update: int, wall_seconds: float = 0.0, stopped: int = 0) -> float:
    """Learning rate of ``update`` (from 1): linear to ``lr`` at ``warmup``, then a half cosine to ``final_fraction``.

    Loshchilov & Hutter 2017 (SGDR), eq. 5. Pre-training and training each have a schedule of their own. With a budget
    in wall time the cosine follows the share of it that was spent before this update, and is multiplied by the ramp of
    the warm-up.

    A run that the validation loss ends has no end that a cosine could follow. Its rate stays at ``lr`` after the
    warm-up and falls over the last updates (warmup-stable-decay, Hu et al. 2024) as one minus the square root of their
    share that is done (the 1-sqrt cooldown of Haegele et al. 2024).

    Args:
        stopped: the update after which the validation loss had stopped improving; 0: it has not.
    """
    if spec.budget.by_convergence:
        start, end = spec.first_decay(stopped), spec.end(stopped)
        if update > start:
            fall = 1 - math.sqrt((update - start) / (end - start))
            return spec.lr * (spec.final_fraction + (1 - spec.final_fraction) * fall)
        return spec.lr * (min(update / spec.warmup, 1.0) if spec.warmup else 1.0)
    if spec.budget.by_clock:
        ramp = min(update / spec.warmup, 1.0) if spec.warmup else 1.0
        return spec.lr * ramp * _shape(spec, spec.spent(update, wall_seconds))
    number, updates = spec.phase(update)
    if number <= spec.warmup:
        return spec.lr * number / spec.warmup
    return spec.lr * _shape(spec, (number - spec.warmup) / max(updates - spec.warmup, 1))


def _shape(spec: TrainSpec, progress: float) -> float:
    if spec.schedule == "constant":
        return 1.0
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return spec.final_fraction + (1 - spec.final_fraction) * cosine
