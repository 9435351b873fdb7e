"""Who is fastest, at a glance: at the smallest and the largest batch of the setting that most systems share."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.chapter import Answer
from benchmarks.report.latency import units
from benchmarks.report.latency.crossover import EQUAL, label
from benchmarks.report.latency.points import Group, Point, Sheet, number

SETTING = (*EQUAL, "batch")


def answers(groups: Sequence[Group]) -> list[Answer]:
    """A line per place that measured two paradigms at one setting."""
    found = []
    for group in groups:
        sheet, settings = max(((sheet, _broadest(sheet)) for sheet in group.sheets), key=lambda one: _telling(one[1]))
        if _telling(settings)[0] > 1:
            told = dict.fromkeys(_order(sheet, points) for points in (settings[0], settings[-1]))
            found.append(Answer(f"Who is fastest? ({group.place.title})", "; ".join(told), group.place.title))
    return found


def _broadest(sheet: Sheet) -> list[tuple[Point, ...]]:
    """Our measurements at equal settings, of as many systems as share one, by batch."""
    held: dict[tuple[str, ...], list[Point]] = {}
    for point in sheet.ours:
        if point.good:
            held.setdefault(tuple(str(point.knobs.get(knob)) for knob in SETTING), []).append(point)
    most = max((len(points) for points in held.values()), default=0)
    kept = [tuple(points) for points in held.values() if len(points) == most]
    return sorted(kept, key=lambda points: number(points[0].knobs["batch"]))


def _telling(settings: Sequence[Sequence[Point]]) -> tuple[int, int]:
    """Paradigms of a setting, and how many settings there are."""
    return len({point.paradigm for point in settings[0]}) if settings else 0, len(settings)


def _order(sheet: Sheet, points: Sequence[Point]) -> str:
    """The systems at one setting with their latencies, fastest first."""
    told = [knob for knob in SETTING if knob in sheet.swept or knob in ("batch", "seconds")]
    where = ", ".join(units.named(knob, points[0].knobs[knob]) for knob in told)
    ranked = sorted((point.value("latency_s") or 0.0, label(sheet, point, *SETTING)) for point in points)
    return f"{where}: {', '.join(f'{name} {units.seconds(latency)}' for latency, name in ranked)}"
