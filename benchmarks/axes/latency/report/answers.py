"""What a study of latency answers in short: who is fastest at the settings that most systems share."""

from __future__ import annotations

from collections.abc import Sequence

from ....report.chapter import Answer
from . import units
from .crossover import EQUAL, label
from .points import Group, Point, Sheet, number

QUESTION = "Which system is fastest? (latency of one batch, lower is better)"
SETTING = (*EQUAL, "batch")


def answers(groups: Sequence[Group]) -> list[Answer]:
    """The systems at one setting, fastest first, on the machine that measured the most; none without two paradigms."""
    told = [(_telling(_broadest(group.sheets[0])), group) for group in groups]
    telling, group = max(told, key=lambda one: one[0], default=((0, 0), None))
    if group is None or telling[0] < 2:
        return []
    settings = _broadest(group.sheets[0])
    lines = dict.fromkeys(_order(group.sheets[0], points) for points in (settings[0], settings[-1]))
    return [Answer(QUESTION, "; ".join(lines), group.place.title)]


def row(groups: Sequence[Group]) -> dict[str, str]:
    """The study's line among all studies of latency."""
    points = [point for group in groups for point in group.points]
    told = answers(groups)
    return {
        "machine": "; ".join(group.place.title for group in groups),
        "systems": str(len({point.system for point in points})), "measurements": str(len(points)),
        "fastest first": told[0].answer if told else "–",
    }  # fmt: skip


def weight(groups: Sequence[Group]) -> tuple[float, ...]:
    """Machines with an accelerator first; then paradigms at one setting, and how many settings."""
    return max((group.place.device != "cpu", *_telling(_broadest(group.sheets[0]))) for group in groups)


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
    named = [(latency, *name.partition(", ")[::2]) for latency, name in ranked]
    told = [f"{system} {f'({knobs}) ' if knobs else ''}{units.seconds(latency)}" for latency, system, knobs in named]
    return f"{where}: {', '.join(told)}"
