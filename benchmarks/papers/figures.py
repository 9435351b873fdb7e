"""A declared figure, drawn: to the left what the paper prints in a table, to the right ours, never in the same axes.

Drawn again from the same records, a figure has the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.published import PublishedResult
from ..metrics.metric import Metric
from ..report.style import GREY, arm_colours, canvas, log_ticks, natural
from .record_index import ArmRecords, RecordIndex, has_values, value_at, why_apart
from .table_specs import FigureSpec, PublishedCurve, TableSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>P"


@dataclass(frozen=True)
class FigurePoint:
    """The records of one arm at one setting, and their place in a figure."""

    line: tuple[Any, ...]
    x: Any
    y: Any
    arm: ArmRecords


@dataclass(frozen=True)
class FigurePanel:
    """One set of axes: the full name of a metric, and its points with their values."""

    metric: str
    points: list[tuple[FigurePoint, Metric]]


def find_panels(spec: TableSpec, index: RecordIndex) -> tuple[list[FigurePanel], str]:
    """The panels of a figure, and why there are none."""
    assert spec.plot is not None
    points = _points(spec, spec.plot, index)
    why = why_apart((point.arm for point in points), spec.free)
    if why or not points:
        return [], why
    found = []
    for wanted in spec.plot.metrics:
        for name in dict.fromkeys(name for point in points for name in point.arm.metrics(wanted)):
            values = [(point, point.arm.value(name)) for point in points]
            found.append(FigurePanel(name, [(point, metric) for point, metric in values if metric.value is not None]))
    return found, "" if found else f"no record of {spec.study} has {' or '.join(spec.plot.metrics)}"


def draw(
    spec: TableSpec, panels: Sequence[FigurePanel], published: Sequence[PublishedResult], apart: bool
) -> Figure | None:
    """The figure; None where there is nothing to draw.

    Args:
        apart: whether our values cannot be compared with the published ones.
    """
    assert spec.plot is not None
    curve = spec.plot.published
    left = [metric for metric in curve.metrics if published_points(curve, published, metric)] if curve else []
    count = len(left) + len(panels)
    if not count:
        return None
    columns, rows = min(count, 4), -(-count // 4)
    figure, axes = canvas(rows, columns, 3.6 * columns, 3.0 * rows)
    places = list(axes.flat)
    for metric, axis in zip(left, places):
        assert curve is not None
        _draw_published(axis, curve, published_points(curve, published, metric), spec.plot)
        axis.set_title(f"published: {metric}", fontsize=8, style="italic")
    for panel, axis in zip(panels, places[len(left) :]):
        (_draw_heat_map if spec.plot.y else _draw_lines)(axis, panel, spec.plot)
        axis.set_title(f"here: {panel.metric}" + (" (not comparable)" if apart and left else ""), fontsize=8)
    for axis in places[count:]:
        axis.set_visible(False)
    return figure


def _points(spec: TableSpec, plot: FigureSpec, index: RecordIndex) -> list[FigurePoint]:
    records = [r for r in index.records(spec.study) if r.kind == "paradigm" and has_values(r, plot.cell)]
    records = [r for r in records if not plot.arms or r.system in plot.arms]
    keys = [key for key in (plot.x, plot.y, *plot.lines) if key and key != "system"]
    found = []
    for system, *values in dict.fromkeys((r.system, *(value_at(r, key) for key in keys)) for r in records):
        arm = index.find(spec.study, system, {**plot.cell, **dict(zip(keys, values))})
        if arm.records:
            first = arm.records[0]
            line = tuple(value_at(first, key) for key in plot.lines)
            found.append(FigurePoint(line, value_at(first, plot.x), value_at(first, plot.y) if plot.y else None, arm))
    return [point for point in found if point.x is not None]


def _draw_lines(axis: Any, panel: FigurePanel, plot: FigureSpec) -> None:
    numbers = all(isinstance(point.x, (int, float)) for point, _ in panel.points)
    order = sorted({point.x for point, _ in panel.points}, key=lambda x: x if numbers else natural(str(x)))
    colours = _colours(panel)
    for i, line in enumerate(sorted({point.line for point, _ in panel.points}, key=lambda line: natural(str(line)))):
        own = [(p.x if numbers else order.index(p.x), *_ends(m)) for p, m in panel.points if p.line == line]
        xs, lows, ys, highs = zip(*sorted(own))
        errors = [[y - low for y, low in zip(ys, lows)], [high - y for y, high in zip(ys, highs)]]
        style = f"{MARKERS[i % len(MARKERS)]}-" if numbers else "o"
        look: dict[str, Any] = {"color": colours.get(line), "capsize": 2, "markersize": 4, "linewidth": 1}
        axis.errorbar(xs, ys, errors, fmt=style, label=line_label(line, plot.lines), **look)
    if not numbers:
        axis.set_xticks(range(len(order)), [str(x) for x in order], rotation=20, fontsize=7)
    _finish(axis, plot, plot.x, numbers)


def line_label(line: tuple[Any, ...], keys: Sequence[str]) -> str:
    """A line in words: the name of a setting that is on, the value of any other; nothing for one that records lack."""
    given = [(key, value) for key, value in zip(keys, line) if value not in (None, False)]
    return ", ".join(key.rpartition(".")[2] if value is True else str(value) for key, value in given)


def _ends(metric: Metric) -> tuple[float, float, float]:
    assert metric.value is not None
    value = metric.value
    low, high = (value if end is None else end for end in (metric.low, metric.high))
    return min(low, value), value, max(high, value)


def _finish(axis: Any, plot: FigureSpec, x: str, numbers: bool = True) -> None:
    for name, scaled in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in plot.log and (numbers or name == "y"):
            getattr(axis, f"set_{name}scale")("log")
            log_ticks(scaled)
    axis.set_xlabel(x.rpartition(".")[2].replace("_", " "), fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    if len(axis.get_legend_handles_labels()[1]) > 1 and x != "system":
        axis.legend(fontsize=6, frameon=False)


def _draw_heat_map(axis: Any, panel: FigurePanel, plot: FigureSpec) -> None:
    xs = sorted({point.x for point, _ in panel.points})
    ys = sorted({point.y for point, _ in panel.points})
    grid = np.full((len(ys), len(xs)), np.nan)
    for point, metric in panel.points:
        grid[ys.index(point.y), xs.index(point.x)] = metric.value
    axis.imshow(grid, origin="lower", aspect="auto", cmap="viridis")
    for (row, column), value in np.ndenumerate(grid):
        axis.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=7, color="white")
    axis.set_xticks(range(len(xs)), [str(x) for x in xs], fontsize=7)
    axis.set_yticks(range(len(ys)), [str(y) for y in ys], fontsize=7)
    axis.set_xlabel(plot.x.rpartition(".")[2].replace("_", " "), fontsize=8)
    axis.set_ylabel(plot.y.rpartition(".")[2].replace("_", " "), fontsize=8)


def _draw_published(
    axis: Any, curve: PublishedCurve, lines: Mapping[str, Sequence[tuple[float, float]]], plot: FigureSpec
) -> None:
    for i, (name, points) in enumerate(sorted(lines.items(), key=lambda line: natural(line[0]))):
        xs, ys = zip(*sorted(points))
        label = f"{curve.lines.replace('_', ' ')} {name}".strip() if curve.lines != "system" else name
        look: dict[str, Any] = {"color": GREY, "markersize": 4, "linewidth": 1, "mfc": "white"}
        axis.plot(xs, ys, f"{MARKERS[i % len(MARKERS)]}--", label=label, **look)
    _finish(axis, plot, curve.x)


def published_points(
    curve: PublishedCurve, published: Sequence[PublishedResult], metric: str
) -> dict[str, list[tuple[float, float]]]:
    """Line -> its published points (x, value)."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in published:
        if one.table == curve.table and one.metric == metric and one.number is not None and curve.x in one.setting:
            line = one.system if curve.lines == "system" else one.setting.get(curve.lines, "")
            found.setdefault(line, []).append((float(one.setting[curve.x]), one.number))
    return found


def _colours(panel: FigurePanel) -> Mapping[tuple[Any, ...], Any]:
    """Line -> colour; lines of one paradigm each have its colour."""
    models = {str(point.line): point.arm.records[0].config.model for point, _ in panel.points}
    colours = arm_colours({line: model.paradigm if model else "" for line, model in models.items()})
    return {point.line: colours[str(point.line)] for point, _ in panel.points}
