"""Records of the sample-size axis as one curve per metric, the number of clips that is enough, and their figure.

An n is enough for a metric if, there and at every larger n, two errors are within ``TOLERANCE`` of the distance between
real audio and noise: the bias (the mean at n against that at the largest n), and the spread (half the range in which
95% of single measurements fall).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....analysis.comparability import Selection, select
from ....analysis.records import Record
from ....metrics.catalogue import family
from ....metrics.metric import Metric
from ....report.style import GREY, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = ("evaluation.n",)
TOLERANCE = 0.05
MAIN = ("adherence", "fad", "kad", "clap")  # the recommended n is enough for these
ORDER = ("adherence", "clap", "fad", "fad_inf", "kad", "mad", "precision", "recall", "density", "coverage", "is", "kl")
SHOWN = ("adherence", "fad", "fad_inf", "kad", "mad", "coverage", "is", "clap")  # panels of the figure


@dataclass(frozen=True)
class SizeCurve:
    """One metric over n.

    Attributes:
        real, noise: n -> mean over repeats, with the range of single measurements.
        enough: see the module's docstring; ``None``: no n of the study, or noise is not told from real audio.
    """

    name: str
    real: dict[int, Metric]
    noise: dict[int, Metric]
    enough: int | None


def of_one_setting(records: Sequence[Record]) -> Selection:
    """The good records of the newest setting."""
    return select([record for record in records if record.status == "ok"], rows=ROWS)


def make_curves(records: Sequence[Record]) -> list[SizeCurve]:
    """One curve per metric (not per attribute), of the newest setting."""
    points: dict[str, dict[str, dict[int, Metric]]] = {}
    for record in of_one_setting(records).kept:
        for name, metric in record.metrics.items():
            if not (family(name) == "adherence" and name.count("_") > 1):
                curves = points.setdefault(name, {"real": {}, "noise": {}})
                curves[record.system][record.cell["evaluation"]["n"]] = metric
    names = sorted(points, key=lambda name: (ORDER.index(family(name)) if family(name) in ORDER else len(ORDER), name))
    pairs = [(name, points[name]["real"], points[name]["noise"]) for name in names]
    return [SizeCurve(name, real, noise, _enough(real, noise)) for name, real, noise in pairs]


def recommended(curves: Sequence[SizeCurve]) -> tuple[int | None, list[str]]:
    """The n that is enough for all main metrics (``None``: there is none), and the metrics for which it is not."""
    main = [curve for curve in curves if family(curve.name) in MAIN]
    enough = [curve.enough for curve in main if curve.enough is not None]
    n = max(enough) if enough and len(enough) == len(main) else None
    judged = curves if n is not None else main
    return n, [curve.name for curve in judged if curve.enough is None or (n is not None and curve.enough > n)]


def draw(curves: Sequence[SizeCurve]) -> Figure:
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


def _enough(real: dict[int, Metric], noise: dict[int, Metric]) -> int | None:
    sizes = sorted(real)
    values = {n: real[n].value for n in sizes}
    best, floor = values[sizes[-1]], noise.get(sizes[-1], Metric(None)).value
    if best is None or floor is None or best == floor:
        return None
    found = None
    for n in reversed(sizes):
        value, low, high = values[n], real[n].low, real[n].high
        if value is None or low is None or high is None:
            break
        if max(abs(value - best), (high - low) / 2) > TOLERANCE * abs(floor - best):
            break
        found = n
    return found
