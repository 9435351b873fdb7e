"""Trained systems: one folder per training configuration, trained once and used by every study that needs it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..backbones import BackboneConfig
from ..common.config import config_hash, from_dict, to_dict
from ..common.errors import UserError
from ..common.files import locked
from ..common.seeds import Noise
from ..paradigms.pipeline import Data, build_model, save_model
from ..representations.latents.controls import ControlSpec
from . import BatchStream, TrainSpec, train
from .budget import flops_per_update, resolve
from .cost import TrainingCost
from .spec import Budget

if TYPE_CHECKING:
    from ..paradigms.base import Paradigm
    from . import TrainResult

CURVE_POINTS = 200
CAPTIONS = 256
Report = Callable[[float, str], None]


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a cell's config that decides its weights; tuning also depends on the sampler."""
    keys = ("data", "model", "train", "noise", *(("tune", "sampler") if "tune" in config else ()))
    return {key: config[key] for key in keys if key in config}


def noise_of(config: Mapping[str, Any]) -> Noise:
    """How a cell draws random numbers; ``torch`` for the first records, which do not hold this key."""
    return config.get("noise", "torch")


def untuned(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the model that a cell's tuning starts from."""
    return {key: value for key, value in config.items() if key != "tune"}


def training_folder(config: Mapping[str, Any]) -> str:
    """Name of the folder of a cell's weights, below the work folder."""
    return f"{config['model']['paradigm'].rpartition(':')[2]}-{config_hash(training_config(config))}"


def caption_tokens(data: Data) -> int:
    """Tokens to which captions are padded: those of the longest among the first ``CAPTIONS`` training captions."""
    captions = [clip.caption for clip in data.corpus.clips("train")[:CAPTIONS]]
    return data.text.encode(captions)[1].shape[1]


def resolved(train: TrainSpec, named: Mapping[str, Any], data: Data) -> TrainSpec:
    """``train`` with the updates that its budget buys for the model that a cell's config names.

    Raises:
        UserError: see ``training.budget.resolve``, and a budget in FLOPs for a paradigm that does not count them.
    """
    price = None
    if train.budget.unit == "flops":
        with torch.device("meta"):
            model = _model(named, data, train.seed)
        price = flops_per_update(model, train, caption_tokens(data))
    return resolve(train, data.latent.frames(train.seconds), price)


def train_system(
    config: Mapping[str, Any], data: Data, work: Path, report: Report | None = None
) -> tuple[TrainResult, TrainingCost]:
    """Train the model of a cell's ``config``, unless it is trained already; an interrupted run goes on.

    Args:
        report: called with the fraction done and a few words about twice a second; None: a progress bar on stderr.

    Raises:
        UserError, KeyboardInterrupt: see ``training.train``.
    """
    spec = from_dict(TrainSpec, config["train"], "train")
    folder = work / training_folder(config)
    model = _model(config["model"], data, spec.seed)
    assert data.store is not None, "training needs encoded clips"
    unlabelled = data.unlabelled.split("train") if data.unlabelled else None
    stream = BatchStream(data.store.split("train"), data.latent, data.text, spec, unlabelled, noise_of(config))

    def save(model: Any, target: Path) -> None:
        save_model(model, target, data, config["sampler"], spec.seconds)

    # Held, so that two runs that want the same weights train them once; under torchrun the first process holds it.
    first = os.environ.get("RANK", "0") == "0"
    alone = locked(folder / ".lock") if first else contextlib.nullcontext()
    with alone, _followed(folder / "log.jsonl", model.name, spec, report):
        result = train(model, stream, spec, folder, progress=report is None, save=save)
    budget = {"unit": "updates", "amount": spec.updates} if spec.budget == Budget() else to_dict(spec.budget)
    training = TrainingCost(
        updates=result.updates, cpu_seconds=result.cpu_seconds, wall_seconds=result.wall_seconds, tokens=result.tokens,
        parameters=model.parameter_counts(), curve=curve(result.log_path), folder=folder.name,
        flops=_flops(model, spec, data, result.updates), budget=budget,
    )  # fmt: skip
    return result, training


def _model(named: Mapping[str, Any], data: Data, seed: int) -> Paradigm:
    backbone = from_dict(BackboneConfig, named["backbone"], "backbone")
    controls = [from_dict(ControlSpec, about, "controls") for about in named.get("controls", [])]
    return build_model(named["paradigm"], named["options"], backbone, data, seed, controls)


def _flops(model: Paradigm, spec: TrainSpec, data: Data, updates: int) -> float | None:
    """Of a whole run; None for a paradigm that does not count them."""
    try:
        return updates * flops_per_update(model, spec, caption_tokens(data))
    except UserError:
        return None


def curve(log: Path) -> dict[str, tuple[float, ...]]:
    """The log as columns, thinned to at most ``CURVE_POINTS``; a point is the mean loss since the one before."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    step = -(-len(lines) // CURVE_POINTS)
    groups = [lines[i : i + step] for i in range(0, len(lines), step)]
    return {
        "update": tuple(group[-1]["update"] for group in groups),
        "loss": tuple(round(sum(line["loss"] for line in group) / len(group), 5) for group in groups),
        "cpu_seconds": tuple(group[-1]["cpu_seconds"] for group in groups),
    }


@contextlib.contextmanager
def _followed(log: Path, name: str, spec: TrainSpec, report: Report | None) -> Iterator[None]:
    """Report the last line of the training log now and then."""
    if report is None:
        yield
        return
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.5):
            with contextlib.suppress(OSError, ValueError, IndexError):
                last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
                spent = spec.spent(last["update"], last["wall_seconds"])
                report(0.95 * spent, f"{name} {last['update']} ({spent:.0%}) loss {last['loss']:.4g}")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
