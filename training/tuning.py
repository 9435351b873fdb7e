"""Weights and objective of reward fine-tuning (MaskAudioFlow 2025, section 4 and algorithm 2), for any paradigm.

A model is trained on clips that it generated itself, each weighted by its reward:

    L = mean_i w_i loss_i + penalty * D(reference, tuned)          (published inconsistency X37 corrected: both at x_t)
    w_i = n exp(tau r_i) / sum_j exp(tau r_j)                      over the n clips of one global batch

The weights have mean 1 for any scale of the rewards: tau alone decides how much the better clips count, and with tau 0
all clips count alike. (The paper calls tau convergence speed, regularisation and reward weight: X31.) Rewards differ
more between captions than between clips of one caption, so that the weights mostly tell which captions are easy. With
several clips per caption, r_i is therefore the reward minus the mean over the clips of its caption (the group baseline
of Shao et al. 2024).

D compares the outputs of the two models' last layers for the same clips, times, noise and masks. For velocities it is
the mean squared difference, the paper's L_Reg; for codes the Kullback-Leibler divergence of the tuned distributions
from the reference's. The training loop is the one of all runs; ``tuning_rounds`` generates and scores the clips.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..common.config import config_hash, to_dict
from ..common.errors import UserError
from ..common.seeds import ItemRNG, Noise
from ..paradigms.base import Batch, Paradigm
from ..representations.latents.encoded import EncodedSplit
from ..representations.spec import LatentSpec
from ..representations.text.encoders import TextEncoder
from .data import BatchStream
from .spec import TrainSpec


@dataclass(frozen=True)
class TuneSpec:
    """Settings of reward fine-tuning.

    Attributes:
        reward: name of what scores clips (``bench tune --help`` lists them).
        tau: how much more a better clip counts; 0: all alike.
        penalty: weight of the distance to the model before tuning.
        rounds: times that the current model generates new clips; 1 is the paper's algorithm.
        clips: per round.
        group: clips per caption; from 2 on, the mean reward of a caption's clips is subtracted.
        updates: optimiser steps per round.
        batch: clips per update.
        lr: peak learning rate of each round, after ``warmup`` updates, falling to zero along a cosine.
        collapse: tuning stops when the clips' diversity falls below this share of what it was before tuning.
        watched: clips of each round with the same captions and seeds in every round, on which diversity is measured.
    """

    reward: str
    tau: float = 1.0
    penalty: float = 1.0
    rounds: int = 4
    clips: int = 256
    group: int = 1
    updates: int = 50
    batch: int = 16
    lr: float = 2e-4
    warmup: int = 10
    collapse: float = 0.7
    watched: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "clips", "group", "updates", "batch", "lr"):
            if not getattr(self, name) > 0:
                raise UserError(f"tune.{name} is {getattr(self, name)} but must be above 0")
        for name in ("tau", "penalty", "warmup"):
            if getattr(self, name) < 0:
                raise UserError(f"tune.{name} is {getattr(self, name)} but must be 0 or more")
        if not 0 <= self.collapse < 1:
            raise UserError(f"tune.collapse is {self.collapse} but must be 0 or more and below 1")
        if not 2 <= self.watched <= self.clips:
            raise UserError(f"tune.watched is {self.watched} but must lie between 2 and tune.clips ({self.clips})")
        if self.clips % self.group or self.watched % self.group:
            both = f"tune.clips ({self.clips}) and tune.watched ({self.watched})"
            raise UserError(f"tune.group is {self.group} but must divide {both}")

    def training(self, seconds: float, number: int) -> TrainSpec:
        """Round ``number`` (from 1) as a run of the training loop."""
        return TrainSpec(
            updates=self.updates, batch=self.batch, seconds=seconds, lr=self.lr,
            warmup=min(self.warmup, self.updates), seed=self.seed * 1000 + number, log_every=min(10, self.updates),
        )  # fmt: skip


def reward_weights(rewards: Sequence[float] | Tensor, tau: float) -> Tensor:
    """Weights of mean 1 of the clips of one batch, float32; see the module's docstring."""
    scores = tau * torch.as_tensor(rewards, dtype=torch.float64)
    return (len(scores) * scores.softmax(0)).float()


def relative(rewards: Sequence[float], group: int) -> list[float]:
    """Each reward minus the mean of its ``group`` of consecutive clips, those of one caption; group 1: unchanged."""
    if group == 1:
        return list(rewards)
    grouped = torch.tensor(list(rewards), dtype=torch.float64).view(-1, group)
    return (grouped - grouped.mean(dim=1, keepdim=True)).flatten().tolist()


class RewardedStream(BatchStream):
    """A stream whose batches have a weight for each clip.

    Args:
        rewards: one finite number per clip of ``split``, those of one caption together; no clip is shorter than a crop.
    """

    def __init__(
        self, split: EncodedSplit, rewards: Sequence[float], tuning: TuneSpec, latent: LatentSpec, text: TextEncoder,
        spec: TrainSpec, noise: Noise = "philox",
    ) -> None:  # fmt: skip
        super().__init__(split, latent, text, spec, noise=noise)
        self.rewards, self.tuning = torch.tensor(relative(rewards, tuning.group), dtype=torch.float64), tuning

    @property
    def fingerprint(self) -> str:
        """Hex digest of the settings of tuning, the rewards, and the generated clips."""
        content = [float(z.double().sum()) for z in self._split.z]
        return config_hash([super().fingerprint, self.rewards.tolist(), to_dict(self.tuning), content])

    def host_batch(self, update: int, positions: slice = slice(None)) -> tuple[Batch, list[int]]:
        """As in ``BatchStream``; the weights are normalised over the global batch, not over its part."""
        batch, seeds = super().host_batch(update, positions)
        rows = [self._kept[row] for row, _ in self._draw(update, range(self.spec.batch))]
        weights_B = reward_weights(self.rewards[rows], self.tuning.tau)[positions]
        return dataclasses.replace(batch, weights_B=weights_B), seeds


class Regularised:
    """The objective of tuning: the weighted loss, plus the distance to a frozen copy of the model before tuning."""

    def __init__(self, model: Paradigm, penalty: float) -> None:
        self.penalty = penalty
        self.reference = copy.deepcopy(model).eval().requires_grad_(False) if penalty else None
        if penalty and not model.predictor:
            raise UserError(
                f"{model.name} does not define Paradigm.predictor, which tune.penalty needs; set tune.penalty=0"
            )

    def __call__(self, model: Paradigm, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Tensor:
        """The scalar to minimise, for this part of the global batch."""
        if self.reference is None:
            return model.loss(batch, rng, shared).weighted(batch.weights_B)
        self.reference.to(batch.latents_BTD.device)
        with torch.no_grad(), PredictorOutput(self.reference) as theirs:
            self.reference.loss(batch, rng.again(), shared.again())
        with PredictorOutput(model) as ours:
            loss = model.loss(batch, rng, shared)
        return loss.weighted(batch.weights_B) + self.penalty * divergence(model, ours.output, theirs.output)


class PredictorOutput:
    """Context that keeps the last output of a model's ``predictor`` layer."""

    output: Tensor

    def __init__(self, model: Paradigm) -> None:
        self.layer = model.get_submodule(model.predictor)

    def __enter__(self) -> PredictorOutput:
        self._hook = self.layer.register_forward_hook(self._keep)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _keep(self, layer: nn.Module, inputs: object, output: Tensor) -> None:
        self.output = output


def divergence(model: Paradigm, ours: Tensor, theirs: Tensor) -> Tensor:
    """D of the module's docstring, a mean over all outputs; a scalar."""
    if model.view == "latents":
        return (ours - theirs).square().mean()
    ours, theirs = (logits.unflatten(-1, (-1, model.latent.cardinality)).log_softmax(-1) for logits in (ours, theirs))
    return (theirs.exp() * (theirs - ours)).sum(-1).mean()
