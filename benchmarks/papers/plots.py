"""A declared figure, drawn: what the paper prints in a table to the left, ours to the right, never in the same axes.

The same bytes when it is drawn again from the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.published import Stated
from ..metrics.metric import Metric
from ..report.style import GREY, arm_colours, canvas, log_ticks, natural
from .selection import Choice, Library, fits, mixed, value_at
from .table_specs import Curve, Plot, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>P"


@dataclass(frozen=True)
class Point:
    """One choice of records (an arm's seeds at one setting) at its place in a figure."""

    line: tuple[Any, ...]
    x: Any
    y: Any
    choice: Choice


@dataclass(frozen=True)
class Panel:
    """One set of axes: a metric by its full name, and where its points are."""

    metric: str
    points: list[tuple[Point, Metric]]


def panels(sheet: Sheet, library: Library) -> tuple[list[Panel], str]:
    """The panels of a figure, and why there are none."""
    assert sheet.plot is not None
    points = _points(sheet, sheet.plot, library)
    why = mixed((point.choice for point in points), (*sheet.varies, *_own_axes(sheet.plot)))
    if why or not points:
        return [], why
    found = []
    for wanted in sheet.plot.metrics:
        for name in dict.fromkeys(name for point in points for name in point.choice.metrics(wanted)):
            scored = [(point, point.choice.figure(name)) for point in points]
            found.append(Panel(name, [(point, metric) for point, metric in scored if metric.value is not None]))
    return found, "" if found else f"no record of {sheet.study} has {' or '.join(sheet.plot.metrics)}"


def draw(sheet: Sheet, found: Sequence[Panel], stated: Sequence[Stated], apart: bool) -> Figure | None:
    """The figure; None where there is nothing to draw."""
    assert sheet.plot is not None
    curve = sheet.plot.stated
    left = [metric for metric in curve.metrics if _curve(curve, stated, metric)] if curve else []
    count = len(left) + len(found)
    if not count:
        return None
    columns = min(count, 4)
    figure, axes = canvas(-(-count // columns), columns, 3.6 * columns, 3.0 * -(-count // columns))
    places = list(axes.flat)
    for metric, axis in zip(left, places):
        assert curve is not None
        _draw_stated(axis, curve, stated, metric, sheet.plot)
    for panel, axis in zip(found, places[len(left) :]):
        (_heat if sheet.plot.y else _lines)(axis, panel, sheet.plot)
        axis.set_title(f"here: {panel.metric}" + (" (not comparable)" if apart and left else ""), fontsize=8)
    for axis in places[count:]:
        axis.set_visible(False)
    return figure


def _points(sheet: Sheet, plot: Plot, library: Library) -> list[Point]:
    """One point per arm and per value of what varies within it along the axes and lines."""
    records = [r for r in library.records(sheet.study) if r.kind == "paradigm" and fits(r, plot.cell)]
    records = [r for r in records if not plot.arms or r.system in plot.arms]
    keys = [key for key in (plot.x, plot.y, *plot.lines) if key and key != "system"]
    places = dict.fromkeys((r.system, *(value_at(r, key) for key in keys)) for r in records)
    found = []
    for system, *values in places:
        choice = library.choose(sheet.study, system, {**plot.cell, **dict(zip(keys, values))})
        if choice.records:
            first = choice.records[0]
            line = tuple(value_at(first, key) for key in plot.lines)
            found.append(Point(line, value_at(first, plot.x), value_at(first, plot.y) if plot.y else None, choice))
    return [point for point in found if point.x is not None]


def _own_axes(plot: Plot) -> list[str]:
    """What a figure draws along an axis or as lines may differ between its records."""
    return [key for key in (plot.x, plot.y, *plot.lines) if key]


def _lines(axis: Any, panel: Panel, plot: Plot) -> None:
    numbers = all(isinstance(point.x, (int, float)) for point, _ in panel.points)
    order = sorted({point.x for point, _ in panel.points}, key=lambda x: x if numbers else natural(str(x)))
    colours = _colours(panel)
    for i, line in enumerate(sorted({point.line for point, _ in panel.points}, key=lambda line: natural(str(line)))):
        own = [(p.x if numbers else order.index(p.x), *_ends(m)) for p, m in panel.points if p.line == line]
        xs, lows, ys, highs = zip(*sorted(own))
        errors = [[y - low for y, low in zip(ys, lows)], [high - y for y, high in zip(ys, highs)]]
        style = f"{MARKERS[i % len(MARKERS)]}-" if numbers else "o"
        look: dict[str, Any] = {"color": colours.get(line), "capsize": 2, "markersize": 4, "linewidth": 1}
        axis.errorbar(xs, ys, errors, fmt=style, label=named(line, plot.lines), **look)
    if not numbers:
        axis.set_xticks(range(len(order)), [str(x) for x in order], rotation=20, fontsize=7)
    _finish(axis, plot, plot.x, numbers)


def named(line: tuple[Any, ...], keys: Sequence[str]) -> str:
    """A line in words; of a setting that is on or off, its name where it is on; nothing of one that records lack."""
    said = [(key, value) for key, value in zip(keys, line) if value not in (None, False)]
    words = [key.rpartition(".")[2] if value is True else value for key, value in said]
    return ", ".join(map(str, words))


def _ends(metric: Metric) -> tuple[float, float, float]:
    """Low end, value, high end; an end that is missing is the value."""
    assert metric.value is not None
    value = metric.value
    low, high = (value if end is None else end for end in (metric.low, metric.high))
    return min(low, value), value, max(high, value)


def _finish(axis: Any, plot: Plot, x: str, numbers: bool = True) -> None:
    for name, scaled in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in plot.log and (numbers or name == "y"):
            getattr(axis, f"set_{name}scale")("log")
            log_ticks(scaled)
    axis.set_xlabel(x.rpartition(".")[2].replace("_", " "), fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    if len(axis.get_legend_handles_labels()[1]) > 1 and x != "system":
        axis.legend(fontsize=6, frameon=False)


def _heat(axis: Any, panel: Panel, plot: Plot) -> None:
    import numpy as np

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


def _draw_stated(axis: Any, curve: Curve, stated: Sequence[Stated], metric: str, plot: Plot) -> None:
    for i, (name, points) in enumerate(
        sorted(_curve(curve, stated, metric).items(), key=lambda line: natural(line[0]))
    ):
        xs, ys = zip(*sorted(points))
        label = f"{curve.lines.replace('_', ' ')} {name}".strip() if curve.lines != "system" else name
        axis.plot(
            xs, ys, f"{MARKERS[i % len(MARKERS)]}--", color=GREY, markersize=4, linewidth=1, mfc="white", label=label
        )
    axis.set_title(f"published: {metric}", fontsize=8, style="italic")
    _finish(axis, plot, curve.x)


def _curve(curve: Curve, stated: Sequence[Stated], metric: str) -> dict[str, list[tuple[float, float]]]:
    """Line -> its published points."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in stated:
        if one.table == curve.table and one.metric == metric and one.number is not None and curve.x in one.setting:
            line = one.system if curve.lines == "system" else one.setting.get(curve.lines, "")
            found.setdefault(line, []).append((float(one.setting[curve.x]), one.number))
    return found


def _colours(panel: Panel) -> Mapping[tuple[Any, ...], Any]:
    """Lines of one paradigm each have its colour."""
    arms = {str(p.line): str(value_at(p.choice.records[0], "model.paradigm") or "") for p, _ in panel.points}
    colours = arm_colours(arms)
    return {point.line: colours[str(point.line)] for point, _ in panel.points}
