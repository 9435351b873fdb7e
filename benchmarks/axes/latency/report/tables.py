"""The tables of latency: a short one, one line per measurement, one per peer.

A measurement without a result shows its status; marks such as ``(a)`` point to the reason, or to the stopping criterion
that was not reached.
"""

from __future__ import annotations

from collections.abc import Callable

from ....metrics.metric import Metric
from ....report.table import Table
from . import units
from .points import Point, Sheet, sort_key

COLUMNS: dict[
    str, tuple[str, Callable[[float], str]]
] = {  # heading -> metric and how to show it; empty ones are left out
    "latency ↓": ("latency_s", units.seconds),
    "clips / s ↑": ("throughput_clips_per_s", units.short),
    "real-time factor ↓": ("real_time_factor", units.short),
    "first audio ↓": ("time_to_first_audio_s", units.seconds),
    "bound": ("bound_s", units.seconds),
    "share of bound ↑": ("bound_ratio", units.share),
    "evaluations": ("evaluations", units.count),
    "peak memory": ("peak_allocated_bytes", units.size),
    "peak process memory": ("peak_process_bytes", units.size),
}


class Notes:
    """Footnotes: the same text gets the same mark."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """`` (a)`` for the first text, `` (b)`` for the second, after `` (z)`` numbers."""
        n = len(self._marks)
        return " " + self._marks.setdefault(text, f"({chr(ord('a') + n) if n < 26 else n + 1})")

    def lines(self) -> tuple[str, ...]:
        """What every mark means."""
        return tuple(f"{mark} {text}" for text, mark in self._marks.items())


def in_short(sheet: Sheet, notes: tuple[str, ...] = ()) -> Table:
    """A line per setting, a column per system: latency of one batch, and the share of the bound that is reached."""
    systems = list(dict.fromkeys(point.system for point in sheet.points))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for point in sorted(sheet.points, key=lambda p: [sort_key(p.knobs.get(knob)) for knob in sheet.swept]):
        share = point.value("bound_ratio")
        text = units.shown(_bare(point, "latency_s"), units.seconds) if point.good else point.record.status
        setting = tuple(units.knob(point.knobs.get(knob)) for knob in sheet.swept)
        reached = f" ({units.share(share)})" if point.good and share is not None else ""
        lines.setdefault(setting, {})[point.system] = text + reached
    body = [[*setting, *(cells.get(system, "") for system in systems)] for setting, cells in lines.items()]
    return Table([*map(units.heading, sheet.swept), *systems], body, notes=notes)


def measurements(sheet: Sheet) -> Table:
    """One line per measurement: system, what was swept, and the figures that any of them has."""
    held = {
        heading: column
        for heading, column in COLUMNS.items()
        if any(p.value(column[0]) is not None for p in sheet.points)
    } or {"latency ↓": COLUMNS["latency ↓"]}
    notes, body = Notes(), []
    for point in sheet.points:
        shown = [units.shown(_bare(point, name), unit) for name, unit in held.values()]
        shown[0] = _leading_cell(point, notes)
        if not point.good:
            shown[1:] = [""] * (len(shown) - 1)
        n = [str(point.metric("latency_s").n or "")]
        body.append([point.system, *(units.knob(point.knobs.get(knob)) for knob in sheet.swept), *shown, *n])
    italic = frozenset(i for i, point in enumerate(sheet.points) if point.peer)
    header = ["system", *map(units.heading, sheet.swept), *held, "n"]
    return Table(header, body, italic=italic, notes=notes.lines())


def _bare(point: Point, name: str) -> Metric:
    """Without interval: that of the latency says it for all that follow from it."""
    return Metric(point.value(name))


def _leading_cell(point: Point, notes: Notes) -> str:
    record = point.record
    if not point.good:
        return record.status + (notes.mark(record.reason) if record.reason else "")
    unmet = sorted({name.split(":")[0] for name in point.speed().get("unmet", ())})
    mark = notes.mark(f"criteria not met: {', '.join(unmet)}") if unmet else ""
    return units.shown(point.metric("latency_s"), units.seconds) + mark


def peers(sheet: Sheet) -> Table | None:
    """Ours against each peer at the same setting, with both shares of the bound; None without peers.

    The ratio is the peer's latency over ours (above 1: ours is faster); its bounds take the ends of both intervals that
    are furthest apart, so they are wide rather than narrow.
    """
    ours = {(point.arm, str(point.knobs)): point for point in sheet.ours}
    notes, body = Notes(), []
    for peer in sheet.points:
        own = ours.get((peer.arm, str(peer.knobs)))
        if not peer.peer or own is None:
            continue
        times = [_leading_cell(point, notes) for point in (own, peer)]
        shares = [units.shown(_bare(point, "bound_ratio"), units.share) if point.good else "" for point in (own, peer)]
        knobs = [units.knob(peer.knobs.get(knob)) for knob in sheet.swept]
        body.append([peer.arm, peer.peer, *knobs, *times, _ratio(own, peer), *shares])
    if not body:
        return None
    header = ["arm", "peer", *map(units.heading, sheet.swept), "latency, ours", "latency, peer"]
    return Table([*header, "peer / ours", "share of bound, ours", "share of bound, peer"], body, notes=notes.lines())


def _ratio(own: Point, peer: Point) -> str:
    a, b = own.metric("latency_s"), peer.metric("latency_s")
    if not own.good or not peer.good or not a.value or b.value is None:
        return ""
    if not a.low or not a.high or b.low is None or b.high is None:
        return f"{units.short(b.value / a.value)} ×"
    return f"{units.short(b.value / a.value)} × [{units.short(b.low / a.high)}, {units.short(b.high / a.low)}]"
