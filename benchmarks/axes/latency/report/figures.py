"""Figures of a sweep: times against the swept settings, a heat map, the roofline, and the share of the bound reached.

One colour per arm. Filled markers and full lines are our engine, open ones and dashes a baseline; dotted lines show the
bound. Grey: published numbers, and limits of the hardware. Matplotlib is imported where something is drawn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....report.style import GREY, canvas, log_ticks
from . import units
from .crossover import EQUAL, PublishedSpeed, matching
from .sweeps import LatencyPoint, Sweep, number, rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Colours = Mapping[str, Any]
Value = Callable[[LatencyPoint], float | None]
MARKERS = "osD^vP"
HEAT = ("iterations", "diffusion_steps")
PANELS = 4  # largest number of rows and columns in a figure
SCALES: dict[str, tuple[Value, Value]] = {  # y axis -> measured, and by the bound
    "clips per second": (lambda p: p.value("throughput_clips_per_s"), lambda p: _per_second(p.value("bound_s"), p)),
    "seconds per batch": (lambda p: p.value("latency_s"), lambda p: p.value("bound_s")),
}


def horizontal(sweep: Sweep) -> list[str]:
    """The swept setting with the most values, for the horizontal axis; several if they have equally many."""
    counts = {name: len(_values(sweep.points, name)) for name in ("batch", *sweep.swept) if name in sweep.swept}
    most = max(counts.values(), default=0)
    return [name for name, count in counts.items() if count == most > 1 and name not in HEAT]


def against(sweep: Sweep, setting: str, colours: Colours, published: Sequence[PublishedSpeed]) -> Figure:
    """Latency (against batch: throughput too) against a setting; a row per value of another one, a column per batch."""
    other = next((name for name in EQUAL if name in sweep.swept and name != setting), "")
    rows = _panels(sweep.points, other)
    batches = [] if setting == "batch" else _panels(sweep.points, "batch" if "batch" in sweep.swept else "")
    count = len(batches) or len(SCALES)
    figure, axes = canvas(len(rows), count, 3.6 * count + 2.6, 3.3 * len(rows) + 0.3)
    for line, (name, points) in zip(axes, rows):
        for axis, y in zip(line, SCALES if setting == "batch" else ()):
            _panel(axis, sweep, points, (setting, other), y, colours)
            axis.set_title(name, fontsize=9)
        for axis, (batch, own) in zip(line, batches):
            _panel(
                axis, sweep, [p for p in own if p in points], (setting, "batch", other), "seconds per batch", colours
            )
            axis.set_title(", ".join(filter(None, (batch, name))), fontsize=9)
    for axis in axes[:, 0] if setting == "batch" else ():
        _published(axis, matching(sweep, published))
    named = {name: handle for axis in axes.flat for handle, name in zip(*axis.get_legend_handles_labels())}
    legend = figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_fontstyle("italic" if "stated" in text.get_text() else "normal")
    return figure


def _panel(
    axis: Any, sweep: Sweep, points: Sequence[LatencyPoint], settings: tuple[str, ...], y: str, colours: Colours
) -> None:
    """One line per series against the first of ``settings``, and its bound; the others are the same in the panel."""
    setting, (value, bound) = settings[0], SCALES[y]
    found: dict[str, list[LatencyPoint]] = {}
    for point in points:
        if point.good and number(point.settings.get(setting)) > 0:
            found.setdefault(sweep.label(point, *settings), []).append(point)
    drawn: dict[tuple[str, str], int] = {}
    for name, line in found.items():
        line.sort(key=lambda p: number(p.settings[setting]))
        kind, colour = (line[0].paradigm, line[0].baseline), colours[line[0].arm]
        nth = drawn[kind] = drawn.get(kind, -1) + 1
        shape, style = MARKERS[nth % len(MARKERS)], {"color": colour, "linewidth": 1.4, "markersize": 4.5}
        xs, ys = [number(p.settings[setting]) for p in line], [value(p) for p in line]
        if line[0].baseline:
            axis.plot(xs, ys, f"{shape}--", label=name, mfc="white", **style)
        else:
            axis.plot(xs, ys, f"{shape}-", label=name, **style)
            axis.plot(xs, [bound(p) for p in line], ":", color=colour, linewidth=1, alpha=0.8)
    axis.set(yscale="log", xlabel=units.heading(setting), ylabel=y)
    if setting == "batch":
        axis.set_xscale("log")
    axis.grid(alpha=0.3)
    _ticks(axis, _values(points, setting))


def heat_map(sweep: Sweep) -> Figure | None:
    """Latency over decoding iterations x diffusion steps, a panel per series; a cell without one shows its status."""
    from matplotlib.colors import LogNorm

    if not all(setting in sweep.swept for setting in HEAT):
        return None
    maps: dict[str, list[LatencyPoint]] = {}
    for point in sweep.points:
        if all(point.settings.get(setting) is not None for setting in HEAT):
            maps.setdefault(sweep.label(point, *HEAT), []).append(point)
    times = [p.value("latency_s") for points in maps.values() for p in points if p.good]
    if not times:
        return None
    norm = LogNorm(min(t for t in times if t), max(t for t in times if t) * 1.001)
    shown = dict(list(maps.items())[:PANELS])
    figure, axes = canvas(1, len(shown), 4.2 * len(shown) + 0.4, 3.6)
    for axis, (name, points) in zip(axes[0], shown.items()):
        _cells(axis, points, norm)
        axis.set(xlabel="diffusion steps", ylabel="decoding iterations")
        axis.set_title(name, fontsize=9)
    return figure


def _cells(axis: Any, points: Sequence[LatencyPoint], norm: Any) -> None:
    ys, xs = (sorted({p.settings[setting] for p in points}) for setting in HEAT)
    grid = np.full((len(ys), len(xs)), np.nan)
    for p in points:
        y, x = ys.index(p.settings[HEAT[0]]), xs.index(p.settings[HEAT[1]])
        value = p.value("latency_s") if p.good else None
        grid[y, x] = np.nan if value is None else value
        dark = value is not None and norm(value) < 0.55
        text = units.seconds(value) if value is not None else p.record.status
        axis.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.imshow(grid, norm=norm, cmap="viridis", origin="lower", aspect="auto")
    axis.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axis.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])


def _per_second(seconds: float | None, point: LatencyPoint) -> float | None:
    return number(point.settings["batch"]) / seconds if seconds else None


def _published(axis: Any, speeds: Sequence[PublishedSpeed]) -> None:
    """Hollow grey marks for published numbers; a plateau is a line from its first batch on."""
    for speed, marker in zip(speeds, "*XPD"):
        batch = speed.batch or 1
        axis.plot(
            [batch, speed.until_batch or batch], [speed.value] * 2, f"{marker}--", color=GREY, linewidth=1, mfc="white",
            markersize=10, markevery=[0], zorder=5, label=f"{speed.paper}, stated:\n{speed.system}, {speed.hardware}",
        )  # fmt: skip


def _panels(points: Sequence[LatencyPoint], setting: str) -> list[tuple[str, list[LatencyPoint]]]:
    """Title and points for each value of a setting (``PANELS`` of them at most); all points if it has no values."""
    values = _values(points, setting)
    if not values:
        return [("", list(points))]
    if len(values) > PANELS:
        values = [values[round(i * (len(values) - 1) / (PANELS - 1))] for i in range(PANELS)]
    return [(units.named(setting, value), [p for p in points if p.settings.get(setting) == value]) for value in values]


def _values(points: Sequence[LatencyPoint], setting: str) -> list[float]:
    """The values of a setting, if they are numbers, at which there is a latency."""
    return sorted({p.settings[setting] for p in points if p.good and number(p.settings.get(setting)) > 0})


def _ticks(axis: Any, values: Sequence[float]) -> None:
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()
    log_ticks(axis.yaxis)


def roof(sweep: Sweep) -> tuple[float, float] | None:
    """Operations per second and bytes per second of the device, each the median of what the runs measured."""
    rates = [rate for point in sweep.points if (rate := point.speed().get("rates"))]
    if not rates:
        return None
    return statistics.median(r["flops_per_s"] for r in rates), statistics.median(r["copy_bytes_per_s"] for r in rates)


def roofline(sweep: Sweep, colours: Mapping[str, Any]) -> Figure | None:
    """Operations per second reached against operations per byte moved (Williams et al. 2009); dots grow with batch."""
    limits = roof(sweep)
    points = [p for p in sweep.points if p.good and p.value("flops") and p.value("bytes_moved")]
    if limits is None or not points:
        return None
    flops, bandwidth = limits
    figure, axes = canvas(1, 1, 7.5, 4.2)
    axis = axes[0][0]
    found: dict[str, list[LatencyPoint]] = {}
    for point in points:
        found.setdefault(sweep.label(point, "batch"), []).append(point)
    for line in found.values():
        line.sort(key=lambda p: number(p.settings["batch"]))
        where = [(_intensity(p), _rate(p)) for p in line]
        axis.plot(*zip(*where), "-", color=colours[line[0].arm], linewidth=0.7, alpha=0.5)
        for p, (x, y) in zip(line, where):
            fill = "white" if p.baseline else colours[p.arm]
            axis.plot(x, y, "o", color=colours[p.arm], mfc=fill, markersize=_size(p), alpha=0.85)
    reach = [_intensity(p) for p in points]
    low, high = min(*reach, flops / bandwidth) / 2, max(*reach, flops / bandwidth) * 2
    axis.plot([low, flops / bandwidth, high], [low * bandwidth, flops, flops], color=GREY, linewidth=1.5)
    axis.text(
        low * 1.1,
        flops * 1.05,
        f"measured roof: {units.rate(flops)}FLOP/s, {units.rate(bandwidth)}B/s",
        fontsize=8,
        color=GREY,
    )
    axis.set(xscale="log", yscale="log", xlabel="operations per byte that must move", ylabel="operations per second")
    axis.set_ylim(top=2.5 * flops)
    axis.grid(alpha=0.3)
    for arm in dict.fromkeys(p.arm for p in sorted(points, key=rank)):
        axis.plot([], [], "o", color=colours[arm], label=arm)
    if any(p.baseline for p in points):
        axis.plot([], [], "o", color=GREY, mfc="white", label="peers: open")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def shares(sweep: Sweep, colours: Mapping[str, Any]) -> Figure | None:
    """A bar per system to the median of its shares of the bound, a dot per measurement, larger for larger batches."""
    systems: dict[str, list[LatencyPoint]] = {}
    for point in sorted(sweep.points, key=rank):
        if point.good and point.value("bound_ratio") is not None:
            systems.setdefault(point.system, []).append(point)
    if not systems:
        return None
    figure, axes = canvas(1, 1, 7.5, 0.36 * len(systems) + 1)
    axis = axes[0][0]
    for y, points in enumerate(systems.values()):
        colour, peer = colours[points[0].arm], bool(points[0].baseline)
        reached = [100 * (p.value("bound_ratio") or 0.0) for p in points]
        axis.barh(
            y, statistics.median(reached), color="white" if peer else colour, edgecolor=colour, alpha=0.45, height=0.7
        )
        for p, x in zip(points, reached):
            axis.plot(x, y, "o", color=colour, mfc="white" if peer else colour, markersize=_size(p))
    axis.axvline(100, color=GREY, linewidth=1.5)
    axis.set_yticks(range(len(systems)), list(systems))
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("share of the bound reached (%)")
    axis.grid(axis="x", alpha=0.3)
    return figure


def _intensity(point: LatencyPoint) -> float:
    return (point.value("flops") or 0.0) / (point.value("bytes_moved") or 1.0)


def _rate(point: LatencyPoint) -> float:
    return (point.value("flops") or 0.0) / (point.value("latency_s") or 1.0)


def _size(point: LatencyPoint) -> float:
    """Marker size: grows with the logarithm of the batch."""
    batch = max(1.0, number(point.settings.get("batch")))
    return 3.5 + 0.9 * (batch.as_integer_ratio()[0].bit_length() - 1)
