"""How fast training, sampling and scoring went in the published records: for estimates where there are no own records.

    python -m paradigm_bench.benchmarks.run.estimate.timings [RESULTS]      writes timings.json anew from the records in RESULTS (results)

Training and sampling are scaled by the operations that they take (``training.budget``, ``Paradigm.cost``), scoring by
the seconds of audio that are scored. Latency studies need only the share of the device's bound that was reached. The
file names the machine; another one may be several times faster or slower.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ....common.files import read_json, write_json
from ....representations.text.encoders import TextSpec
from ....training import TrainSpec
from ....training.budget import flops_per_update
from ...analysis.records import Record, all_records
from ...axes.latency.cells import BUILTIN_LATENT
from .paper import Sight, on_paper

FILE = Path(__file__).with_name("timings.json")
BUILTIN = ("codec_builtin", "vae_builtin", "codec_trained")  # representations whose latents have the built-in shape
TOKENS = 24  # of a caption; the same in the records' operations and in the estimate's, so that it hardly matters
TEXT = TextSpec("tokens", 0, ("<pad>", "<unk>"), 64)
Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Timings:
    """What the records say.

    Attributes:
        machine: where they were made.
        training, sampling: paradigm -> width of the backbone -> operations per second of one worker.
        scoring: axis -> seconds per second of audio.
        bound_shares: paradigm, with a peer in brackets -> ``width x batch`` -> share of the bound that latency reached.
    """

    machine: str
    training: Table
    sampling: Table
    scoring: dict[str, float]
    bound_shares: Table

    def training_seconds(self, config: Mapping[str, Any]) -> float | None:
        """Of one update of a cell's model; None where its operations are not known."""
        work = work_of(config)
        return None if work is None else work.update / _nearest(self.training, config, work.width)

    def measuring_seconds(self, axis: str, config: Mapping[str, Any]) -> float | None:
        """Of making and scoring a cell's clips; None where the operations of its sampler are not known."""
        scoring = self.scoring.get(axis, statistics.median(self.scoring.values())) * audio_seconds(config)
        if "model" not in config:
            return scoring
        work = work_of(config)
        if work is None:
            return None
        return scoring + config["evaluation"]["prompts"] * work.clip / _nearest(self.sampling, config, work.width)

    def bound_share(self, paradigm: str, peer: str | None, width: int, batch: int) -> float | None:
        """Share of the bound at the nearest width and batch; None for a paradigm that was not measured."""
        held = self.bound_shares.get(_peered(paradigm, peer), {})
        places = {tuple(map(int, key.split("x"))): share for key, share in held.items()}
        near = min(places, key=lambda at: (abs(math.log(at[0] / width)), abs(math.log(at[1] / batch))), default=None)
        return None if near is None else places[near]


@functools.cache
def published() -> Timings:
    """The timings that come with the package."""
    return from_dict(Timings, read_json(FILE), FILE.name)


@dataclass(frozen=True)
class Work:
    """Of a cell's model: width of its backbone, parameters, operations of one update and of sampling one clip."""

    width: int
    parameters: int
    update: float
    clip: float


def work_of(config: Mapping[str, Any]) -> Work | None:
    """The work that a trained cell's ``config`` describes.

    None for latents of another shape than the built-in ones, and for a paradigm that is not there, or that does not
    count its operations.
    """
    if not config["data"]["representation"]["name"].startswith(BUILTIN):
        return None
    kept = {key: config.get(key) for key in ("model", "train", "sampler", "frame_rate")}
    try:
        return _work(json.dumps({**kept, "seconds": config["evaluation"]["seconds"]}, sort_keys=True))
    except (UserError, NotImplementedError):
        return None


@functools.lru_cache(maxsize=256)
def _work(text: str) -> Work:
    config = json.loads(text)
    latent = BUILTIN_LATENT.replace(frame_rate_hz=(config["frame_rate"] or {}).get("hz", BUILTIN_LATENT.frame_rate_hz))
    model = on_paper(config["model"], Sight(latent, TEXT, TOKENS, 0.0))
    update = flops_per_update(model, from_dict(TrainSpec, config["train"], "train"), TOKENS)
    phases = model.cost(1, latent.frames(config["seconds"]), model.sampler(config["sampler"]), TOKENS)
    clip = sum(phase.times * phase.flops for phase in phases)
    return Work(model.backbone_config.d_model, sum(p.numel() for p in model.parameters()), update, clip)


def audio_seconds(config: Mapping[str, Any]) -> float:
    """How much audio is scored for a cell."""
    eval_set = config["evaluation"]
    return float(eval_set["n"] * eval_set["repeats"] if "repeats" in eval_set else eval_set["prompts"] * eval_set["seconds"])


def _nearest(table: Table, config: Mapping[str, Any], width: int) -> float:
    """The rate of a paradigm at the width nearest to ``width``; of all paradigms where it was never measured."""
    held = table.get(config["model"]["paradigm"])
    if held is None:
        return statistics.median(rate for rates in table.values() for rate in rates.values())
    return held[min(held, key=lambda key: abs(math.log(int(key) / width)))]


def _peered(paradigm: str, peer: str | None) -> str:
    return f"{paradigm} ({peer})" if peer else paradigm


def timings_of(records: Iterable[Record]) -> Timings:
    """The medians of good records that were made on a CPU, training runs that several studies share counted once."""
    good = [r for r in records if r.status == "ok" and r.environment.get("device", "cpu") == "cpu"]
    tables = {name: defaultdict[tuple[str, str], list[float]](list) for name in ("training", "sampling", "shares")}
    scoring, runs = defaultdict[str, list[float]](list), set[str]()
    for record in good:
        if record.axis == "latency":
            _add_latency(record, tables["shares"])
        elif "measuring_seconds" in record.timing:
            _add_measured(record, tables, scoring, runs)
    machines = statistics.mode(str(record.environment["cpu"]) for record in good)
    medians = {name: _nested(table) for name, table in tables.items()}
    rates = {axis: float(f"{statistics.median(values):.3g}") for axis, values in sorted(scoring.items())}
    return Timings(
        f"{machines}, one thread per worker", medians["training"], medians["sampling"], rates, medians["shares"]
    )


def _add_measured(record: Record, tables: Mapping[str, Any], scoring: Mapping[str, Any], runs: set[str]) -> None:
    config, made = record.cell, 0.0
    if record.kind == "paradigm" and "tune" not in config:
        work, training = work_of(config), record.training
        if work is None or training is None:
            return
        place = config["model"]["paradigm"], str(work.width)
        made = record.timing["seconds_per_clip"]
        tables["sampling"][place].append(work.clip / record.timing.get("sampling_seconds_per_clip", made))
        if training.folder not in runs and training.cpu_seconds:
            runs.add(training.folder)
            seconds = training.cpu_seconds / (record.environment.get("threads") or 1)
            tables["training"][place].append(work.update * training.updates / seconds)
        made *= config["evaluation"]["prompts"]
    scoring[record.axis].append(max(record.timing["measuring_seconds"] - made, 0.0) / audio_seconds(config))


def _add_latency(record: Record, shares: Mapping[Any, list[float]]) -> None:
    reached, config = record.metrics.get("bound_ratio"), record.cell
    if reached is not None and reached.value:
        place = f"{config['model']['backbone']['d_model']}x{config['setting']['batch']}"
        shares[_peered(config["model"]["paradigm"], config["peer"]), place].append(reached.value)


def _nested(table: Mapping[tuple[str, str], list[float]]) -> Table:
    found: Table = {}
    for (first, second), values in sorted(table.items()):
        found.setdefault(first, {})[second] = float(f"{statistics.median(values):.3g}")
    return found


if __name__ == "__main__":
    write_json(FILE, to_dict(timings_of(all_records(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))))
    print(FILE)
