"""From which batch on an autoregressive arm makes more clips per second than flow matching: measured, and by the bound.

One is ahead at a batch where the 95% intervals of the two medians are apart; where they overlap, or samples are too few
for one, it is undecided. The crossover is the smallest batch from which AR is ahead at every larger batch that both
have. By the bound, throughput is batch over bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .....common.lines import count
from . import units
from .points import Point, Sheet, number
from .published import Stated

EQUAL = ("frame_rate_hz", "layers", "seconds", "text_tokens", "text", "decoder", "compile")
Lead = Mapping[float, int]  # batch -> 1: AR is ahead, -1: FM is, 0: undecided


@dataclass(frozen=True)
class Crossover:
    """One pair of arms; ``setting``: what else was swept and is equal for both."""

    ar: str
    fm: str
    setting: str
    measured: Lead
    bound: Lead


def crossovers(sheet: Sheet) -> list[Crossover]:
    """Every AR series against every FM series that share at least two batches."""
    found = []
    same = [knob for knob in sheet.swept if knob in EQUAL]
    for ar in series(sheet, "ar").values():
        for fm in series(sheet, "fm").values():
            shared = sorted(set(ar) & set(fm))
            if len(shared) < 2 or not _alike(a := ar[shared[0]], b := fm[shared[0]]):
                continue
            measured = {batch: _ahead(ar[batch], fm[batch]) for batch in shared}
            bound = {batch: _by_bound(ar[batch], fm[batch]) for batch in shared}
            names = [label(sheet, point, "batch", *same) for point in (a, b)]
            setting = ", ".join(units.named(knob, a.knobs[knob]) for knob in same)
            found.append(Crossover(names[0], names[1], setting, measured, bound))
    return found


def series(sheet: Sheet, paradigm: str) -> dict[str, dict[float, Point]]:
    """Name -> batch -> our measurement, of a paradigm's arms; other swept knobs make series of their own."""
    found: dict[str, dict[float, Point]] = {}
    for point in sheet.ours:
        if point.paradigm == paradigm and point.good:
            found.setdefault(label(sheet, point, "batch"), {})[number(point.knobs["batch"])] = point
    return found


def label(sheet: Sheet, point: Point, *without: str) -> str:
    """The system with the swept knobs that tell its series apart, ``without`` those on an axis."""
    knobs = [
        units.named(knob, point.knobs[knob])
        for knob in sheet.swept
        if knob not in without and point.knobs.get(knob) is not None
    ]
    return ", ".join([point.system, *knobs])


def sentences(sheet: Sheet, published: Sequence[Stated]) -> list[str]:
    """Every pair's crossover in words, then what papers state; none without a pair."""
    alike: dict[tuple[str, str], list[str]] = {}  # names and what is said of them -> the settings it holds for
    for pair in crossovers(sheet):
        told = f"measured, {_told(pair.measured)}; by the bound, {_told(pair.bound)}"
        alike.setdefault((f"{pair.ar} against {pair.fm}", told), []).append(pair.setting)
    said = []
    for (names, told), settings in alike.items():
        where = f" ({'; '.join(settings)})" if any(settings) else ""
        said.append(f"{names}{where}: {told}.")
    for claim in published if said else ():
        if claim.metric == "crossover_batch_size":
            hardware = f"{claim.hardware}, {count(units.knob(claim.layers), 'layer')}"
            said.append(f"{claim.paper} state: AR is ahead from batch {claim.value:g} on ({hardware}).")
    return said


def from_batch(lead: Lead) -> float | None:
    """The smallest batch from which AR is ahead throughout; None where it is not ahead at the largest."""
    since = None
    for batch in sorted(lead, reverse=True):
        if lead[batch] < 1:
            break
        since = batch
    return since


def _told(lead: Lead) -> str:
    first, last = (units.knob(batch) for batch in (min(lead), max(lead)))
    since = from_batch(lead)
    if since == min(lead):
        return f"no crossover in the range {first} to {last}: AR is ahead throughout"
    if since is not None:
        return f"AR is ahead from batch {units.knob(since)} on (range {first} to {last})"
    where = {1: "AR is ahead", 0: "undecided", -1: "FM is ahead"}
    held = {
        words: [units.knob(batch) for batch in sorted(lead) if lead[batch] == sign] for sign, words in where.items()
    }
    told = [f"{words} at batch {', '.join(batches)}" for words, batches in held.items() if batches]
    if len(told) == 1:
        told = [next(words for words, batches in held.items() if batches) + " throughout"]
    return f"no crossover in the range {first} to {last}: {', '.join(told)}"


def _alike(ar: Point, fm: Point) -> bool:
    """Whether the settings that both arms have, their samplers' apart, are equal (batch is shared)."""
    return all(ar.knobs.get(key) == fm.knobs.get(key) for key in EQUAL) and _guided(ar) == _guided(fm)


def _guided(point: Point) -> bool:
    """Whether guidance costs a second branch (at 1 it is the conditional prediction alone)."""
    return point.knobs.get("guidance") not in (None, 1, 1.0)


def _ahead(ar: Point, fm: Point) -> int:
    a, b = ar.metric("latency_s"), fm.metric("latency_s")
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return 0
    return 1 if a.high < b.low else -1 if b.high < a.low else 0


def _by_bound(ar: Point, fm: Point) -> int:
    a, b = ar.value("bound_s"), fm.value("bound_s")
    return 0 if a is None or b is None or a == b else 1 if a < b else -1
