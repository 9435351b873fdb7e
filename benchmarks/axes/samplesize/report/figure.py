"""The figure of a study of sample size: a panel per metric over the number of clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....metrics.catalogue import family
from ....report.style import GREY, canvas
from .curves import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("adherence", "fad", "fad_inf", "kad", "mad", "coverage", "is", "clap")


def draw(curves: Sequence[Curve]) -> Figure:
    """One panel per metric over n."""
    shown = [curve for name in SHOWN for curve in curves if family(curve.name) == name]
    rows = -(-len(shown) // 4)
    figure, axes = canvas(max(rows, 1), 4, 12, 2.6 * max(rows, 1))
    for axis, curve in zip(axes.flat, shown):
        for points, colour in ((curve.real, "C0"), (curve.noise, GREY)):
            drawn = {n: m for n, m in sorted(points.items()) if m.value is not None}
            axis.plot(list(drawn), [m.value for m in drawn.values()], "o-", color=colour, markersize=3)
            ends = [[end for m in drawn.values() if (end := getattr(m, side)) is not None] for side in ("low", "high")]
            if drawn and len(ends[0]) == len(ends[1]) == len(drawn):
                axis.fill_between(list(drawn), *ends, color=colour, alpha=0.2)
        axis.set_xscale("log", base=2)
        axis.set_title(curve.name, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    return figure
