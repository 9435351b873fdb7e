"""Which records of latency stand in one table: those of one study on one platform, and the settings that it swept.

A *platform* is hardware, number format and width of the model; every platform has tables of its own. The settings that
decide speed, such as batch and duration, may vary in a table; everything else must agree with the newest record
(``analysis.comparability``). A system that was measured twice at the same settings stands with its newest record.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..... import paradigms
from .....common.config import flat
from .....common.lines import count
from ....analysis.comparability import AGAIN, select
from ....analysis.records import Record
from ....metrics.metric import Metric
from ....report.chapter import StudyRecords
from ....report.style import natural
from ..cells import LatencyConfig
from . import units

SETTINGS = {  # name -> its key in a cell; the settings of the sampler and the options of the paradigm follow
    "batch": "setting.batch",
    "seconds": "setting.seconds",
    "frame_rate_hz": "latent.frame_rate_hz",
    "layers": "model.backbone.n_layers",
    "text_tokens": "setting.text_tokens",
    "text": "model.backbone.text",
    "decoder": "setting.decoder",
    "compile": "setting.compile",
}
SAMPLER, OPTIONS = "sampler.", "model.options."
FREE = (  # may differ in a table besides the settings above
    "peer",  # a baseline stands beside our own engine
    "setting.frames",  # follow from seconds and frame rate
    "latent.name",  # names the frame rate
    "setting.threads",  # platforms with different threads are apart, and on a GPU threads do not compute
)


@dataclass(frozen=True, order=True)
class Platform:
    """What the measurements of a table ran on; ``width`` is that of the backbone, ``threads`` is 0 for a GPU."""

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
class LatencyPoint:
    """One record, with the settings that decide its speed by name."""

    record: Record
    config: LatencyConfig
    settings: Mapping[str, Any]

    @property
    def system(self) -> str:
        """The row's name: an arm's label; for a baseline with its library in brackets."""
        return self.record.system

    @property
    def arm(self) -> str:
        """The arm's label, which its baselines share."""
        return self.system.removesuffix(f" ({self.baseline})") if self.baseline else self.system

    @property
    def baseline(self) -> str:
        """The library that did the work; empty for our own engine."""
        return self.config.peer or ""

    @property
    def paradigm(self) -> str:
        """Name of its paradigm."""
        return self.config.model.paradigm if self.config.model else ""

    @property
    def good(self) -> bool:
        """Whether it has a latency."""
        return self.record.status == "ok" and self.value("latency_s") is not None

    def metric(self, name: str) -> Metric:
        """A metric of the record; without value if it has no such metric."""
        return self.record.metrics.get(name, Metric(None))

    def value(self, name: str) -> float | None:
        """The value of a metric."""
        return self.metric(name).value

    def speed(self) -> Mapping[str, Any]:
        """Rates of the device, criteria that were not met, and the state of the device."""
        return self.record.environment.get("speed") or {}


@dataclass(frozen=True)
class Sweep:
    """The measurements of one study on one platform.

    Attributes:
        folder: ``results/<study>``.
        points: ordered by arm, then by settings.
        left_out: number of records that are not shown, by the keys in which they differ.
    """

    study: str
    folder: Path
    platform: Platform
    points: list[LatencyPoint]
    left_out: Mapping[str, int]

    @functools.cached_property
    def swept(self) -> list[str]:
        """Names of the settings that vary within an arm."""
        values: dict[str, dict[str, set[str]]] = {}
        for point in self.points:
            for name, value in point.settings.items():
                values.setdefault(name, {}).setdefault(point.arm, set()).add(str(value))
        return [name for name, arms in values.items() if any(len(found) > 1 for found in arms.values())]

    @property
    def ours(self) -> list[LatencyPoint]:
        """Points of our own engine."""
        return [point for point in self.points if not point.baseline]

    def label(self, point: LatencyPoint, *without: str) -> str:
        """The system with those swept settings that tell its series apart.

        Args:
            without: names of settings that are left out, because an axis of a figure shows them.
        """
        names = [name for name in self.swept if name not in without and point.settings.get(name) is not None]
        return ", ".join([point.system, *(units.named(name, point.settings[name]) for name in names)])


def make_sweeps(study: StudyRecords) -> list[Sweep]:
    """The sweeps of a study: accelerators first, then by their newest record."""
    platforms: dict[Platform, list[Record]] = {}
    for record in study.records:
        platforms.setdefault(_platform(record.read(LatencyConfig)), []).append(record)
    order = sorted(platforms, key=lambda p: (p.device != "cpu", max(r.created for r in platforms[p])), reverse=True)
    return [_sweep(study, platform, platforms[platform]) for platform in order]


def number(value: Any) -> float:
    """A setting's value for sorting and for axes of figures; minus infinity if it is no number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("-inf")


def sort_key(value: Any) -> tuple[float, str]:
    """Sort key of a setting's values: numbers by size, then texts."""
    return number(value), str(value)


def rank(point: LatencyPoint) -> tuple[Any, ...]:
    """Sort key of points: by paradigm and arm, our engine before its baselines, then by settings."""
    known = paradigms.names()
    order = known.index(point.paradigm) if point.paradigm in known else len(known)
    return order, natural(point.arm), point.baseline, [sort_key(value) for value in point.settings.values()]


def _sweep(study: StudyRecords, platform: Platform, records: list[Record]) -> Sweep:
    keys = dict.fromkeys(key for record in records for key in flat(record.cell) if key.startswith((SAMPLER, OPTIONS)))
    selection = select(records, FREE, rows=[*SETTINGS.values(), *keys])
    newest = {(point.system, str(point.settings)): point for point in map(_point, selection.kept)}
    replaced = Counter({AGAIN: len(selection.kept) - len(newest)})  # other seeds: a time has no spread over them
    left_out = +(Counter(selection.left_out) + replaced)
    return Sweep(study.name, study.folder, platform, sorted(newest.values(), key=rank), left_out)


def _point(record: Record) -> LatencyPoint:
    cell = flat(record.cell)
    own = {key.removeprefix(SAMPLER): value for key, value in cell.items() if key.startswith(SAMPLER)}
    options = {key.removeprefix("model."): value for key, value in cell.items() if key.startswith(OPTIONS)}
    settings = {name: cell.get(key) for name, key in SETTINGS.items()} | own | options
    return LatencyPoint(record, record.read(LatencyConfig), settings)


def _platform(config: LatencyConfig) -> Platform:
    setting = config.setting
    threads = setting.threads if setting.device == "cpu" else 0
    width = config.model.backbone.d_model if config.model else 0
    return Platform(setting.hardware, setting.device, setting.dtype, threads, width)
