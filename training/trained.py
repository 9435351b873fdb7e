"""Trained models by configuration: each is trained once, in a folder of its own, and used by every study that needs it.

What decides the weights is a part of a cell's config. The config is plain data, whose hash names the folder; it is read
through ``TrainedSpec``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from .. import paradigms
from ..common.config import config_hash, from_dict, to_dict
from ..common.errors import UserError
from ..common.lines import say_once
from ..common.locks import locked
from ..common.seeds import Noise, seed_for
from ..paradigms.base import Paradigm
from ..paradigms.pipeline import PipelineSettings, save_model
from ..representations.latents.controls import ControlSpec
from .budget import TrainingCost, flops_per_update, resolve
from .convergence import how_it_ended
from .data import BatchStream
from .log import read_log
from .loop import train
from .results import TrainResult
from .rewards import Reward
from .sources import Data
from .spec import Budget, ModelConfig, TrainSpec
from .tuning import TuneSpec
from .tuning_rounds import Embedder, Tuned, tune
from .validation import HeldOutClips

CURVE_POINTS = 200
CAPTIONS = 256
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class TrainedSpec:
    """What decides the weights of a trained model, beside its data.

    Attributes:
        sampler: settings that are saved with the model; tuning also samples with them.
        noise: how random numbers are drawn. The first records, which do not state it, drew torch's own.
        tune: settings of the tuning by reward (``TuneSpec``); None: the model is not tuned.
    """

    model: ModelConfig
    train: TrainSpec
    sampler: dict[str, Any] = field(default_factory=dict)
    noise: Noise = "torch"
    tune: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TrainedSpec:
        """The part of a cell's config that training reads."""
        return msgspec.convert(config, cls, strict=False)


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a cell's config that decides its weights, as plain data; tuning also depends on the sampler."""
    keys = ("data", "model", "train", "noise", *(("tune", "sampler") if "tune" in config else ()))
    return {key: config[key] for key in keys if key in config}


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


def resolved(train: TrainSpec, model: Mapping[str, Any], data: Data) -> TrainSpec:
    """``train`` with the updates that its budget buys for a model.

    Args:
        model: its part of a cell's config (``ModelConfig``).

    Raises:
        UserError: see ``training.budget.resolve``; the budget is in FLOPs and the paradigm does not count them; or it
            is by convergence and the corpus has no valid split.
    """
    if train.budget.by_convergence and not data.corpus.clips_by_split.get("valid"):
        raise UserError(
            f"train.budget: corpus {data.corpus.name} has no valid split, whose loss would say when training has "
            "stopped improving; add one, or set train.updates"
        )
    price = None
    if train.budget.unit == "flops":
        with torch.device("meta"):
            built = _model(msgspec.convert(model, ModelConfig, strict=False), data, train.seed)
        price = flops_per_update(built, train, caption_tokens(data))
    return resolve(train, data.latent.frames(train.seconds), price)


def train_system(
    config: Mapping[str, Any], data: Data, work: Path, report: Report | None = None
) -> tuple[TrainResult, TrainingCost]:
    """Train the model of a cell's ``config``, unless it is trained already; an interrupted run is resumed.

    Args:
        report: called with the fraction done and a line of text about twice a second; None: a bar on stderr.

    Raises:
        UserError, KeyboardInterrupt: see ``training.loop.train``.
    """
    about, folder = TrainedSpec.of(config), work / training_folder(config)
    spec, model = about.train, _model(about.model, data, about.train.seed)
    assert data.store is not None, "training needs encoded clips"
    unlabelled = data.unlabelled.split("train") if data.unlabelled else None
    stream = BatchStream(data.store.split("train"), data.latent, data.text, spec, unlabelled, about.noise)
    sources, fingerprint = data.sources, data.representation.fingerprint
    settings = PipelineSettings(sources.representation, fingerprint, sources.text, about.sampler, spec.seconds)

    def save(model: Paradigm, target: Path) -> None:
        save_model(model, target, settings)

    # Two runs that need the same weights train them once. Under torchrun the first process holds the lock.
    first = os.environ.get("RANK", "0") == "0"
    alone = locked(folder / ".lock") if first else contextlib.nullcontext()
    with alone, _reported(folder / "log.jsonl", model.name, spec, report):
        held_out = held_out_clips(spec, data)
        result = train(model, stream, spec, folder, progress=report is None, save=save, validation=held_out)
    cost = TrainingCost(
        updates=result.updates,
        cpu_seconds=result.cpu_seconds,
        wall_seconds=result.wall_seconds,
        tokens=result.tokens,
        parameters={paradigms.recorded_name(part): count for part, count in model.parameter_counts().items()},
        curve=curve(result.log_path),
        folder=folder.name,
        flops=_flops(model, spec, data, result.updates),
        budget={"unit": "updates", "amount": spec.updates} if spec.budget == Budget() else to_dict(spec.budget),
        validation={name: tuple(column) for name, column in result.validation.items()},
        ended=how_it_ended(spec, result.stopped),
        converged=result.stopped > 0 if spec.budget.by_convergence else None,
    )
    return result, cost


def held_out_clips(spec: TrainSpec, data: Data) -> HeldOutClips | None:
    """The clips of the validation loss; None, with a line that says so, for a corpus without a valid split."""
    if not spec.validation_clips or data.store is None:
        return None
    if not data.corpus.clips_by_split.get("valid"):
        say_once(f"note: corpus {data.corpus.name} has no valid split, so there is no validation loss")
        return None
    return HeldOutClips(data.store.split("valid"), data.latent, data.text, spec)


def tune_system(
    config: Mapping[str, Any], data: Data, trained: TrainResult, reward: Reward, embedder: Embedder, work: Path,
    report: Report,
) -> Tuned:  # fmt: skip
    """Tune the ``trained`` model of a cell's ``config`` by reward, or resume; the weights are in the config's folder.

    Raises:
        UserError: see ``training.tuning_rounds.tune``.
    """
    about, folder = TrainedSpec.of(config), work / training_folder(config)
    spec = from_dict(TuneSpec, {**(about.tune or {}), "reward": reward.name}, "tune")
    with locked(folder / ".lock"):
        return tune(
            trained.final, data.corpus.clips("train"), reward, embedder, spec, folder,
            sampler=about.sampler, report=report, noise=about.noise,
        )  # fmt: skip


def _model(config: ModelConfig, data: Data, seed: int) -> Paradigm:
    """A randomly initialised model for ``data``; equal seeds give equal weights."""
    controls = [from_dict(ControlSpec, about, "controls") for about in config.controls]
    torch.manual_seed(seed_for(seed, "initialisation"))
    return paradigms.build(config.paradigm, config.options, config.backbone, data.latent, data.text.spec, controls)


def _flops(model: Paradigm, spec: TrainSpec, data: Data, updates: int) -> float | None:
    """Floating-point operations of ``updates`` updates; None for a paradigm that does not count them."""
    try:
        return updates * flops_per_update(model, spec, caption_tokens(data))
    except UserError:
        return None


def curve(log: Path) -> dict[str, tuple[float, ...]]:
    """The log as columns of at most ``CURVE_POINTS`` points; a point is the mean loss since the one before."""
    lines, _ = read_log(log)
    step = -(-len(lines) // CURVE_POINTS)
    groups = [lines[i : i + step] for i in range(0, len(lines), step)]
    return {
        "update": tuple(group[-1]["update"] for group in groups),
        "loss": tuple(round(sum(line["loss"] for line in group) / len(group), 5) for group in groups),
        "cpu_seconds": tuple(group[-1]["cpu_seconds"] for group in groups),
    }


@contextlib.contextmanager
def _reported(log: Path, name: str, spec: TrainSpec, report: Report | None) -> Iterator[None]:
    """Report the last line of the training log twice a second while the context is open."""
    if report is None:
        yield
        return
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.5):
            with contextlib.suppress(OSError, ValueError, IndexError):
                lines, validations = read_log(log)
                last, held_out = lines[-1], [f", validation {line['validation_loss']:.4g}" for line in validations]
                spent = spec.spent(int(last["update"]), last["wall_seconds"])
                shown = f"loss {last['loss']:.4g}{''.join(held_out[-1:])}"
                report(0.95 * spent, f"{name} {last['update']} ({spent:.0%}) {shown}")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
