"""Checkpoints to resume from: folders of safetensors and JSON, written completely or not at all.

    checkpoint-000500/
        model.safetensors       weights and buffers
        ema.safetensors         moving average of the weights
        optimizer.safetensors   the optimisers' moments and step counts
        state.json              update, clocks, unlogged losses, and the identity of the run

A folder is written under a temporary name, flushed to disk and renamed. The previous checkpoint is kept beside the
latest, and used if that one cannot be read. All randomness of training is a function of the update number, so no state
of data or noise is saved.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ..common.config import flat, from_dict, to_dict
from ..common.errors import UserError
from ..common.files import atomic_folder, read_json, write_json
from ..common.lines import say_once
from ..paradigms import current_names
from .optimiser import EMA, optimiser_tensors, restore_optimisers

KEEP = 2
"""Number of checkpoints that are kept."""
Optimisers = Sequence[Optimizer]


@dataclass
class RunState:
    """State of a run, beside its tensors.

    Attributes:
        identity: what is being trained, see ``results.identity``.
        update: updates done.
        wall_seconds: of training so far, over all its sessions.
        cpu_seconds: the same, of all threads of all processes.
        losses: of the updates since the last line of the log.
        final_loss: of the last line of the log, None before it.
        validated: updates after which the validation loss was computed, from 0.
        validation: that loss, and in ``validation_errors`` its standard error.
        stopped: the update after which the validation loss had stopped improving; 0: it has not.
    """

    identity: dict[str, Any]
    update: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    final_loss: float | None = None
    validated: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    validation_errors: list[float] = field(default_factory=list)
    stopped: int = 0


def write_checkpoint(folder: Path, state: RunState, model: nn.Module, ema: EMA, optimisers: Optimisers) -> None:
    """Write ``folder/checkpoint-<update>``, then remove all but the last ``KEEP`` checkpoints."""
    with atomic_folder(folder / f"checkpoint-{state.update:06d}") as temporary:
        save_file(_owned(model.state_dict()), temporary / "model.safetensors")
        save_file(_owned(ema.average), temporary / "ema.safetensors")
        save_file(_owned(optimiser_tensors(model, optimisers)), temporary / "optimizer.safetensors")
        write_json(temporary / "state.json", to_dict(state))
    for old in list_checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(folder.glob("checkpoint-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2]))


def restore_latest(folder: Path, state: RunState, model: nn.Module, ema: EMA, optimisers: Optimisers) -> RunState:
    """Load the newest readable checkpoint into ``model``, ``ema`` and ``optimisers``; without one, return ``state``.

    Raises:
        UserError: a checkpoint is of another run (other settings, paradigm, shapes or data).
    """
    for path in reversed(list_checkpoints(folder)):
        try:
            found = from_dict(RunState, read_json(path / "state.json"), str(path / "state.json"))
            check_identity(path, found.identity, state.identity)
            parts = ("model", "ema", "optimizer")
            tensors = [current_names(load_file(path / f"{part}.safetensors")) for part in parts]
        except (UserError, OSError, SafetensorError) as error:
            if isinstance(error, WrongRunError):
                raise
            say_once(f"note: skipped the unreadable checkpoint {path}: {error}")
            continue
        model.load_state_dict(tensors[0])
        for name, average in tensors[1].items():
            ema.average[name].copy_(average)
        restore_optimisers(model, optimisers, tensors[2].items())
        return found
    return state


class WrongRunError(UserError):
    """A training folder holds another run than the one asked for."""


def check_identity(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Compare two run identities part by part.

    Raises:
        WrongRunError: they differ; the message names the first differences.
    """
    there, here = flat(found), flat(asked)
    differing = [key for key in here | there if there.get(key) != here.get(key)]
    if differing:
        shown = ", ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} asked" for key in differing[:3])
        raise WrongRunError(f"{path} was trained otherwise: {shown}; choose another folder or delete it")


def _owned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, each with its own memory (safetensors refuses tensors that share memory)."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
