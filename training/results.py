"""What a training run leaves in its folder: its result, its identity, and which files are removed at the end."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.config import config_hash, to_dict
from ..common.files import read_json
from ..paradigms import recorded_name
from ..paradigms.base import Paradigm
from .checkpoints import check_identity, list_checkpoints
from .data import BatchStream
from .spec import TrainSpec
from .validation import HeldOutClips


@dataclass(frozen=True)
class TrainResult:
    """Cost of a training run, and where its weights are.

    Attributes:
        updates: optimiser steps done.
        wall_seconds: time in the loop, over all sessions.
        cpu_seconds: the same, of all threads of all processes.
        tokens: latent frames trained on, updates x batch x frames.
        final_loss: mean loss of the last line of the log.
        log_path: the log (JSONL).
        final: folder of the averaged weights, for ``paradigms.load``.
        snapshots: update -> folder of the averaged weights then.
        validation: columns of equal length: update (from 0), validation loss, its standard error; empty: none.
        stopped: the update after which the validation loss had stopped improving; 0: it had not, or did not decide.
    """

    updates: int
    wall_seconds: float
    cpu_seconds: float
    tokens: int
    final_loss: float
    log_path: Path
    final: Path
    snapshots: dict[int, Path] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    stopped: int = 0


def identity(
    model: Paradigm, stream: BatchStream, spec: TrainSpec, validation: HeldOutClips | None = None
) -> dict[str, Any]:
    """The model, the data and the settings of a run as plain data; runs with equal identities give equal weights."""
    shapes = {recorded_name(name): list(p.shape) for name, p in model.named_parameters()}
    parameters = sum(p.numel() for p in model.parameters())
    configs = {name: to_dict(getattr(model, name)) for name in ("options", "backbone_config", "latent")}
    described = {"paradigm": model.name, "parameters": parameters, **configs, "shapes": config_hash(shapes)}
    # Where the validation loss ends the run, its clips decide the weights too.
    ends = {"validation": validation.fingerprint} if spec.budget.by_convergence and validation is not None else {}
    return {"model": described, "train": to_dict(spec), "data": stream.fingerprint, **ends}


def finished(folder: Path, asked: dict[str, Any]) -> TrainResult | None:
    """The result of a run that was completed before; None if there is none.

    Raises:
        UserError: the folder holds the result of another run.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    stored = read_json(path)
    check_identity(folder, stored["identity"], asked)
    return result_of(folder, stored["figures"], tuple(asked["train"]["snapshots"]))


def result_of(folder: Path, figures: dict[str, Any], snapshots: tuple[int, ...]) -> TrainResult:
    """The result in ``folder``, from the ``figures`` in its result.json."""
    return TrainResult(
        **figures,
        log_path=folder / "log.jsonl",
        final=folder / "final",
        snapshots={update: snapshot_path(folder, update) for update in snapshots if update <= figures["updates"]},
    )


def snapshot_path(folder: Path, update: int) -> Path:
    """Folder of the averaged weights after ``update``."""
    return folder / f"snapshot-{update:06d}"


def tidy(folder: Path, everything: bool = False) -> None:
    """Remove what a killed run left incomplete, and the checkpoints of a completed one; or ``everything`` of a run."""
    for part in folder.glob(".*.part*"):  # of common.files: folders end in .part, files in .part and their own suffix
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    stale = []
    if everything or (folder / "result.json").exists():
        stale += list_checkpoints(folder)
    if everything:
        (folder / "result.json").unlink(missing_ok=True)
        (folder / "log.jsonl").unlink(missing_ok=True)
        stale += [folder / "final", *folder.glob("snapshot-[0-9]*")]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
