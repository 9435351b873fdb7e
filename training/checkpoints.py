"""Checkpoints to resume from: whole folders or none, safetensors and JSON only.

    checkpoint-000500/
        model.safetensors       weights and buffers
        ema.safetensors         moving average of the weights
        optimizer.safetensors   AdamW's moments and step counts
        state.json              update, clocks, unlogged losses, and the identity of the run

A folder is written under a temporary name, flushed to disk and renamed. The previous checkpoint is kept beside the
latest, and taken when that cannot be read. All randomness of training is a function of the update number, so the update
number IS the state of the data and of the noise.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.config import from_dict, to_dict
from common.errors import UserError
from common.files import read_json, write_json
from training.optimiser import EMA, optimiser_tensors, restore_optimiser

KEEP = 2


@dataclass
class State:
    """Where a run stands.

    Attributes:
        identity: what is being trained, see ``loop.identity``.
        update: updates done.
        wall_seconds: of training so far, over all its sessions.
        cpu_seconds: the same, of all threads of all processes.
        losses: of the updates since the last line of the log.
        final_loss: of the last line of the log, None before it.
    """

    identity: dict[str, Any]
    update: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    final_loss: float | None = None


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success flush and rename it to ``target`` (replacing it), on any error remove it.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _fsync(path)
        temporary.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        _fsync(target.parent)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {target}: {error}; free space or choose another folder") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_checkpoint(folder: Path, state: State, model: nn.Module, ema: EMA, optimiser: Any) -> None:
    """Write ``folder/checkpoint-<update>``, then remove all but the last ``KEEP`` checkpoints."""
    with atomic_folder(folder / f"checkpoint-{state.update:06d}") as temporary:
        save_file(_owned(model.state_dict()), temporary / "model.safetensors")
        save_file(_owned(ema.average), temporary / "ema.safetensors")
        save_file(_owned(optimiser_tensors(model, optimiser)), temporary / "optimizer.safetensors")
        write_json(temporary / "state.json", to_dict(state))
    for old in list_checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(folder.glob("checkpoint-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2]))


def restore_latest(folder: Path, state: State, model: nn.Module, ema: EMA, optimiser: Any) -> State:
    """Load the newest readable checkpoint into ``model``, ``ema`` and ``optimiser``; without one, return ``state``.

    Raises:
        UserError: a checkpoint is of another run (other settings, paradigm, shapes or data).
    """
    for path in reversed(list_checkpoints(folder)):
        try:
            found = from_dict(State, read_json(path / "state.json"), str(path / "state.json"))
            check_identity(path, found.identity, state.identity)
            tensors = [load_file(path / f"{part}.safetensors") for part in ("model", "ema", "optimizer")]
        except (UserError, OSError, SafetensorError) as error:
            if isinstance(error, WrongRunError):
                raise
            print(f"note: skipped the unreadable checkpoint {path}: {error}", file=sys.stderr)
            continue
        model.load_state_dict(tensors[0])
        for name, average in tensors[1].items():
            ema.average[name].copy_(average)
        restore_optimiser(model, optimiser, tensors[2].items())
        return found
    return state


class WrongRunError(UserError):
    """A training folder holds another run than the one asked for."""


def check_identity(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Compare two run identities part by part.

    Raises:
        WrongRunError: they differ; the message names the first differences.
    """
    there, here = _flat(found), _flat(asked)
    differing = [key for key in here | there if there.get(key) != here.get(key)]
    if differing:
        shown = ", ".join(f"{key} is {there.get(key)!r} there, {here.get(key)!r} asked" for key in differing[:3])
        raise WrongRunError(f"{path} was trained otherwise: {shown}; choose another folder or delete it")


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{key}" if prefix else str(key)).items()}


def _owned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, each with memory of its own (safetensors refuses tied weights)."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
