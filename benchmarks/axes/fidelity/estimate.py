"""How long a study that trains will take: by the user's own records, and where there are none by the published ones."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....common.config import config_hash
from ...analysis.records import all_records
from ...run.estimate.timings import published, work_of
from ...study.axis import Estimate
from ...study.cells import Cell

BYTES_PER_PARAMETER = 20  # fp32 weights, gradients, two moments of AdamW, EMA; activations are left out
OPENING = 10.0  # seconds in which a worker starts, loads the data and scores the reference set
Config = dict[str, Any]


def estimate(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Training plus measuring.

    A group trains once: its training counts for the cell that needs most updates.
    """
    updates, measuring = _known(results)
    usual = published()
    last = {cell.group: cell for cell in sorted(cells, key=lambda cell: cell.at_updates or 0)}
    found = {}
    for cell in cells:
        seconds = measuring.get(_measured_key(cell.axis, cell.config))
        if seconds is None:
            seconds = usual.measuring_seconds(cell.axis, cell.config)
        before = _opening(cell, updates) if cell is last[cell.group] else 0.0
        work = work_of(cell.config) if cell.kind == "paradigm" else None
        found[cell.id] = Estimate(
            None if seconds is None or before is None else before + seconds,
            None if work is None else work.parameters * BYTES_PER_PARAMETER,
        )
    return found, (
        f"Times: from your earlier records of the same model and sampler, or else from the published records "
        f"({usual.machine}), scaled by operations. Memory: weights and optimiser, without activations."
    )


def _opening(cell: Cell, updates: dict[str, float]) -> float | None:
    """Seconds before a group's first measurement, training included."""
    if cell.kind != "paradigm":
        return OPENING
    if cell.at_updates is None:  # wall time ends the training
        return OPENING + float(cell.config["train"]["budget"]["amount"])
    update = updates.get(_trained_key(cell.config)) or published().training_seconds(cell.config)
    return None if update is None else OPENING + update * cell.at_updates


def _known(results: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds per update by model, and of measuring by system and setting: medians of all good records."""
    updates, measuring = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for record in all_records(results):
        if record.status != "ok" or "measuring_seconds" not in record.timing:
            continue
        measuring[_measured_key(record.axis, record.cell)].append(record.timing["measuring_seconds"])
        training = record.training
        if training is not None and training.updates:
            updates[_trained_key(record.cell)].append(training.wall_seconds / training.updates)
    medians = [{key: statistics.median(values) for key, values in table.items()} for table in (updates, measuring)]
    return medians[0], medians[1]


def _trained_key(config: Config) -> str:
    """What decides the time of an update: the model, and how much of what is in a batch."""
    train = config.get("train", {})
    return config_hash([config.get("model"), train.get("batch"), train.get("seconds"), config.get("frame_rate")])


def _measured_key(axis: str, config: Config) -> str:
    """What decides the time of a measurement: the system, its sampler and controls, and how much audio is scored."""
    system = [config.get(key) for key in ("reference", "model", "sampler", "frame_rate", "scenario")]
    eval_set = config["evaluation"]
    return config_hash([axis, *system, eval_set.get("prompts"), eval_set.get("seconds"), eval_set.get("evaluator")])
