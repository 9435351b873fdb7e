"""Which records stand together: one place (hardware, arithmetic, width), one study, and what it swept.

A *point* is a record with its knobs, the settings that decide speed. Records of one place make a *group*; inside it,
each study has a *sheet*, whose *swept* knobs are those that vary within an arm. A system measured twice at the same
knobs (with another stopping rule, say) stands with its newest record.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..... import paradigms
from .....common.config import flat
from .....common.lines import count
from ....analysis.records import Record, latest
from ....metrics.metric import Metric
from ....report.chapter import StudyRecords
from ....report.style import natural

KNOBS = {  # name -> where a cell keeps it; the settings of its sampler and the paradigm's options follow
    "batch": ("setting", "batch"),
    "seconds": ("setting", "seconds"),
    "frame_rate_hz": ("latent", "frame_rate_hz"),
    "layers": ("model", "backbone", "n_layers"),
    "text_tokens": ("setting", "text_tokens"),
    "text": ("model", "backbone", "text"),
    "decoder": ("setting", "decoder"),
    "compile": ("setting", "compile"),
}


@dataclass(frozen=True, order=True)
class Place:
    """Where it ran, and in which arithmetic; ``width`` is the backbone's."""

    hardware: str
    device: str
    dtype: str
    threads: int
    width: int

    @property
    def title(self) -> str:
        """For headings and captions."""
        threads = f", {count(self.threads, 'thread')}" if self.device == "cpu" else ""
        return f"{self.hardware}, {self.device}{threads}, {self.dtype}, width {self.width}"

    @property
    def slug(self) -> str:
        """For file names."""
        letters = "".join(c if c.isalnum() else " " for c in self.title.lower())
        return "-".join(letters.split())


@dataclass(frozen=True)
class Point:
    """One record and what decides its speed."""

    record: Record
    knobs: Mapping[str, Any]

    @property
    def system(self) -> str:
        """The row's name: an arm's label, for a peer with the library in brackets."""
        return self.record.system

    @property
    def arm(self) -> str:
        """The arm's label, which a peer shares with ours."""
        return self.system.removesuffix(f" ({self.peer})") if self.peer else self.system

    @property
    def peer(self) -> str:
        """The library it was measured in; empty for ours."""
        return self.record.cell.get("peer") or ""

    @property
    def paradigm(self) -> str:
        """Name of its paradigm."""
        return str(_dig(self.record.cell, ("model", "paradigm")) or "")

    @property
    def good(self) -> bool:
        """Whether there is a latency."""
        return self.record.status == "ok" and self.value("latency_s") is not None

    def metric(self, name: str) -> Metric:
        """A metric of the record; empty where it has none."""
        return self.record.metrics.get(name, Metric(None))

    def value(self, name: str) -> float | None:
        """A metric's value."""
        return self.metric(name).value

    def speed(self) -> Mapping[str, Any]:
        """What the tracker says of device and stopping."""
        return self.record.environment.get("speed") or {}


@dataclass(frozen=True)
class Sheet:
    """The points of one study at one place, ordered by arm, then by knobs."""

    study: str
    folder: Path
    place: Place
    points: list[Point]

    @functools.cached_property
    def swept(self) -> list[str]:
        """Knobs that vary within an arm, most telling first."""
        values: dict[str, dict[str, set[str]]] = {}
        for point in self.points:
            for knob, value in point.knobs.items():
                values.setdefault(knob, {}).setdefault(point.arm, set()).add(str(value))
        return [knob for knob, arms in values.items() if any(len(found) > 1 for found in arms.values())]

    @property
    def ours(self) -> list[Point]:
        """Points of this suite's own engines."""
        return [point for point in self.points if not point.peer]


@dataclass(frozen=True)
class Group:
    """All sheets of one place."""

    place: Place
    sheets: list[Sheet]

    @property
    def points(self) -> list[Point]:
        """All points of the place."""
        return [point for sheet in self.sheets for point in sheet.points]


def make_groups(studies: Sequence[StudyRecords]) -> list[Group]:
    """Groups, accelerators first, then by their newest record; sheets in the order of ``studies``."""
    sheets: dict[Place, list[Sheet]] = {}
    newest: dict[Place, str] = {}
    for study in studies:
        held: dict[Place, dict[tuple[str, str], Point]] = {}
        for record in sorted(latest(study.records).values(), key=lambda r: r.created):
            place, point = _place(record), Point(record, _knobs(record))
            held.setdefault(place, {})[(point.system, str(point.knobs))] = point
            newest[place] = max(newest.get(place, ""), record.created)
        for place, points in held.items():
            ordered = sorted(points.values(), key=rank)
            sheets.setdefault(place, []).append(Sheet(study.name, study.folder, place, ordered))
    return [
        Group(place, sheets[place])
        for place in sorted(sheets, key=lambda p: (p.device != "cpu", newest[p]), reverse=True)
    ]


def number(value: Any) -> float:
    """A knob's value for sorting and for axes of figures; what is no number comes first."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("-inf")


def sort_key(value: Any) -> tuple[float, str]:
    """Orders a knob's values: numbers by size, words by letters."""
    return number(value), str(value)


def rank(point: Point) -> tuple[Any, ...]:
    """Orders points: by paradigm, arm, ours before its peer, then by knobs."""
    known = paradigms.names()
    order = known.index(point.paradigm) if point.paradigm in known else len(known)
    return order, natural(point.arm), point.peer, [sort_key(value) for value in point.knobs.values()]


def _place(record: Record) -> Place:
    setting = record.cell.get("setting", {})
    device = str(setting.get("device", ""))
    threads = int(setting.get("threads") or 0) if device == "cpu" else 0  # elsewhere they do not compute
    return Place(
        str(setting.get("hardware", "unknown")), device, str(setting.get("dtype", "")), threads,
        int(_dig(record.cell, ("model", "backbone", "d_model")) or 0),
    )  # fmt: skip


def _knobs(record: Record) -> dict[str, Any]:
    knobs = {name: _dig(record.cell, path) for name, path in KNOBS.items()}
    return (
        knobs | flat(record.cell.get("sampler") or {}) | flat(_dig(record.cell, ("model", "options")) or {}, "options")
    )


def _dig(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
