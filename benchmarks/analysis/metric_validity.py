"""Whether a metric can be used on a corpus at all: it must order what is known to be good and bad.

Every fidelity table holds ceilings (real audio, codec reconstructions) and floors (noise, silence, and, for metrics
that read the caption, real audio of another caption). A metric whose intervals do not separate every ceiling from every
floor on this corpus, at this n, says nothing about the systems in between, and is marked as not usable here. Precision,
for example, may place noise well inside the neighbourhoods of real clips.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..metrics.catalogue import about
from ..metrics.metric import Metric
from ..study.references import CEILINGS, FLOORS

WITHOUT_CAPTIONS = ("noise", "silence")  # the floors of all other metrics
SAME = 0.05  # of the distance from real audio to its nearest floor


def unusable(name: str, scores: Mapping[str, Metric]) -> str:
    """Why metric ``name`` is not usable, given what ceilings and floors score; empty where it is, or none were scored.

    Args:
        scores: system -> metric with its interval; systems that are no ceiling or floor are ignored.
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
    """The largest difference that counts as none: 5% of the distance from real audio to its nearest floor, if known."""
    ends = reach(scores, name)
    return None if ends is None else SAME * abs(ends[0] - ends[1])


def reach(scores: Mapping[str, Metric], name: str) -> tuple[float, float] | None:
    """The scores of the floor nearest to real audio and of real audio; None: one is not known, or both are equal."""
    real = scores.get("real", Metric(None)).value
    floors = [value for floor in _floors(name) if (value := scores.get(floor, Metric(None)).value) is not None]
    if real is None or not floors:
        return None
    nearest = min(floors, key=lambda value: abs(value - real))
    return None if nearest == real else (nearest, real)


def _floors(name: str) -> tuple[str, ...]:
    return FLOORS if about(name).reads_captions else WITHOUT_CAPTIONS


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
    """Whether a score (higher is better) is not above its floor: their intervals overlap, or it is below."""
    return own.low is not None and floor.high is not None and own.low <= floor.high
