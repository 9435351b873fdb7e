"""Synthetic records of small studies, for tests of papers' pages and of claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.metrics.catalogue import about
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash

MARGIN = 0.05  # of every metric that ``ToyValidation`` knows
REPOSITORY = Path(__file__).parent.parent


def quality(
    results: Path,
    study: str,
    arm: str,
    scores: Mapping[str, Sequence[float]],
    seed: int = 0,
    better: Mapping[str, str] | None = None,
    kind: str = "paradigm",
    at_updates: int | None = None,
    **settings: Any,
) -> Record:
    """Save a record of fidelity.

    Args:
        scores: metric -> one per prompt.
        better: metric -> its better end, where that is not the catalogue's.
        at_updates: of a snapshot; None: the end of the training, of 10 updates.
        settings: by dotted key, ``__`` for dots.
    """
    cell: dict[str, Any] = {
        "axis": "fidelity", "version": 1, "data": {"corpus": {"name": "builtin"}},
        "evaluation": {
            "prompts": 8, "seconds": 4.0, "evaluator": {"name": "builtin", "identity": "e"},
            "judges": [{"name": "musicnn", "identity": "m"}, {"name": "logmel", "identity": "l"}],
        },
        "model": {"paradigm": arm.partition("-")[0], "options": {}, "backbone": {"n_layers": 4, "d_model": 128}},
        "train": {"updates": 10, "batch": 16, "seconds": 4.0, "warmup": 0, "seed": seed},
        "sampler": {"label": arm}, "seed": seed,
    }  # fmt: skip
    if kind == "reference":
        cell = {key: cell[key] for key in ("axis", "version", "data", "evaluation", "seed")} | {"reference": arm}
    if at_updates is not None:
        cell["at_updates"] = at_updates
    for key, value in settings.items():
        put(cell, key.replace("__", "."), value)
    ends = {name: (better or {}).get(name, about(name).better) for name in scores}
    figures = {
        name: metric(sum(v) / len(v), low=min(v), high=max(v), n=len(v), better=ends[name])
        for name, v in scores.items()
    }
    rows = [
        {"item": f"p{i}", **{name: v[i] for name, v in scores.items()}} for i in range(len(next(iter(scores.values()))))
    ]
    return save(results, study, arm, cell, figures, seed, rows, kind)


def speed(
    results: Path, study: str, arm: str, seconds: float, spread: float = 0.02, device: str = "", **settings: Any
) -> Record:
    """Save a record of latency, measured on ``device``."""
    cell: dict[str, Any] = {
        "axis": "latency", "version": 1, "setting": {"batch": 1, "hardware": "toy", "device": "cpu", "seconds": 10.0},
        "model": {"paradigm": arm.partition("-")[0], "options": {}, "backbone": {"n_layers": 4, "d_model": 128}},
        "sampler": {"label": arm}, "seed": 0,
    }  # fmt: skip
    for key, value in settings.items():
        put(cell, key.replace("__", "."), value)
    batch = cell["setting"]["batch"]
    ends = (seconds * (1 - spread), seconds * (1 + spread))
    figures = {
        "latency_s": metric(seconds, low=ends[0], high=ends[1], n=11, unit="s", better="lower"),
        "throughput_clips_per_s": metric(
            batch / seconds, low=batch / ends[1], high=batch / ends[0], n=11, better="higher"
        ),
    }
    return save(results, study, arm, cell, figures, 0, [{"item": "s", "wall_s": seconds}], device=device)


def save(
    results: Path,
    study: str,
    arm: str,
    cell: dict[str, Any],
    figures: Mapping[str, Any],
    seed: int,
    rows: Any,
    kind: str = "paradigm",
    device: str = "",
) -> Record:
    """Write one record as a run would."""
    (results / study / "records").mkdir(parents=True, exist_ok=True)
    axis = cell["axis"]
    record = Record(
        config_hash(cell), study, axis, arm, kind, seed, "ok", cell, "2026-01-01T00:00:00",
        at_updates=cell.get("at_updates", cell.get("train", {}).get("updates")),
        metrics=dict(figures), command=f"bench run {study}", environment={"device": device} if device else {},
    )  # fmt: skip
    return save_record(results / study, record, rows)


def put(cell: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        cell = cell.setdefault(parent, {})
    cell[last] = value


class ToyValidation:
    """Stands for the validation of a corpus: every metric is valid there, but for those with a problem."""

    def __init__(self, problems: Mapping[str, str] | None = None, margins: Mapping[str, float] | None = None) -> None:
        self.problems, self.margins = dict(problems or {}), dict(margins or {})

    @property
    def metrics(self) -> ToyValidation:
        return self

    def __contains__(self, name: str) -> bool:
        return True

    def problem(self, name: str) -> str:
        """Why a metric must not decide; empty where it may."""
        return self.problems.get(name, "")

    def margin(self, name: str) -> float:
        """The largest difference that counts as none."""
        return self.margins.get(name, MARGIN)

    def moves_with_loudness(self, name: str) -> bool:
        """Never."""
        return False
