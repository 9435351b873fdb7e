"""Whether a metric can be used on a corpus at all: it has to order what is known to be good and bad.

Every fidelity table holds ceilings (real audio, codec reconstructions) and floors (noise, silence, and, for metrics
that know the caption, real audio of another caption). A metric that does not set every ceiling apart from every floor
on this corpus, at this n, says nothing of the systems in between, and is marked as not usable here. Precision for one:
noise may lie well inside the neighbourhoods of real clips.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..metrics.catalogue import about, family
from ..metrics.metric import Metric
from ..study.references import CEILINGS, FLOORS

READ_CAPTIONS = ("adherence", "kl", "clap")  # to all others, audio of another caption is as good as real audio
DEAF_FLOORS = ("noise", "silence")
SAME = 0.05


def unusable(name: str, scores: Mapping[str, Metric]) -> str:
    """Why metric ``name`` is not usable where systems score so; empty where it is usable or nobody can tell.

    Args:
        scores: system -> figure with its interval, of ceilings and floors at least; others are not looked at.
    """
    sign = 1.0 if about(name).better == "higher" else -1.0
    good = {system: scores[system] for system in CEILINGS if _known(scores.get(system))}
    bad = {system: scores[system] for system in _floors(name) if _known(scores.get(system))}
    for ceiling, high in good.items():
        for floor, low in bad.items():
            if _worst(high, sign) <= _best(low, sign):
                return f"{floor} ({_figure(low)}) does not differ enough from {ceiling} ({_figure(high)})"
    real = good.pop("real", None)
    for codec, coded in good.items():
        if real is not None and _worst(coded, sign) > _best(real, sign):
            return f"{codec} ({_figure(coded)}) seems better than real ({_figure(real)})"
    return ""


def same_within(name: str, scores: Mapping[str, Metric]) -> float | None:
    """Differences up to this are the same: 5% of the way from real audio to its nearest floor; ``None``: not known."""
    ends = reach(scores, name)
    return None if ends is None else SAME * abs(ends[0] - ends[1])


def reach(scores: Mapping[str, Metric], name: str) -> tuple[float, float] | None:
    """Scores of the floor that is nearest to real audio, and of real audio; ``None``: not known, or they are equal."""
    real = scores.get("real", Metric(None)).value
    floors = [value for floor in _floors(name) if (value := scores.get(floor, Metric(None)).value) is not None]
    if real is None or not floors:
        return None
    nearest = min(floors, key=lambda value: abs(value - real))
    return None if nearest == real else (nearest, real)


def _floors(name: str) -> tuple[str, ...]:
    return FLOORS if family(name) in READ_CAPTIONS else DEAF_FLOORS


def _known(metric: Metric | None) -> bool:
    return metric is not None and metric.value is not None


def _ends(metric: Metric, sign: float) -> list[float]:
    """The interval (or the value alone) with the better end last."""
    assert metric.value is not None
    return sorted(sign * end for end in (metric.low, metric.value, metric.high) if end is not None)


def _worst(metric: Metric, sign: float) -> float:
    return _ends(metric, sign)[0]


def _best(metric: Metric, sign: float) -> float:
    return _ends(metric, sign)[-1]


def _figure(metric: Metric) -> str:
    return f"{metric.value:.3g}"


def at_floor(own: Metric, floor: Metric) -> bool:
    """Whether the intervals of a score (higher is better) and of its floor do not tell the two apart."""
    return own.low is not None and floor.high is not None and own.low <= floor.high
