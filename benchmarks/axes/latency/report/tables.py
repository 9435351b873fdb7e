"""The tables of latency: one row per setting, one row per measurement, and one per baseline beside our engine.

A measurement without a result shows its status. Marks such as ``(a)`` refer to notes with the reason, or with the
criteria that were not met.
"""

from __future__ import annotations

from collections.abc import Callable

from ....metrics.metric import Metric
from ....report.markup import Table
from . import units
from .sweeps import LatencyPoint, Sweep, sort_key

# heading -> metric, and how it is shown; a column without values is left out
COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
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


class FootNotes:
    """Footnotes: the same text gets the same mark."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """`` (a)`` for the first text, `` (b)`` for the second, after `` (z)`` numbers."""
        n = len(self._marks)
        return " " + self._marks.setdefault(text, f"({chr(ord('a') + n) if n < 26 else n + 1})")

    def lines(self) -> tuple[str, ...]:
        """Every mark with its text."""
        return tuple(f"{mark} {text}" for text, mark in self._marks.items())


def in_short(sweep: Sweep, notes: tuple[str, ...] = ()) -> Table:
    """One row per setting and one column per system: latency of one batch, and the share of the bound it reaches."""
    systems = list(dict.fromkeys(point.system for point in sweep.points))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for point in sorted(sweep.points, key=lambda p: [sort_key(p.settings.get(name)) for name in sweep.swept]):
        share = point.value("bound_ratio")
        text = units.shown(_bare(point, "latency_s"), units.seconds) if point.good else point.record.status
        setting = tuple(units.setting(point.settings.get(name)) for name in sweep.swept)
        reached = f" ({units.share(share)})" if point.good and share is not None else ""
        lines.setdefault(setting, {})[point.system] = text + reached
    body = [[*setting, *(cells.get(system, "") for system in systems)] for setting, cells in lines.items()]
    return Table([*map(units.heading, sweep.swept), *systems], body, notes=notes)


def measurements(sweep: Sweep) -> Table:
    """One row per measurement: system, swept settings, and those metrics that any of the measurements has."""
    columns = {
        heading: column
        for heading, column in COLUMNS.items()
        if any(p.value(column[0]) is not None for p in sweep.points)
    } or {"latency ↓": COLUMNS["latency ↓"]}
    notes, body = FootNotes(), []
    for point in sweep.points:
        shown = [units.shown(_bare(point, name), unit) for name, unit in columns.values()]
        shown[0] = _leading_cell(point, notes)
        if not point.good:
            shown[1:] = [""] * (len(shown) - 1)
        n = [str(point.metric("latency_s").n or "")]
        body.append([point.system, *(units.setting(point.settings.get(name)) for name in sweep.swept), *shown, *n])
    italic = frozenset(i for i, point in enumerate(sweep.points) if point.baseline)
    header = ["system", *map(units.heading, sweep.swept), *columns, "n"]
    return Table(header, body, italic=italic, notes=notes.lines())


def _bare(point: LatencyPoint, name: str) -> Metric:
    """A metric without its interval, which follows from that of the latency."""
    return Metric(point.value(name))


def _leading_cell(point: LatencyPoint, notes: FootNotes) -> str:
    record = point.record
    if not point.good:
        return record.status + (notes.mark(record.reason) if record.reason else "")
    unmet = sorted({name.split(":")[0] for name in point.speed().get("unmet", ())})
    mark = notes.mark(f"criteria not met: {', '.join(unmet)}") if unmet else ""
    return units.shown(point.metric("latency_s"), units.seconds) + mark


def against_baselines(sweep: Sweep) -> Table | None:
    """Our engine against each baseline at the same settings, with both shares of the bound; None without baselines.

    The ratio is the baseline's latency over ours; above 1, ours is faster. Its interval is from the lower end of the
    one over the upper end of the other to the reverse, so it is rather too wide.
    """
    ours = {(point.arm, str(point.settings)): point for point in sweep.ours}
    notes, body = FootNotes(), []
    for other in sweep.points:
        own = ours.get((other.arm, str(other.settings)))
        if not other.baseline or own is None:
            continue
        times = [_leading_cell(point, notes) for point in (own, other)]
        shares = [units.shown(_bare(point, "bound_ratio"), units.share) if point.good else "" for point in (own, other)]
        settings = [units.setting(other.settings.get(name)) for name in sweep.swept]
        body.append([other.arm, other.baseline, *settings, *times, _ratio(own, other), *shares])
    if not body:
        return None
    header = ["arm", "peer", *map(units.heading, sweep.swept), "latency, ours", "latency, peer"]
    return Table([*header, "peer / ours", "share of bound, ours", "share of bound, peer"], body, notes=notes.lines())


def _ratio(own: LatencyPoint, other: LatencyPoint) -> str:
    a, b = own.metric("latency_s"), other.metric("latency_s")
    if not own.good or not other.good or not a.value or b.value is None:
        return ""
    if not a.low or not a.high or b.low is None or b.high is None:
        return f"{units.short(b.value / a.value)} ×"
    return f"{units.short(b.value / a.value)} × [{units.short(b.low / a.high)}, {units.short(b.high / a.low)}]"
