"""Figures of a place: how near every measurement comes to what the device allows (roofline, share of the bound)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....report.style import GREY, canvas
from . import units
from .crossover import label
from .points import Group, Point, number, rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roof(group: Group) -> tuple[float, float] | None:
    """Operations per second and bytes per second of the device, each the median of what the runs measured."""
    rates = [rate for point in group.points if (rate := point.speed().get("rates"))]
    if not rates:
        return None
    return tuple(statistics.median(r[key] for r in rates) for key in ("flops_per_s", "copy_bytes_per_s"))  # type: ignore[return-value]


def roofline(group: Group, colours: Mapping[str, Any]) -> Figure | None:
    """Operations per second reached against operations per byte moved (Williams et al. 2009); dots grow with batch."""
    limits = roof(group)
    points = [p for p in group.points if p.good and p.value("flops") and p.value("bytes_moved")]
    if limits is None or not points:
        return None
    flops, bandwidth = limits
    figure, axes = canvas(1, 1, 7.5, 4.2)
    axis = axes[0][0]
    for sheet in group.sheets:
        found: dict[str, list[Point]] = {}
        for point in sheet.points:
            if point in points:
                found.setdefault(label(sheet, point, "batch"), []).append(point)
        for line in found.values():
            line.sort(key=lambda p: number(p.knobs["batch"]))
            where = [(_intensity(p), _rate(p)) for p in line]
            axis.plot(*zip(*where), "-", color=colours[line[0].arm], linewidth=0.7, alpha=0.5)
            for p, (x, y) in zip(line, where):
                fill = "white" if p.peer else colours[p.arm]
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
    if any(p.peer for p in points):
        axis.plot([], [], "o", color=GREY, mfc="white", label="peers: open")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def shares(group: Group, colours: Mapping[str, Any]) -> Figure | None:
    """A bar per system to the median of its shares of the bound, a dot per measurement, larger for larger batches."""
    systems: dict[str, list[Point]] = {}
    for point in sorted(group.points, key=rank):
        if point.good and point.value("bound_ratio") is not None:
            systems.setdefault(point.system, []).append(point)
    if not systems:
        return None
    figure, axes = canvas(1, 1, 7.5, 0.36 * len(systems) + 1)
    axis = axes[0][0]
    for y, points in enumerate(systems.values()):
        colour, peer = colours[points[0].arm], bool(points[0].peer)
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


def _intensity(point: Point) -> float:
    return (point.value("flops") or 0.0) / (point.value("bytes_moved") or 1.0)


def _rate(point: Point) -> float:
    return (point.value("flops") or 0.0) / (point.value("latency_s") or 1.0)


def _size(point: Point) -> float:
    """Marker size: grows with the logarithm of the batch."""
    batch = max(1.0, number(point.knobs.get("batch")))
    return 3.5 + 0.9 * (batch.as_integer_ratio()[0].bit_length() - 1)
