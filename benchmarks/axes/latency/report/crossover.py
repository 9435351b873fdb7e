"""From which batch size on AR makes more clips per second than flow matching: measured, by the bound, and published.

One is ahead at a batch size if the 95% intervals of the two medians do not overlap; if they do, or there are too few
samples for one, it is undecided. The crossover is the smallest batch from which AR is ahead at every larger batch that
both have. By the bound, throughput is batch over bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .....common.lines import count
from ....analysis import published
from . import units
from .sweeps import LatencyPoint, Sweep, number

EQUAL = ("frame_rate_hz", "layers", "seconds", "text_tokens", "text", "decoder", "compile")
METRICS = ("throughput_samples_per_s", "crossover_batch_size")
PAPER = "tal2025"  # its text gives the ends of figure 5; the figure itself is an image
Lead = Mapping[float, int]  # batch -> 1: AR is ahead, -1: FM is, 0: undecided


@dataclass(frozen=True)
class Crossover:
    """One pair of arms; ``setting``: what else was swept, and is equal for both."""

    ar: str
    fm: str
    setting: str
    measured: Lead
    bound: Lead


@dataclass(frozen=True)
class PublishedSpeed:
    """A published number; None where the paper does not state a setting. It holds for ``batch`` to ``until_batch``."""

    paper: str
    source: str
    system: str
    paradigm: str
    hardware: str
    metric: str
    value: float
    duration_s: float | None
    layers: float | None
    batch: float | None
    steps: float | None
    until_batch: float | None


def published_speeds() -> list[PublishedSpeed]:
    """All published throughputs and crossovers of ``PAPER``.

    Raises:
        UserError: a broken file of published results.
    """
    own = [one for one in published.results() if one.paper == PAPER and one.value]
    found = [one for one in own if one.metric in METRICS]
    plateau = next((one.number for one in own if one.metric == "throughput_plateau_batch"), None)
    parameters = published.hyperparameters() if found else []
    layers = [float(p.value) for p in parameters if (p.paper, p.component, p.name) == (PAPER, "backbone", "layers")]
    largest = max((_number(one.setting.get("batch", "")) or 0 for one in found), default=0) or None
    return [_speed(one, layers[0] if layers else None, plateau, largest) for one in found]


def matching(sweep: Sweep, speeds: Sequence[PublishedSpeed]) -> list[PublishedSpeed]:
    """The published throughputs of the paradigms, durations and depths that a sweep has."""
    have = {(p.paradigm, p.settings.get("seconds"), p.settings.get("layers")) for p in sweep.ours if p.good}
    throughputs = [speed for speed in speeds if speed.metric == METRICS[0]]
    return [speed for speed in throughputs if (speed.paradigm, speed.duration_s, speed.layers) in have]


def crossovers(sweep: Sweep) -> list[Crossover]:
    """Every AR series against every FM series that share at least two batch sizes."""
    found = []
    same = [name for name in sweep.swept if name in EQUAL]
    for ar in _series(sweep, "ar").values():
        for fm in _series(sweep, "fm").values():
            shared = sorted(set(ar) & set(fm))
            if len(shared) < 2 or not _alike(a := ar[shared[0]], b := fm[shared[0]]):
                continue
            measured = {batch: _ahead(ar[batch], fm[batch]) for batch in shared}
            bound = {batch: _by_bound(ar[batch], fm[batch]) for batch in shared}
            names = [sweep.label(point, "batch", *same) for point in (a, b)]
            setting = ", ".join(units.named(name, a.settings[name]) for name in same)
            found.append(Crossover(names[0], names[1], setting, measured, bound))
    return found


def sentences(sweep: Sweep, speeds: Sequence[PublishedSpeed]) -> list[str]:
    """A sentence on every pair's crossover, then those that papers state; empty if there is no pair."""
    alike: dict[tuple[str, str], list[str]] = {}  # (pair, result) -> the settings with this result
    for pair in crossovers(sweep):
        result = f"measured, {_result(pair.measured)}; by the bound, {_result(pair.bound)}"
        alike.setdefault((f"{pair.ar} against {pair.fm}", result), []).append(pair.setting)
    lines = []
    for (names, result), settings in alike.items():
        where = f" ({'; '.join(settings)})" if any(settings) else ""
        lines.append(f"{names}{where}: {result}.")
    for speed in speeds if lines else ():
        if speed.metric == METRICS[1]:
            hardware = f"{speed.hardware}, {count(units.setting(speed.layers), 'layer')}"
            lines.append(f"{speed.paper} state: AR is ahead from batch {speed.value:g} on ({hardware}).")
    return lines


def from_batch(lead: Lead) -> float | None:
    """The smallest batch from which AR is always ahead; None if it is not ahead at the largest."""
    since = None
    for batch in sorted(lead, reverse=True):
        if lead[batch] < 1:
            break
        since = batch
    return since


def _series(sweep: Sweep, paradigm: str) -> dict[str, dict[float, LatencyPoint]]:
    """Label -> batch -> our point, for the arms of a paradigm; other swept settings make series of their own."""
    found: dict[str, dict[float, LatencyPoint]] = {}
    for point in sweep.ours:
        if point.paradigm == paradigm and point.good:
            found.setdefault(sweep.label(point, "batch"), {})[number(point.settings["batch"])] = point
    return found


def _result(lead: Lead) -> str:
    first, last = (units.setting(batch) for batch in (min(lead), max(lead)))
    since = from_batch(lead)
    if since == min(lead):
        return f"no crossover in the range {first} to {last}: AR is ahead throughout"
    if since is not None:
        return f"AR is ahead from batch {units.setting(since)} on (range {first} to {last})"
    states = {1: "AR is ahead", 0: "undecided", -1: "FM is ahead"}
    batches = {text: [units.setting(b) for b in sorted(lead) if lead[b] == sign] for sign, text in states.items()}
    parts = [f"{text} at batch {', '.join(found)}" for text, found in batches.items() if found]
    if len(parts) == 1:
        parts = [next(text for text, found in batches.items() if found) + " throughout"]
    return f"no crossover in the range {first} to {last}: {', '.join(parts)}"


def _alike(ar: LatencyPoint, fm: LatencyPoint) -> bool:
    """Whether all settings but those of the samplers are equal (the batch is shared), and both or none are guided."""
    return all(ar.settings.get(name) == fm.settings.get(name) for name in EQUAL) and _guided(ar) == _guided(fm)


def _guided(point: LatencyPoint) -> bool:
    """Whether guidance costs a second branch; with scale 1 there is only the conditional one."""
    return point.settings.get("guidance") not in (None, 1, 1.0)


def _ahead(ar: LatencyPoint, fm: LatencyPoint) -> int:
    a, b = ar.metric("latency_s"), fm.metric("latency_s")
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return 0
    return 1 if a.high < b.low else -1 if b.high < a.low else 0


def _by_bound(ar: LatencyPoint, fm: LatencyPoint) -> int:
    a, b = ar.value("bound_s"), fm.value("bound_s")
    return 0 if a is None or b is None or a == b else 1 if a < b else -1


def _speed(
    one: published.PublishedResult, layers: float | None, plateau: float | None, largest: float | None
) -> PublishedSpeed:
    """A published result with numbers as settings.

    ``batch=plateau`` means from batch ``plateau``, where the caption says that throughput stops rising, to ``largest``,
    the last batch of the figure.
    """
    setting = one.setting
    flat = setting.get("batch") == "plateau"
    steps = setting.get("steps", "")
    assert one.number is not None
    return PublishedSpeed(
        published.NAMES[one.paper], one.table, f"{one.system}, {setting['solver']} {steps}" if steps else one.system,
        one.paradigm, setting.get("gpu", ""), one.metric, one.number,
        _number(setting.get("duration_s", "")), _number(setting.get("layers", "")) or layers,
        plateau if flat else _number(setting.get("batch", "")), _number(steps), largest if flat else None,
    )  # fmt: skip


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
