"""Time and memory of the cells of a study, from earlier records and, without them, from the published ones."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ....common.config import config_hash, to_dict
from ...analysis.records import all_records
from ...study.axis import Estimate
from ...study.cells import Cell
from .sizes import STATE
from .timings import TimedConfig, cost_of, published

STARTING = 10.0  # seconds in which a worker starts, loads the data and scores the reference set


def estimate_scored(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Estimates of cells that train nothing and sample nothing, by cell id, and a sentence on how they were made."""
    ids, usual = {cell.id for cell in cells}, published()
    held = {r.id: r.timing.get("measuring_seconds") for r in all_records(results) if r.id in ids}
    found = {cell.id: Estimate(held.get(cell.id) or usual.measuring_seconds(cell.axis, cell.config)) for cell in cells}
    return found, f"Times: earlier records of the same cells; without one the published records ({usual.machine})."


def estimate_trained(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Estimates of cells whose arms are trained, by cell id, and a sentence on how they were made.

    A group trains once: its training counts for the cell that needs most updates. Where the validation loss ends it,
    the most that it may take is counted.
    """
    updates, measuring = _earlier(results)
    usual = published()
    # Last is the end of training, whose number is not known where wall time or the validation loss ends it.
    last = {cell.group: cell for cell in sorted(cells, key=lambda cell: cell.at_updates or cell.updates)}
    found = {}
    for cell in cells:
        seconds = measuring.get(_measuring_key(cell.axis, cell.read(TimedConfig)))
        if seconds is None:
            seconds = usual.measuring_seconds(cell.axis, cell.config)
        before = _before_measuring(cell, updates) if cell is last[cell.group] else 0.0
        cost = cost_of(cell.config) if cell.kind == "paradigm" else None
        found[cell.id] = Estimate(
            None if seconds is None or before is None else before + seconds,
            None if cost is None else cost.parameters * STATE,
        )
    return found, (
        f"Times: from your earlier records of the same model and sampler, or else from the published records "
        f"({usual.machine}), scaled by operations. Memory: weights and optimiser, without activations."
    )


def _before_measuring(cell: Cell, updates: dict[str, float]) -> float | None:
    """Seconds before a group's first measurement, training included."""
    if cell.kind != "paradigm":
        return STARTING
    config = cell.read(TimedConfig)
    if config.train is not None and config.train.budget.by_clock:
        return STARTING + config.train.budget.amount
    update = updates.get(_training_key(config)) or published().training_seconds(cell.config)
    return None if update is None else STARTING + update * (cell.at_updates or cell.updates)


def _earlier(results: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds per update and of measuring, by what decides them: medians of all good records."""
    updates, measuring = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for record in all_records(results):
        if record.status != "ok" or "measuring_seconds" not in record.timing:
            continue
        config, training = record.read(TimedConfig), record.training
        measuring[_measuring_key(record.axis, config)].append(record.timing["measuring_seconds"])
        if training is not None and training.updates:
            updates[_training_key(config)].append(training.wall_seconds / training.updates)
    medians = [{key: statistics.median(values) for key, values in table.items()} for table in (updates, measuring)]
    return medians[0], medians[1]


def _training_key(config: TimedConfig) -> str:
    """A hash of what decides the time of an update: the model, and how much of what is in a batch."""
    assert config.train is not None
    return config_hash([to_dict(config.model), config.train.batch, config.train.seconds, config.frame_rate])


def _measuring_key(axis: str, config: TimedConfig) -> str:
    """A hash of what decides the time of a measurement: system, sampler, controls, how much audio, and its judges."""
    evaluation = config.evaluation
    system = [config.reference, to_dict(config.model), config.sampler, config.frame_rate, config.scenario]
    judges = [judge.name for judge in evaluation.judges]
    return config_hash([axis, *system, evaluation.prompts, evaluation.seconds, to_dict(evaluation.evaluator), judges])
