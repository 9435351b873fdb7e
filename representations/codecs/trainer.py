"""What every trainer of a codec is to the run around it (``representations.codecs.training``), and what trainers share.

A trainer holds the model, its moving average and its optimisers, makes one update from a batch of crops, and gives
itself as plain data to go on from. Its budget is a number of updates or the clock; ``progress`` says how much is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...common.errors import UserError
from ...common.seeds import seed_for
from ...corpora import Corpus
from ..base import Representation

CROPS_MEMORY = 4 * 2**30  # bytes of decoded clips to hold; a corpus beyond that is read again


class Training(Protocol):
    """What all recipes have; ``steps`` 0 means a budget by the clock."""

    @property
    def steps(self) -> int:
        """Updates; 0: by the clock."""

    @property
    def cpu_seconds(self) -> float:
        """Of this process."""

    @property
    def wall_seconds(self) -> float:
        """At most."""

    @property
    def batch(self) -> int:
        """Crops per update."""

    @property
    def snapshot_seconds(self) -> float:
        """CPU seconds between checkpoints."""

    @property
    def seed(self) -> int:
        """Of weights, crops and noise."""


def check_training(config: Any, positive: Iterable[str]) -> None:
    """Raises UserError unless the fields named are above 0, and ``steps`` not below."""
    for name in positive:
        if getattr(config, name) <= 0:
            raise UserError(f"codec training: {name} must be above 0, not {getattr(config, name)}")
    if config.steps < 0:
        raise UserError(f"codec training: steps must be 0 (a budget by the clock) or more, not {config.steps}")


class Trainer:
    """State of one run.

    Attributes:
        average: the representation that the run is for, from averaged weights.
        phase: of the recipe, for the log.
        crop_samples: length of a training crop.
    """

    average: Representation
    crop_samples: int
    phase = "all"

    def __init__(self, config: Training) -> None:
        self.budget = config
        self.step, self.cpu_seconds, self.wall_seconds = 0, 0.0, 0.0

    @property
    def progress(self) -> float:
        """Part of the budget that is used, 0 to 1 and beyond."""
        budget = self.budget
        if budget.steps:
            return float(self.step / budget.steps)
        return float(max(self.cpu_seconds / budget.cpu_seconds, self.wall_seconds / budget.wall_seconds))

    @property
    def settled(self) -> bool:
        """Whether a checkpoint would say everything."""
        return True

    def generator(self) -> torch.Generator:
        """The random numbers of this step, on the CPU."""
        return torch.Generator().manual_seed(seed_for(self.budget.seed, "step", self.step))

    def clocks(self) -> dict[str, Any]:
        """How far the run has come."""
        return {
            "step": self.step, "phase": self.phase, "cpu_seconds": self.cpu_seconds, "wall_seconds": self.wall_seconds,
        }  # fmt: skip

    def start(self, crops: Crops) -> None:
        """Before the first step of a new run."""

    def set_phase(self) -> None:
        """Before every step: enter the recipe's next phase when its time has come."""

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update on crops (B, N); the loss terms, and their sum as ``loss``."""
        raise NotImplementedError

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """(JSON-ready state, tensors) from which ``restore`` goes on."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from what ``checkpoint`` returned; call it before the first step."""
        raise NotImplementedError

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write ``average`` to ``folder``, with ``record``: how it was made."""
        raise NotImplementedError

    def reference(self, folder: Path) -> str:
        """What ``load_representation`` calls the result in ``folder``."""
        return str(folder)


class Crops:
    """Seeded random crops from several corpora, each drawn with its own probability; clips are kept as int16.

    Args:
        corpora: (corpus, weight) pairs; the weights need not sum to 1.
    """

    def __init__(self, corpora: Sequence[tuple[Corpus, float]], sample_rate: int, samples: int, seed: int) -> None:
        self.sample_rate, self.samples, self.seed = sample_rate, samples, seed
        self._clips = [corpus.clips("train") for corpus, _ in corpora]
        weights = np.array([weight for _, weight in corpora], dtype=float)
        self._chance = weights / weights.sum()
        self._audio: dict[tuple[int, int], np.ndarray] = {}
        self._held = 0

    def batch(self, step: int, size: int) -> Tensor:
        """The (B, N) crops of ``step``."""
        rng = np.random.default_rng(seed_for(self.seed, "crops", step))
        return torch.from_numpy(np.stack([self._draw(rng) for _ in range(size)]))

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        which = int(rng.choice(len(self._clips), p=self._chance))
        audio = self._clip(which, int(rng.integers(len(self._clips[which]))))
        start = int(rng.integers(max(1, len(audio) - self.samples + 1)))
        crop = audio[start : start + self.samples].astype(np.float32) / 32767
        return np.pad(crop, (0, self.samples - len(crop)))

    def _clip(self, which: int, index: int) -> np.ndarray:
        if (which, index) in self._audio:
            return self._audio[which, index]
        audio = self._clips[which][index].audio(self.sample_rate)
        samples: np.ndarray = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
        if self._held + samples.nbytes <= CROPS_MEMORY:
            self._audio[which, index] = samples
            self._held += samples.nbytes
        return samples


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of parameters, faster over the first steps; buffers are copied."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), model.parameters()):
        mean.lerp_(value, 1 - decay)
    for name, buffer in model.named_buffers():
        average.get_buffer(name).copy_(buffer)


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimiser's state, by name."""
    held = optimiser.state_dict()["state"]
    return {f"{prefix}{i}.{name}": torch.as_tensor(v) for i, state in held.items() for name, v in state.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Put back what ``optimiser_tensors`` gave."""
    state = optimiser.state_dict()
    for name, tensor in part(tensors, prefix).items():
        index, _, key = name.partition(".")
        state["state"].setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict(state)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name begins with ``prefix``, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
