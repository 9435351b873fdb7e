"""Records of the sample-size axis as one curve per metric, and the number of clips that is enough.

Enough for a metric is an n from which on two errors are small against what the metric has to tell apart, the distance
between real audio and noise: its bias (the mean at n against that at the largest n), and its luck (half the range in
which 95% of single measurements fall). Small is ``TOLERANCE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....analysis.records import Record, latest
from ....metrics.catalogue import family
from ....metrics.metric import Metric

TOLERANCE = 0.05
MAIN = ("adherence", "fad", "kad", "clap")  # the recommended n is enough for these
ORDER = ("adherence", "clap", "fad", "fad_inf", "kad", "mad", "precision", "recall", "density", "coverage", "is", "kl")


@dataclass(frozen=True)
class Curve:
    """One metric over n.

    Attributes:
        real, noise: n -> mean over repeats, with the range of single measurements.
        enough: see the module's docstring; ``None``: no n of the study, or noise is not told from real audio.
    """

    name: str
    real: dict[int, Metric]
    noise: dict[int, Metric]
    enough: int | None


def make_curves(records: Sequence[Record]) -> list[Curve]:
    """One curve per metric (not per attribute), of the newest setting."""
    held = [r for r in latest(records).values() if r.status == "ok"]
    newest = max(held, key=lambda r: r.created)
    same = [r for r in held if _setting(r) == _setting(newest)]
    points: dict[str, dict[str, dict[int, Metric]]] = {}
    for record in same:
        for name, metric in record.metrics.items():
            if not (family(name) == "adherence" and name.count("_") > 1):
                kinds = points.setdefault(name, {"real": {}, "noise": {}})
                kinds[record.system][record.cell["evaluation"]["n"]] = metric
    names = sorted(points, key=lambda name: (ORDER.index(family(name)) if family(name) in ORDER else len(ORDER), name))
    return [
        Curve(n, points[n]["real"], points[n]["noise"], _enough(points[n]["real"], points[n]["noise"])) for n in names
    ]


def recommended(curves: Sequence[Curve]) -> tuple[int | None, list[str]]:
    """The n that is enough for all main metrics (``None``: there is none), and the names for which it is not."""
    main = [curve for curve in curves if family(curve.name) in MAIN]
    enough = [curve.enough for curve in main if curve.enough is not None]
    n = max(enough) if enough and len(enough) == len(main) else None
    judged = curves if n is not None else main
    return n, [curve.name for curve in judged if curve.enough is None or (n is not None and curve.enough > n)]


def _setting(record: Record) -> tuple[str, str, str]:
    evaluation = {key: value for key, value in record.cell["evaluation"].items() if key != "n"}
    return str(record.cell["version"]), str(record.cell["corpus"]), str(evaluation)


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
