"""Synthetic records of small studies, for tests of papers' pages and of claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash

REPOSITORY = Path(__file__).parent.parent


def quality(
    results: Path,
    study: str,
    arm: str,
    scores: Mapping[str, Sequence[float]],
    seed: int = 0,
    better: Mapping[str, str] | None = None,
    **settings: Any,
) -> Record:
    """Save a record of fidelity; ``scores``: metric -> one per prompt; ``settings`` by dotted key, ``__`` for dots."""
    cell: dict[str, Any] = {
        "axis": "fidelity", "version": 1, "data": {"corpus": {"name": "builtin"}},
        "evaluation": {"prompts": 8, "seconds": 4.0, "evaluator": {"name": "builtin", "identity": "e"}},
        "model": {"paradigm": arm.partition("-")[0], "options": {}, "backbone": {"n_layers": 4, "d_model": 128}},
        "train": {"updates": 10, "batch": 16, "seconds": 4.0, "warmup": 0, "seed": seed},
        "sampler": {"label": arm}, "seed": seed,
    }  # fmt: skip
    for key, value in settings.items():
        put(cell, key.replace("__", "."), value)
    figures = {
        name: metric(sum(v) / len(v), low=min(v), high=max(v), n=len(v), better=(better or {}).get(name, "higher"))
        for name, v in scores.items()
    }
    rows = [
        {"item": f"p{i}", **{name: v[i] for name, v in scores.items()}} for i in range(len(next(iter(scores.values()))))
    ]
    return save(results, study, arm, cell, figures, seed, rows)


def speed(results: Path, study: str, arm: str, seconds: float, spread: float = 0.02, **settings: Any) -> Record:
    """Save a record of latency."""
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
    return save(results, study, arm, cell, figures, 0, [{"item": "s", "wall_s": seconds}])


def save(
    results: Path, study: str, arm: str, cell: dict[str, Any], figures: Mapping[str, Any], seed: int, rows: Any
) -> Record:
    """Write one record as a run would."""
    (results / study / "records").mkdir(parents=True, exist_ok=True)
    axis = cell["axis"]
    record = Record(
        config_hash(cell), study, axis, arm, "paradigm", seed, "ok", cell, "2026-01-01T00:00:00",
        at_updates=cell.get("train", {}).get("updates"),
        metrics=dict(figures), command=f"bench run {study}",
    )  # fmt: skip
    return save_record(results / study, record, rows)


def put(cell: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        cell = cell.setdefault(parent, {})
    cell[last] = value
