"""Figures of a sheet: throughput and latency against batch, latency against other knobs, iterations x diffusion steps.

One colour per arm; filled markers and full lines are ours, open ones and dashes a peer's; dots show the bound. Grey:
what a paper states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....report.style import GREY, canvas, log_ticks
from . import units
from .crossover import EQUAL, label
from .points import Point, Sheet, number
from .published import Stated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Colours = Mapping[str, Any]
Value = Callable[[Point], float | None]
MARKERS = "osD^vP"
HEAT = ("iterations", "diffusion_steps")
PANELS = 4  # rows and columns of one figure, at most
SCALES: dict[str, tuple[Value, Value]] = {  # y axis -> measured, and by the bound
    "clips per second": (lambda p: p.value("throughput_clips_per_s"), lambda p: _per_second(p.value("bound_s"), p)),
    "seconds per batch": (lambda p: p.value("latency_s"), lambda p: p.value("bound_s")),
}


def knobs(sheet: Sheet) -> list[str]:
    """The swept knob with the most values, to draw against (several, where they have equally many)."""
    counts = {knob: len(_values(sheet.points, knob)) for knob in ("batch", *sheet.swept) if knob in sheet.swept}
    most = max(counts.values(), default=0)
    return [knob for knob, count in counts.items() if count == most > 1 and knob not in HEAT]


def against(sheet: Sheet, knob: str, colours: Colours, published: Sequence[Stated]) -> Figure:
    """Latency (against batch: throughput too) against a knob; a row per value of another, a column per batch."""
    other = next((name for name in EQUAL if name in sheet.swept and name != knob), "")
    rows = _panels(sheet.points, other)
    batches = [] if knob == "batch" else _panels(sheet.points, "batch" if "batch" in sheet.swept else "")
    count = len(batches) or len(SCALES)
    figure, axes = canvas(len(rows), count, 3.6 * count + 2.6, 3.3 * len(rows) + 0.3)
    for line, (name, points) in zip(axes, rows):
        for axis, y in zip(line, SCALES if knob == "batch" else ()):
            _panel(axis, sheet, points, (knob, other), y, colours)
            axis.set_title(name, fontsize=9)
        for axis, (batch, own) in zip(line, batches):
            _panel(axis, sheet, [p for p in own if p in points], (knob, "batch", other), "seconds per batch", colours)
            axis.set_title(", ".join(filter(None, (batch, name))), fontsize=9)
    for axis in axes[:, 0] if knob == "batch" else ():
        _stated(axis, claims(sheet, published))
    named = {name: handle for axis in axes.flat for handle, name in zip(*axis.get_legend_handles_labels())}
    legend = figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_fontstyle("italic" if "stated" in text.get_text() else "normal")
    return figure


def _panel(axis: Any, sheet: Sheet, points: Sequence[Point], knobs: tuple[str, ...], y: str, colours: Colours) -> None:
    """One line per series against the first of ``knobs`` (the others are fixed in the panel), its bound as dots."""
    knob, (value, bound) = knobs[0], SCALES[y]
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.good and number(point.knobs.get(knob)) > 0:
            found.setdefault(label(sheet, point, *knobs), []).append(point)
    drawn: dict[tuple[str, str], int] = {}
    for name, line in found.items():
        line.sort(key=lambda p: number(p.knobs[knob]))
        kind, colour = (line[0].paradigm, line[0].peer), colours[line[0].arm]
        nth = drawn[kind] = drawn.get(kind, -1) + 1
        shape, style = MARKERS[nth % len(MARKERS)], {"color": colour, "linewidth": 1.4, "markersize": 4.5}
        xs, ys = [number(p.knobs[knob]) for p in line], [value(p) for p in line]
        if line[0].peer:
            axis.plot(xs, ys, f"{shape}--", label=name, mfc="white", **style)
        else:
            axis.plot(xs, ys, f"{shape}-", label=name, **style)
            axis.plot(xs, [bound(p) for p in line], ":", color=colour, linewidth=1, alpha=0.8)
    axis.set(yscale="log", xlabel=units.heading(knob), ylabel=y)
    if knob == "batch":
        axis.set_xscale("log")
    axis.grid(alpha=0.3)
    _ticks(axis, _values(points, knob))


def heat_map(sheet: Sheet) -> Figure | None:
    """Latency over decoding iterations x diffusion steps, a panel per series; a cell without one shows its status."""
    from matplotlib.colors import LogNorm

    if not all(knob in sheet.swept for knob in HEAT):
        return None
    maps: dict[str, list[Point]] = {}
    for point in sheet.points:
        if all(point.knobs.get(knob) is not None for knob in HEAT):
            maps.setdefault(label(sheet, point, *HEAT), []).append(point)
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


def _cells(axis: Any, points: Sequence[Point], norm: Any) -> None:
    import numpy as np

    ys, xs = (sorted({p.knobs[knob] for p in points}) for knob in HEAT)
    grid = np.full((len(ys), len(xs)), np.nan)
    for p in points:
        y, x = ys.index(p.knobs[HEAT[0]]), xs.index(p.knobs[HEAT[1]])
        value = p.value("latency_s") if p.good else None
        grid[y, x] = np.nan if value is None else value
        dark = value is not None and norm(value) < 0.55
        text = units.seconds(value) if value is not None else p.record.status
        axis.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.imshow(grid, norm=norm, cmap="viridis", origin="lower", aspect="auto")
    axis.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axis.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])


def _per_second(seconds: float | None, point: Point) -> float | None:
    return number(point.knobs["batch"]) / seconds if seconds else None


def claims(sheet: Sheet, published: Sequence[Stated]) -> list[Stated]:
    """Stated throughputs of the paradigms, duration and depth that the sheet has."""
    have = {(p.paradigm, p.knobs.get("seconds"), p.knobs.get("layers")) for p in sheet.ours if p.good}
    stated = [claim for claim in published if claim.metric == "throughput_samples_per_s"]
    return [claim for claim in stated if (claim.paradigm, claim.duration_s, claim.layers) in have]


def _stated(axis: Any, found: Sequence[Stated]) -> None:
    """Hollow grey marks; a plateau is a line from its first batch on."""
    for claim, marker in zip(found, "*XPD"):
        batch = claim.batch or 1
        axis.plot(
            [batch, claim.until_batch or batch], [claim.value] * 2, f"{marker}--", color=GREY, linewidth=1, mfc="white",
            markersize=10, markevery=[0], zorder=5, label=f"{claim.paper}, stated:\n{claim.system}, {claim.hardware}",
        )  # fmt: skip


def _panels(points: Sequence[Point], knob: str) -> list[tuple[str, list[Point]]]:
    """Title and points for every value of ``knob``, spread over its range where there are many; one without a knob."""
    values = _values(points, knob)
    if not values:
        return [("", list(points))]
    if len(values) > PANELS:
        values = [values[round(i * (len(values) - 1) / (PANELS - 1))] for i in range(PANELS)]
    return [(units.named(knob, value), [p for p in points if p.knobs.get(knob) == value]) for value in values]


def _values(points: Sequence[Point], knob: str) -> list[float]:
    """The numbers that ``knob`` takes where there is a latency."""
    return sorted({p.knobs[knob] for p in points if p.good and number(p.knobs.get(knob)) > 0})


def _ticks(axis: Any, values: Sequence[float]) -> None:
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()
    log_ticks(axis.yaxis)
