"""Records of the axis ``frame_rate`` as points, one result table each, and paired differences between points.

Scores of windows (metrics that end in ``_window``) compare between points, clip by clip, because every point has the
same prompts and each window the same length.
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..... import paradigms
from ....analysis.comparability import select
from ....analysis.metric_validity import at_floor, margin, why_no_verdict
from ....analysis.pooling import compare_items, pooled, was_trained_against
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, TableRow, make_table
from ....metrics.catalogue import family, is_fidelity
from ....metrics.metric import Metric
from ....metrics.statistics import Comparison, Judgement, judge

# Every point has its own codec and duration, and is scored on clips of that duration.
FREE = ("frame_rate", "data.representation", "evaluation.seconds", "train.seconds")
ROWS = ("frame_rate.hz", "frame_rate.frames")
Mode = Literal["duration", "length", "rate"]
WINDOW = "_window"
HELD = {"duration": "same duration", "length": "same length", "rate": "same rate"}


@dataclass(frozen=True)
class RatePoint:
    """One codec at one duration: its records as a table."""

    hz: float
    frames: int
    seconds: float
    table: ResultTable

    @property
    def label(self) -> str:
        """``25 Hz, 4 s``."""
        return f"{self.hz:g} Hz, {self.seconds:g} s"

    def arm(self, name: str) -> TableRow | None:
        """The row of a system, where it has scores."""
        row = self.table.row(name)
        return row if row is not None and row.good else None

    def score(self, system: str, metric: str) -> Metric:
        """A metric of a system over its seeds; without a value where the system has none."""
        row = self.arm(system)
        return Metric(None) if row is None else pooled(self.table, row, metric)

    def ceiling(self, arm: str) -> str:
        """The reference that an arm cannot beat: real audio through the codes or the latents that it models."""
        row = self.arm(arm)
        name = row.paradigm if row else ""
        codes = name in paradigms.names() and paradigms.find(name).view == "codes"
        return "codec_quantised" if codes else "codec_continuous"


@dataclass(frozen=True)
class RateChange:
    """The difference of one arm between two points, ``a`` minus ``b``; ``mode`` says what is the same at both."""

    metric: str
    arm: str
    mode: Mode
    a: RatePoint
    b: RatePoint
    comparison: Comparison
    judgement: Judgement


def points(study: str, folder: Path, records: Sequence[Record]) -> tuple[list[RatePoint], dict[str, int]]:
    """The points of the newest setting, by rate and length, and how many records are left out, by what differs.

    Of a point that was measured with several codecs, the newest record's stands.
    """
    selection = select(records, FREE, ROWS)
    left_out = Counter(selection.left_out)
    by_place: dict[tuple[float, int], list[Record]] = {}
    for record in selection.kept:
        at = record.cell["frame_rate"]
        by_place.setdefault((at["hz"], at["frames"]), []).append(record)
    found = []
    for (hz, frames), own in sorted(by_place.items()):
        table = make_table(study, folder, own)
        left_out.update(table.left_out)
        found.append(RatePoint(hz, frames, own[0].cell["frame_rate"]["seconds"], table))
    return found, dict(left_out)


def series(found: Sequence[RatePoint], mode: Mode) -> list[list[RatePoint]]:
    """Groups of at least two points that share a duration (or a length, or a rate), in the order of what changes."""
    attribute = {"duration": "seconds", "length": "frames", "rate": "hz"}[mode]
    groups: dict[float, list[RatePoint]] = {}
    for point in sorted(found, key=operator.attrgetter(attribute)):
        groups.setdefault(getattr(point, attribute), []).append(point)
    return [group for group in groups.values() if len(group) > 1]


def arms(found: Sequence[RatePoint]) -> list[str]:
    """Labels of all arms, in the tables' order."""
    return list(dict.fromkeys(row.system for point in found for row in point.table.arms if row.good))


def metric(found: Sequence[RatePoint], wanted: str) -> str:
    """The name of the window's metric of a family, by whichever evaluator; empty where there is none."""
    fitting = [n for n in _windows(found) if family(n) == wanted and n.count("_") <= 2]
    return fitting[0] if fitting else ""


def leads(found: Sequence[RatePoint]) -> list[str]:
    """The window's kernel distance by every judge; empty where no judge scored the study."""
    return [name for name in _windows(found) if family(name) == "kad" and is_fidelity(name)]


def doubt(found: Sequence[RatePoint], name: str) -> str:
    """Why a metric gives no verdict between points; empty where it may decide at all of them."""
    return next((why for point in found if (why := why_no_verdict(point.table, name))), "")


def against(found: Sequence[RatePoint], name: str) -> list[str]:
    """The arms that were trained against the judge of a metric at some point, so that it gives no verdict on them."""
    rows = {arm: [row for point in found if (row := point.arm(arm)) is not None] for arm in arms(found)}
    return [arm for arm, held in rows.items() if any(was_trained_against(row, name) for row in held)]


def _windows(found: Sequence[RatePoint]) -> list[str]:
    """The metrics that compare between points."""
    names = dict.fromkeys(n for p in found for row in p.table.rows for r in row.good for n in r.metrics)
    return [name for name in names if name.endswith(WINDOW)]


def not_following(found: Sequence[RatePoint], name: str) -> dict[str, list[RatePoint]]:
    """The arms that do not follow captions, and at which points: where ``name`` is not above its floor.

    Args:
        name: a metric that reads captions (higher is better); its floor is real audio of another caption.
    """
    found_at: dict[str, list[RatePoint]] = {}
    for arm, point in itertools.product(arms(found), found):
        if at_floor(point.score(arm, name), point.score("shuffled_captions", name)):
            found_at.setdefault(arm, []).append(point)
    return found_at


def changes(found: Sequence[RatePoint], names: Sequence[str]) -> list[RateChange]:
    """Every arm between neighbours of every series, on each of ``names``; Holm over all of them.

    An arm is not compared by a judge that it was trained against at either point. ``a`` is the point with the lower
    rate, or with the longer clip where the rate is the same.
    """
    asked: dict[str, tuple[str, str, Mode, RatePoint, RatePoint]] = {}
    comparisons: dict[str, Comparison] = {}
    modes: tuple[Mode, ...] = ("duration", "length", "rate")
    for name, arm, mode in itertools.product(names, arms(found), modes):
        for group in series(found, mode):
            for a, b in itertools.pairwise(group):
                compared = _compared(arm, a, b, name)
                if compared is not None:
                    key = f"{name} {arm} {mode} {a.label} {b.label}"
                    asked[key], comparisons[key] = (name, arm, mode, a, b), compared
    verdicts = judge(comparisons) if comparisons else {}
    return [RateChange(*asked[key], comparisons[key], verdicts[key]) for key in comparisons]


def _compared(arm: str, a: RatePoint, b: RatePoint, name: str) -> Comparison | None:
    rows = a.arm(arm), b.arm(arm)
    if rows[0] is None or rows[1] is None:
        return None
    first, other = a.table.items(rows[0], name), b.table.items(rows[1], name)
    both = rows[0], rows[1]
    if any(name not in row.good[0].metrics or was_trained_against(row, name) for row in both):
        return None
    higher = rows[0].good[0].metrics[name].better == "higher"
    return compare_items(first, other, higher, margin(a.table, name))
