"""The figure of a frame-rate study: two panels as in Tal et al. 2025, figure 4, with the codecs' own scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....metrics.metric import Metric
from ....report.style import GREY, arm_colours, canvas
from .rates import Mode, RatePoint, arms, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CEILINGS = {"real": ":", "codec_continuous": "-", "codec_quantised": "--"}
MARKERS = ("o", "s", "^", "D", "v")  # of a panel's durations or lengths


def draw(found: Sequence[RatePoint], names: Sequence[str]) -> Figure | None:
    """Metrics against frame rate, a row for each: left at one duration, right at one length; None: no two rates."""
    modes: tuple[Mode, ...] = ("duration", "length")
    panels = {mode: groups for mode in modes if (groups := series(found, mode))}
    if not panels or not names:
        return None
    figure, axes = canvas(len(names), len(panels), 4.8 * len(panels) + 0.6, 3.4 * len(names) + 0.2)
    for row, name in zip(axes, names):
        _row(row, panels, found, name)
    axes[0][-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _row(axes: Any, panels: Mapping[Mode, list[list[RatePoint]]], found: Sequence[RatePoint], name: str) -> None:
    colours = arm_colours({row.system: row.paradigm for point in found for row in point.table.arms})
    for axis, (mode, groups) in zip(axes, panels.items()):
        for group, marker in zip(groups, MARKERS):
            held = f"{group[0].seconds:g} s" if mode == "duration" else f"{group[0].frames} frames"
            more = f", {held}" if len(groups) > 1 else ""
            for arm in arms(found):
                _line(axis, group, arm, name, {"color": colours[arm], "marker": marker, "label": arm + more})
            for row, style in CEILINGS.items():
                label = row if group is groups[0] else None
                _line(axis, group, row, name, {"color": GREY, "linestyle": style, "linewidth": 1, "label": label})
        _label(axis, mode, groups, name)
    _same_heights(axes)


def _line(axis: Any, group: Sequence[RatePoint], system: str, name: str, style: dict[str, Any]) -> None:
    scored = [(point.hz, m) for point in group if (m := point.score(system, name)).value is not None]
    if not scored:
        return
    rates = [hz for hz, _ in scored]
    axis.plot(rates, [m.value for _, m in scored], markersize=4, **style)
    if "marker" in style:
        lows, highs = ([_end(m, side) for _, m in scored] for side in ("low", "high"))
        axis.vlines(rates, lows, highs, color=style["color"], linewidth=1.5, alpha=0.6)


def _end(m: Metric, side: str) -> float:
    end = getattr(m, side)
    return float(m.value if end is None else end)  # type: ignore[arg-type]


def _label(axis: Any, mode: Mode, groups: Sequence[Sequence[RatePoint]], name: str) -> None:
    rates = sorted({point.hz for group in groups for point in group})
    held = "duration: " if mode == "duration" else "length: "
    values = [f"{g[0].seconds:g} s" if mode == "duration" else f"{g[0].frames} frames" for g in groups]
    changes = [f"{point.frames}" if mode == "duration" else f"{point.seconds:g} s" for point in groups[0]]
    axis.set_title(f"same {held}{', '.join(values)}", fontsize=9)
    axis.set_xscale("log", base=2)
    unit = "frames" if mode == "duration" else ""
    ticks = [f"{hz:g} Hz\n{more} {unit}".strip() for hz, more in zip(rates, changes)]
    axis.set_xticks(rates, ticks if len(groups) == 1 and len(ticks) == len(rates) else [f"{hz:g} Hz" for hz in rates])
    axis.set_xticks([], minor=True)
    axis.tick_params(labelsize=8)
    axis.set_ylabel(name, fontsize=9)
    axis.grid(alpha=0.3)


def _same_heights(axes: Sequence[Any]) -> None:
    """One scale for both panels, logarithmic where it can be and what it holds is wide."""
    low, high = min(axis.get_ylim()[0] for axis in axes), max(axis.get_ylim()[1] for axis in axes)
    least = min(float(value) for axis in axes for line in axis.lines for value in line.get_ydata())
    wide = least > 0 and high > 10 * least
    for axis in axes:
        if wide:
            axis.set_yscale("log")
        axis.set_ylim(least / 1.3 if wide else low, high * 1.1 if wide else high)
