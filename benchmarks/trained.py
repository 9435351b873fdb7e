"""Trained systems: one folder per training identity, trained once, found again by every study that needs it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones import BackboneConfig
from benchmarks.pipeline import Data, build_model, save_model
from benchmarks.records import Training
from common.config import config_hash, from_dict
from common.files import locked
from representations.controls import ControlSpec
from training import BatchStream, TrainSpec, train

if TYPE_CHECKING:
    from training import TrainResult

CURVE_POINTS = 200
Report = Callable[[float, str], None]


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a cell's config that decides its weights."""
    return {key: config[key] for key in ("data", "model", "train")}


def training_folder(config: Mapping[str, Any]) -> str:
    """Name of the folder of a cell's weights, below the work folder."""
    return f"{config['model']['paradigm'].rpartition(':')[2]}-{config_hash(training_config(config))}"


def train_system(
    config: Mapping[str, Any], data: Data, work: Path, report: Report | None = None
) -> tuple[TrainResult, Training]:
    """Train the model of a cell's ``config``, or find it trained; a run that was stopped goes on.

    Args:
        report: called with the fraction done and a few words about twice a second; None: a progress bar on stderr.

    Raises:
        UserError, KeyboardInterrupt: see ``training.train``.
    """
    spec = from_dict(TrainSpec, config["train"], "train")
    backbone = from_dict(BackboneConfig, config["model"]["backbone"], "backbone")
    folder = work / training_folder(config)
    named = config["model"]
    controls = [from_dict(ControlSpec, about, "controls") for about in named.get("controls", [])]
    model = build_model(named["paradigm"], named["options"], backbone, data, spec.seed, controls)
    assert data.store is not None, "training needs encoded clips"
    stream = BatchStream(data.store.split("train"), data.latent, data.text, spec)

    def save(model: Any, target: Path) -> None:
        save_model(model, target, data, config["sampler"], spec.seconds)

    # Held, so that two runs that want the same weights train them once.
    with locked(folder / ".lock"), _followed(folder / "log.jsonl", model.name, spec.updates, report):
        result = train(model, stream, spec, folder, progress=report is None, save=save)
    training = Training(
        updates=result.updates, cpu_seconds=result.cpu_seconds, wall_seconds=result.wall_seconds, tokens=result.tokens,
        parameters=model.parameter_counts(), curve=curve(result.log_path), folder=folder.name,
    )  # fmt: skip
    return result, training


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
def _followed(log: Path, name: str, updates: int, report: Report | None) -> Iterator[None]:
    """Report the last line of the training log now and then."""
    if report is None:
        yield
        return
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.5):
            with contextlib.suppress(OSError, ValueError, IndexError):
                last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
                report(0.95 * last["update"] / updates, f"{name} {last['update']}/{updates} loss {last['loss']:.3f}")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
