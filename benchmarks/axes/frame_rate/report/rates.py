"""Records of the axis ``frame_rate`` as points, one board each, and paired differences between points.

Boards hold what was judged alike: a point's ceilings and its arms. Scores of windows (``_window``) compare between
points, clip by clip, because every point has the same prompts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..... import paradigms
from .....common.config import config_hash
from ....analysis.metric_validity import at_floor, same_within
from ....analysis.pooling import pooled
from ....analysis.records import Record, latest
from ....analysis.result_table import Board, Row, comparable, make_board
from ....metrics.catalogue import family
from ....metrics.metric import Metric
from ....metrics.statistics import Comparison, Judgement, compare, judge

Mode = Literal["duration", "length", "rate"]
WINDOW = "_window"
HELD = {"duration": "same duration", "length": "same length", "rate": "same rate"}


@dataclass(frozen=True)
class Point:
    """One codec at one duration: its records as a board."""

    hz: float
    frames: int
    seconds: float
    board: Board

    @property
    def label(self) -> str:
        """``25 Hz, 4 s``."""
        return f"{self.hz:g} Hz, {self.seconds:g} s"

    def arm(self, name: str) -> Row | None:
        """The row of a system, where it has scores."""
        row = self.board.row(name)
        return row if row is not None and row.good else None

    def score(self, system: str, metric: str) -> Metric:
        """Of a system over its seeds; without a value where there is none."""
        row = self.arm(system)
        return Metric(None) if row is None else pooled(self.board, row, metric)

    def ceiling(self, arm: str) -> str:
        """The row that an arm of this kind cannot do better than: reconstruction from what it models."""
        row = self.arm(arm)
        name = row.records[0].cell.get("model", {}).get("paradigm") if row else ""
        codes = name in paradigms.names() and paradigms.find(name).view == "codes"
        return "codec_quantised" if codes else "codec_continuous"


@dataclass(frozen=True)
class Change:
    """One arm at ``a`` minus the same arm at ``b``, what is held being the same at both."""

    arm: str
    mode: Mode
    a: Point
    b: Point
    comparison: Comparison
    judgement: Judgement


def points(study: str, folder: Path, records: Sequence[Record]) -> tuple[list[Point], int]:
    """The points of the newest setting (training but for its duration, protocol), by rate and length; what is left out.

    Of a point that was measured with several codecs, the newest record's stands.
    """
    held = list(latest(records).values())
    newest = max(held, key=lambda r: (r.kind == "paradigm", r.created))
    kept = [r for r in held if _exam(r) == _exam(newest) and (r.kind != "paradigm" or _train(r) == _train(newest))]
    by_place: dict[tuple[float, int], list[Record]] = {}
    for record in kept:
        at = record.cell["frame_rate"]
        by_place.setdefault((at["hz"], at["frames"]), []).append(record)
    found = [
        Point(hz, frames, own[0].cell["frame_rate"]["seconds"], make_board(study, folder, own))
        for (hz, frames), own in sorted(by_place.items())
    ]
    return found, len(held) - sum(len(point.board.records) for point in found)


def series(found: Sequence[Point], mode: Mode) -> list[list[Point]]:
    """Points that share a duration (or a length, or a rate), those of two or more; each by what changes."""
    held = {"duration": lambda p: p.seconds, "length": lambda p: p.frames, "rate": lambda p: p.hz}[mode]
    groups = [[point for point in found if held(point) == value] for value in sorted({held(p) for p in found})]
    return [group for group in groups if len(group) > 1]


def arms(found: Sequence[Point]) -> list[str]:
    """Labels of all arms, in the boards' order."""
    return list(dict.fromkeys(row.system for point in found for row in point.board.arms if row.good))


def metric(found: Sequence[Point], wanted: str) -> str:
    """The name of the window's metric of a family, by whichever evaluator; empty where there is none."""
    names = dict.fromkeys(n for p in found for row in p.board.rows for r in row.good for n in r.metrics)
    fitting = [n for n in names if n.endswith(WINDOW) and family(n) == wanted and n.count("_") <= 2]
    return fitting[0] if fitting else ""


def unheard(found: Sequence[Point], name: str) -> dict[str, list[Point]]:
    """Arm -> the points at which ``name`` (higher is better) does not tell it from real audio of another caption."""
    deaf: dict[str, list[Point]] = {}
    for arm, point in itertools.product(arms(found), found):
        if at_floor(point.score(arm, name), point.score("shuffled_captions", name)):
            deaf.setdefault(arm, []).append(point)
    return deaf


def changes(found: Sequence[Point], name: str) -> list[Change]:
    """Every arm between neighbours of every series, on ``name``; Holm over all of them.

    A lower rate is ``a`` where the rate changes, the longer clip where the duration does: what the paper calls better
    is claimed better.
    """
    asked: dict[str, tuple[str, Mode, Point, Point]] = {}
    comparisons: dict[str, Comparison] = {}
    modes: tuple[Mode, ...] = ("duration", "length", "rate")
    for arm, mode in itertools.product(arms(found), modes):
        for group in series(found, mode):
            for a, b in itertools.pairwise(group):
                compared = _compared(arm, a, b, name)
                if compared is not None:
                    key = f"{arm} {mode} {a.label} {b.label}"
                    asked[key], comparisons[key] = (arm, mode, a, b), compared
    verdicts = judge(comparisons) if comparisons else {}
    return [Change(*asked[key], comparisons[key], verdicts[key]) for key in comparisons]


def _compared(arm: str, a: Point, b: Point, name: str) -> Comparison | None:
    rows = a.arm(arm), b.arm(arm)
    if rows[0] is None or rows[1] is None:
        return None
    first, other = a.board.items(rows[0], name), b.board.items(rows[1], name)
    shared = [key for key in first if key in other]
    if len({prompt for prompt, _ in shared}) < 2:
        return None
    references = {row.system: pooled(a.board, row, name) for row in a.board.rows if row.kind == "reference"}
    return compare(
        [first[key] for key in shared], [other[key] for key in shared],
        [prompt for prompt, _ in shared], [seed for _, seed in shared],
        higher_is_better=rows[0].good[0].metrics[name].better == "higher", margin=same_within(name, references),
    )  # fmt: skip


def _exam(record: Record) -> str:
    """What decides the scores of windows."""
    evaluation = {key: value for key, value in record.cell.get("evaluation", {}).items() if key != "seconds"}
    data = {key: value for key, value in record.cell.get("data", {}).items() if key != "representation"}
    return config_hash([record.cell.get("version"), data, evaluation])


def _train(record: Record) -> str:
    shared = comparable(record)
    return config_hash([{k: v for k, v in shared["train"].items() if k != "seconds"}, shared["backbone"]])
