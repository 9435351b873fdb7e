"""What papers state about speed, from the one table of published results: shown beside ours, never mixed with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ....analysis import published

METRICS = ("throughput_samples_per_s", "crossover_batch_size")
PAPER = "tal2025"  # its text gives figure 5's ends; figures themselves are images


@dataclass(frozen=True)
class Stated:
    """One stated figure; numbers that the paper leaves out are None. It holds for ``batch`` to ``until_batch``."""

    paper: str
    source: str
    system: str
    paradigm: str
    hardware: str
    metric: str
    value: float
    duration_s: float | None
    layers: float | None
    batch: float | None
    steps: float | None
    until_batch: float | None


def stated(results: Path) -> list[Stated]:
    """All stated figures; none where the results folder has no such file.

    Raises:
        UserError: a broken file of published results.
    """
    own = [one for one in published.results(results) if one.paper == PAPER and one.value]
    found = [one for one in own if one.metric in METRICS]
    plateau = next((one.number for one in own if one.metric == "throughput_plateau_batch"), None)
    settings = published.hyperparameters(results) if found else []
    layers = next(
        (float(s.value) for s in settings if (s.paper, s.component, s.name) == (PAPER, "backbone", "layers")), None
    )
    largest = max((_number(one.setting.get("batch", "")) or 0 for one in found), default=0) or None
    return [_view(one, layers, plateau, largest) for one in found]


def _view(one: published.Stated, layers: float | None, plateau: float | None, largest: float | None) -> Stated:
    """``batch=plateau`` is from where the caption says that it begins to the largest batch of the figure."""
    setting = one.setting
    flat = setting.get("batch") == "plateau"
    steps = setting.get("steps", "")
    assert one.number is not None
    return Stated(
        published.NAMES[one.paper], one.table, f"{one.system}, {setting['solver']} {steps}" if steps else one.system,
        one.paradigm, setting.get("gpu", ""), one.metric, one.number,
        _number(setting.get("duration_s", "")), _number(setting.get("layers", "")) or layers,
        plateau if flat else _number(setting.get("batch", "")), _number(steps), largest if flat else None,
    )  # fmt: skip


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
