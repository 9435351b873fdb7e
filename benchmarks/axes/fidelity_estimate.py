"""How long a fidelity study will take, from what its like took before."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.axes.base import Estimate
from benchmarks.cells import Cell
from benchmarks.records import Record, load_records
from common.config import config_hash

BYTES_PER_PARAMETER = 20  # fp32 weights, gradients, two moments of AdamW, EMA; activations are left out


def estimate(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Training at the median rate of earlier records of the same model on the same batches, then measuring.

    A group trains once: its training counts for the cell that needs most updates.
    """
    rates, measuring, sizes = _known(results, cells[0].axis if cells else "")
    longest = {cell.group: max(c.at_updates or 0 for c in cells if c.group == cell.group) for cell in cells}
    found = {}
    for cell in cells:
        rate, judged = rates.get(_model_key(cell.config)), measuring.get(cell.kind)
        trains = cell.kind == "paradigm" and (cell.at_updates or 0) == longest[cell.group]
        training = _training_seconds(cell, rate) if trains else 0.0
        seconds = None if training is None or judged is None else training + judged
        size = sizes.get(_model_key(cell.config))
        found[cell.id] = Estimate(seconds, None if size is None else size * BYTES_PER_PARAMETER)
    return found, (
        "Times: the median of earlier records of the same model on the same batches (? without one); the training "
        "that cells share counts for the last of them. Memory: weights and optimiser, without activations."
    )


def _training_seconds(cell: Cell, seconds_per_update: float | None) -> float | None:
    """Of the whole run, which a budget in wall time gives away."""
    if cell.at_updates is None:
        return float(cell.config["train"]["budget"]["amount"])
    return None if seconds_per_update is None else seconds_per_update * cell.at_updates


def _known(results: Path, axis: str) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
    """Seconds per update and parameters by model, and seconds of measuring by kind of system, of all studies."""
    rates, measuring = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    sizes: dict[str, int] = {}
    for record in _records(results, axis):
        if "measuring_seconds" in record.timing:
            measuring[record.kind].append(record.timing["measuring_seconds"])
        training = record.training
        if training is not None and training.updates:
            rates[_model_key(record.cell)].append(training.wall_seconds / training.updates)
            sizes[_model_key(record.cell)] = sum(training.parameters.values())
    medians = [{key: statistics.median(values) for key, values in table.items()} for table in (rates, measuring)]
    return medians[0], medians[1], sizes


def _records(results: Path, axis: str) -> list[Record]:
    """Good ones of fidelity and of ``axis``, which trains and measures as fidelity does."""
    folders, wanted = sorted(path.parent for path in results.glob("*/records")), ("fidelity", axis)
    return [r for folder in folders for r in load_records(folder)[0] if r.axis in wanted and r.status == "ok"]


def _model_key(config: dict[str, Any]) -> str:
    """What decides the time of an update: the model, and how much of what is in a batch."""
    train = config.get("train", {})
    return config_hash([config.get("model"), train.get("batch"), train.get("seconds"), config.get("frame_rate")])
