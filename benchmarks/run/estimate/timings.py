"""What records say about speed, and the times of training, sampling and scoring that follow from it.

    python -m paradigm_bench.benchmarks.run.estimate.timings [RESULTS]

writes ``timings.json`` from the records in RESULTS (default: results). The file holds medians of the published records,
for estimates where there are no records of one's own. It names the machine; another one may be several times faster or
slower.

Training and sampling scale with their operations (``training.budget``, ``Paradigm.cost``), scoring with the seconds of
audio that are scored, and with the judges that score them. Latency studies need only the share of the hardware bound
that was reached.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ....common.files import read_json, write_json
from ....representations.shapes import BUILTIN_LATENT
from ....representations.text.encoders import TextSpec
from ....training.budget import flops_per_update
from ...analysis.records import Record, all_records
from ...study.cells import CellConfig, EvaluationConfig, read_config
from .sizes import ModelInputs, meta_model, parameter_count

FILE = Path(__file__).with_name("timings.json")
BUILTIN = ("codec_builtin", "vae_builtin", "codec_trained")  # representations whose latents have the built-in shape
# Captions of 24 tokens, in the operations of records as of estimates, so that the number hardly matters.
CAPTIONS = ModelInputs(BUILTIN_LATENT, TextSpec("tokens", 0, ("<pad>", "<unk>"), 64), 24)
Table = dict[str, dict[str, float]]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class TimedEvaluation(EvaluationConfig):
    """How clips are scored; axis ``samplesize`` scores ``n`` clips of one second ``repeats`` times."""

    n: int = 0
    repeats: int = 0

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that are scored for a cell."""
        return float(self.n * self.repeats if self.repeats else self.prompts * self.seconds)


@dataclass(frozen=True)
class TimedConfig(CellConfig):
    """What decides the time of a cell, on any axis."""

    evaluation: TimedEvaluation = field(default_factory=TimedEvaluation)
    frame_rate: dict[str, float] | None = None
    scenario: str | None = None
    peer: str | None = None
    setting: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timings:
    """Medians of many records.

    Attributes:
        machine: where they were measured.
        training, sampling: paradigm -> width of the backbone -> operations per second of one worker.
        scoring: axis -> seconds per second of audio, without judges.
        judging: judge -> seconds per second of audio.
        bound_shares: paradigm, with a baseline in brackets -> ``width x batch`` -> share of the hardware bound that
            latency records reached.
    """

    machine: str
    training: Table
    sampling: Table
    scoring: dict[str, float]
    judging: dict[str, float]
    bound_shares: Table

    def training_seconds(self, config: Mapping[str, Any]) -> float | None:
        """Seconds of one update of a cell's model; None where its operations are not known."""
        cost = cost_of(config)
        return None if cost is None else cost.update / _nearest(self.training, cost)

    def measuring_seconds(self, axis: str, config: Mapping[str, Any]) -> float | None:
        """Seconds of sampling and scoring a cell's clips; None where the operations of its sampler are not known."""
        cell = read_config(config, TimedConfig)
        scoring = self._scoring_rate(axis, cell.evaluation) * cell.evaluation.audio_seconds
        if cell.model is None:
            return scoring
        cost = cost_of(config)
        if cost is None:
            return None
        return scoring + cell.evaluation.prompts * cost.clip / _nearest(self.sampling, cost)

    def _scoring_rate(self, axis: str, evaluation: TimedEvaluation) -> float:
        """Seconds per second of audio; a judge that was never timed is taken to be as slow as the slowest."""
        rate, slowest = self.scoring.get(axis, statistics.median(self.scoring.values())), max(self.judging.values())
        if evaluation.repeats:  # draws from clips that are embedded once for all cells
            return rate
        return rate + sum(self.judging.get(judge.name, slowest) for judge in evaluation.judges)

    def bound_share(self, paradigm: str, baseline: str | None, width: int, batch: int) -> float | None:
        """Share of the bound at the nearest width and batch; None for a paradigm that was not measured."""
        shares = self.bound_shares.get(_row(paradigm, baseline), {})
        places = {tuple(map(int, key.split("x"))): share for key, share in shares.items()}
        near = min(places, key=lambda at: (abs(math.log(at[0] / width)), abs(math.log(at[1] / batch))), default=None)
        return None if near is None else places[near]


@functools.cache
def published() -> Timings:
    """The timings that come with the package."""
    return from_dict(Timings, read_json(FILE), FILE.name)


@dataclass(frozen=True)
class ModelCost:
    """Operations of a cell's model: of one update (``update``) and of sampling one clip (``clip``)."""

    paradigm: str
    width: int
    parameters: int
    update: float
    clip: float


def cost_of(config: Mapping[str, Any]) -> ModelCost | None:
    """The cost of the model that a cell's ``config`` describes.

    Returns:
        None for latents of another shape than the built-in ones, and for a paradigm that is not installed or does not
        count its operations.
    """
    if not config["data"]["representation"]["name"].startswith(BUILTIN):
        return None
    parts: dict[str, Any] = {key: config.get(key) for key in ("axis", "model", "train", "sampler", "frame_rate")}
    parts["evaluation"] = {"seconds": config["evaluation"]["seconds"]}
    try:
        return _cost(json.dumps(parts, sort_keys=True))
    except (UserError, NotImplementedError):
        return None


@functools.lru_cache(maxsize=256)
def _cost(config: str) -> ModelCost | None:
    cell = read_config(json.loads(config), TimedConfig)
    if cell.model is None or cell.train is None:
        return None
    rate = (cell.frame_rate or {}).get("hz", BUILTIN_LATENT.frame_rate_hz)
    latent, tokens = BUILTIN_LATENT.replace(frame_rate_hz=rate), CAPTIONS.text_tokens
    model = meta_model(cell.model, ModelInputs(latent, CAPTIONS.text, tokens))
    phases = model.cost(1, latent.frames(cell.evaluation.seconds), model.sampler(cell.sampler), tokens)
    return ModelCost(
        cell.model.paradigm,
        model.backbone_config.d_model,
        parameter_count(model),
        flops_per_update(model, cell.train, tokens),
        sum(phase.times * phase.flops for phase in phases),
    )


def _nearest(table: Table, cost: ModelCost) -> float:
    """The rate of a paradigm at the nearest width; the median of all paradigms where it was never measured."""
    rates = table.get(cost.paradigm)
    if rates is None:
        return statistics.median(rate for row in table.values() for rate in row.values())
    return rates[min(rates, key=lambda key: abs(math.log(int(key) / cost.width)))]


def _row(paradigm: str, baseline: str | None) -> str:
    return f"{paradigm} ({baseline})" if baseline else paradigm


def bound_shares(records: Iterable[Record], key: Callable[[Record, TimedConfig], K | None]) -> dict[K, float]:
    """The median share of the hardware bound that latency records reached, by ``key``; None leaves a record out."""
    shares = defaultdict[K, list[float]](list)
    for record in records:
        reached = record.metrics.get("bound_ratio")
        if record.axis == "latency" and reached is not None and reached.value:
            place = key(record, record.read(TimedConfig))
            if place is not None:
                shares[place].append(reached.value)
    return {place: statistics.median(values) for place, values in shares.items()}


def timings_of(records: Iterable[Record]) -> Timings:
    """The medians of good records that were made on a CPU; a training run that several studies share counts once."""
    good = [r for r in records if r.status == "ok" and r.environment.get("device", "cpu") == "cpu"]
    training, sampling = (defaultdict[tuple[str, str], list[float]](list) for _ in range(2))
    scoring, judging = (defaultdict[str, list[float]](list) for _ in range(2))
    folders = set[str]()
    for record in good:
        if record.axis == "latency" or "measuring_seconds" not in record.timing:
            continue
        cell, made = record.read(TimedConfig), 0.0
        if record.kind == "paradigm" and cell.tune is None:
            cost, run = cost_of(record.cell), record.training
            if cost is None or run is None:
                continue
            place, made = (cost.paradigm, str(cost.width)), record.timing["seconds_per_clip"]
            sampling[place].append(cost.clip / record.timing.get("sampling_seconds_per_clip", made))
            if run.folder not in folders and run.cpu_seconds:
                folders.add(run.folder)
                training[place].append(cost.update * run.updates / seconds_alone(record))
            made *= cell.evaluation.prompts
        details = record.environment.get("scoring", {})
        judged = {name: about["scoring_seconds"] for name, about in details.get("judges", {}).items()}
        for judge, seconds in judged.items():
            judging[judge].append(seconds / cell.evaluation.audio_seconds)
        rest = max(record.timing["measuring_seconds"] - made - sum(judged.values()), 0.0)
        scoring[record.axis].append(rest / cell.evaluation.audio_seconds)
    machine = statistics.mode(str(record.environment["cpu"]) for record in good)
    return Timings(
        f"{machine}, one thread per worker",
        _nested({place: statistics.median(values) for place, values in training.items()}),
        _nested({place: statistics.median(values) for place, values in sampling.items()}),
        _medians(scoring),
        _medians(judging),
        _nested(bound_shares(good, _width_and_batch)),
    )


def _width_and_batch(record: Record, cell: TimedConfig) -> tuple[str, str] | None:
    assert cell.model is not None
    return _row(cell.model.paradigm, cell.peer), f"{cell.model.backbone.d_model}x{cell.setting['batch']}"


def _nested(medians: Mapping[tuple[str, str], float]) -> Table:
    found: Table = {}
    for (first, second), value in sorted(medians.items()):
        found.setdefault(first, {})[second] = _rounded(value)
    return found


def _medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: _rounded(statistics.median(values)) for name, values in sorted(times.items())}


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def seconds_alone(record: Record) -> float:
    """Seconds of CPU time of a training run per thread of its worker.

    That is its time on a machine of its own; wall time is longer where other processes ran beside it.
    """
    assert record.training is not None
    return record.training.cpu_seconds / (record.environment.get("threads") or 1)


if __name__ == "__main__":
    write_json(FILE, to_dict(timings_of(all_records(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))))
    print(FILE)
