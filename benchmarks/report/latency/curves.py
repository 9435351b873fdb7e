"""Figures of a sheet: throughput and latency against batch, latency against other knobs, iterations x diffusion steps.

One colour per arm; filled markers and full lines are ours, open ones and dashes a peer's; dots show the bound. Grey:
what a paper states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.drawing import GREY, canvas
from benchmarks.report.latency import units
from benchmarks.report.latency.crossover import label
from benchmarks.report.latency.points import Point, Sheet, number
from benchmarks.report.latency.published import Stated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Colours = Mapping[str, Any]
Value = Callable[[Point], float | None]
MARKERS = "osD^vP"
AXES = {"seconds": "seconds of audio", "frame_rate_hz": "frame rate (Hz)", "text_tokens": "text tokens"}
PANELS = 4  # of one figure, at most


def batch_figure(sheet: Sheet, colours: Colours, published: Sequence[Stated]) -> Figure | None:
    """Clips per second and latency against batch, both axes logarithmic."""
    if not _varies(sheet, "batch", at_least=3):
        return None
    figure, axes = canvas(1, 2, 10.5, 3.8)
    throughput, latency = axes[0]
    _lines(throughput, sheet, "batch", colours, lambda p: p.value("throughput_clips_per_s"), _bound_throughput)
    _lines(latency, sheet, "batch", colours, lambda p: p.value("latency_s"), lambda p: p.value("bound_s"))
    _stated(throughput, claims(sheet, published))
    for axis, name in ((throughput, "clips per second"), (latency, "seconds per batch")):
        axis.set(xscale="log", yscale="log", xlabel="batch", ylabel=name)
        _ticks(axis, sheet, "batch")
    figure.legend(*latency.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def knob_figure(sheet: Sheet, knob: str, colours: Colours) -> Figure | None:
    """Latency against a knob, a panel per batch where batch is swept too."""
    batches = sorted({number(p.knobs["batch"]) for p in sheet.points if p.good and number(p.knobs.get(knob)) > 0})
    if not _varies(sheet, knob):
        return None
    shown = batches if len(batches) <= PANELS else [batches[round(i * (len(batches) - 1) / 3)] for i in range(PANELS)]
    figure, axes = canvas(1, len(shown), 3.4 * len(shown) + 2.6, 3.5)
    for axis, batch in zip(axes[0], shown):
        part = [p for p in sheet.points if number(p.knobs["batch"]) == batch]
        _lines(axis, sheet, knob, colours, lambda p: p.value("latency_s"), lambda p: p.value("bound_s"), part)
        axis.set(yscale="log", xlabel=AXES.get(knob, knob.replace("_", " ")), title=f"batch {batch:g}")
        _ticks(axis, sheet, knob)
    axes[0][0].set_ylabel("seconds per batch")
    named = {name: handle for axis in axes[0] for handle, name in zip(*axis.get_legend_handles_labels())}
    figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def heat_map(sheet: Sheet) -> Figure | None:
    """Latency over decoding iterations x diffusion steps, a panel per series; a cell without one shows its status."""
    from matplotlib.colors import LogNorm

    knobs = ("iterations", "diffusion_steps")
    if not all(knob in sheet.swept for knob in knobs):
        return None
    maps: dict[str, list[Point]] = {}
    for point in sheet.points:
        if all(point.knobs.get(knob) is not None for knob in knobs):
            maps.setdefault(label(sheet, point, *knobs), []).append(point)
    times = [p.value("latency_s") for points in maps.values() for p in points if p.good]
    if not times:
        return None
    norm = LogNorm(min(t for t in times if t), max(t for t in times if t) * 1.001)
    shown = dict(list(maps.items())[:PANELS])
    figure, axes = canvas(1, len(shown), 4.2 * len(shown) + 0.4, 3.6)
    for axis, (name, points) in zip(axes[0], shown.items()):
        _cells(axis, points, knobs, norm)
        axis.set(xlabel="diffusion steps", ylabel="decoding iterations")
        axis.set_title(name, fontsize=9)
    return figure


def _cells(axis: Any, points: Sequence[Point], knobs: tuple[str, str], norm: Any) -> None:
    import numpy as np

    ys, xs = (sorted({p.knobs[knob] for p in points}) for knob in knobs)
    grid = np.full((len(ys), len(xs)), np.nan)
    for p in points:
        y, x = ys.index(p.knobs[knobs[0]]), xs.index(p.knobs[knobs[1]])
        value = p.value("latency_s") if p.good else None
        grid[y, x] = np.nan if value is None else value
        dark = value is not None and norm(value) < 0.55
        text = units.seconds(value) if value is not None else p.record.status
        axis.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.imshow(grid, norm=norm, cmap="viridis", origin="lower", aspect="auto")
    axis.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axis.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])


def _lines(
    axis: Any, sheet: Sheet, knob: str, colours: Colours, value: Value, bound: Value, points: Sequence[Point] = ()
) -> None:
    """One line per series against ``knob``, its bound as dots."""
    found: dict[str, list[Point]] = {}
    for point in points or sheet.points:
        if point.good and number(point.knobs.get(knob)) > 0:
            found.setdefault(label(sheet, point, knob, *(["batch"] if points else [])), []).append(point)
    drawn: dict[str, int] = {}
    for name, line in found.items():
        line.sort(key=lambda p: number(p.knobs[knob]))
        arm, peer = line[0].arm, bool(line[0].peer)
        nth = drawn[line[0].system] = drawn.get(line[0].system, -1) + 1
        xs, style = [number(p.knobs[knob]) for p in line], {"color": colours[arm], "linewidth": 1.4, "markersize": 4.5}
        fill = "white" if peer else colours[arm]
        marker = MARKERS[nth % len(MARKERS)]
        axis.plot(xs, [value(p) for p in line], marker + ("--" if peer else "-"), label=name, mfc=fill, **style)
        if not peer:
            axis.plot(xs, [bound(p) for p in line], ":", color=colours[arm], linewidth=1, alpha=0.8)
    axis.grid(alpha=0.3)


def _bound_throughput(point: Point) -> float | None:
    bound = point.value("bound_s")
    return number(point.knobs["batch"]) / bound if bound else None


def claims(sheet: Sheet, published: Sequence[Stated]) -> list[Stated]:
    """Stated throughputs of the paradigms, duration and depth that the sheet has."""
    have = {(p.paradigm, p.knobs.get("seconds"), p.knobs.get("layers")) for p in sheet.ours if p.good}
    stated = [claim for claim in published if claim.metric == "throughput_samples_per_s"]
    return [claim for claim in stated if (claim.paradigm, claim.duration_s, claim.layers) in have]


def _stated(axis: Any, found: Sequence[Stated]) -> None:
    """Stars and slanted words; a plateau is a line from its first batch on."""
    for claim in found:
        batch = claim.batch or 1
        axis.plot([batch, claim.until_batch or batch], [claim.value] * 2, "--", color=GREY, linewidth=1)
        axis.plot(batch, claim.value, "*", color="white", markeredgecolor=GREY, markersize=11, zorder=5)
        text = f"{claim.paper}: {claim.system} {claim.value:g}\n({claim.hardware}, stated)"
        side = {"ha": "right", "xytext": (-8, 4)} if batch > 32 else {"ha": "left", "xytext": (8, 4)}
        where = {"xy": (batch, claim.value), "textcoords": "offset points", **side}
        axis.annotate(text, fontsize=7, style="italic", color=GREY, **where)


def _varies(sheet: Sheet, knob: str, at_least: int = 2) -> bool:
    return (
        len({number(p.knobs.get(knob)) for p in sheet.points if p.good and number(p.knobs.get(knob)) > 0}) >= at_least
    )


def _ticks(axis: Any, sheet: Sheet, knob: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    values = sorted({p.knobs[knob] for p in sheet.points if p.good and number(p.knobs.get(knob)) > 0})
    axis.set_xticks(values, [f"{value:g}" for value in values])
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 1000 else (1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.minorticks_off()
