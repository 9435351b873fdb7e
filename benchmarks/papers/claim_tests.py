"""How a claim is tested: by contrasts between arms, from scores per item, timings or counts of operations.

Quality: the items of both arms are paired on prompt and seed (set-level metrics by each clip's contribution). The
difference has a bootstrap interval clustered on prompt and seed (``benchmarks.metrics.statistics``), and the contrasts
of a claim share one error budget by Holm's correction. What is expected decides the verdict:

- ``better`` holds where the interval lies on the claimed side and the adjusted p is below 0.05, fails where it lies on
  the other side, else it is undecided.
- ``same`` holds where the whole interval lies within the margin (5% of the way from real audio to its nearest floor),
  fails where it lies outside, else it is undecided.
- ``far_better``, for claims such as "sharply", holds where the interval lies beyond that margin, and fails where it
  does not reach it.

With ``minus`` the effect is a difference of differences: (a - b) - (minus.a - minus.b).

Speed: the effect is the ratio of two medians (with ``minus``: of two differences of medians). Its interval follows from
the ends of theirs, so it is wide rather than narrow. Counts (``training_flops``): a ratio too, and exact.

A contrast is ``not testable`` where records are missing or ``comparability`` does not let them stand together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...common.config import flat
from ..analysis.comparability import differences, within
from ..analysis.metric_validity import at_floor, same_within, unusable
from ..metrics.catalogue import about, family
from ..metrics.metric import Metric
from ..metrics.statistics import Comparison, compare, holm, verdict
from .record_index import ArmRecords, RecordIndex, why_apart

Verdict = Literal["holds", "fails", "undecided", "not testable"]
AGAIN = "which records of today may have; measure them anew into another --results folder"
NO_MARGIN = "no margin: the study has no references to take it from"
EXPECTED = {
    "better": "better than",
    "far_better": "far better than",
    "same": "as good as",
    "lower": "lower than",
    "higher": "higher than",
}
UNITS = {
    "hz": "{} Hz",
    "frames": "{} frames",
    "seconds": "{} s",
    "n_layers": "{} layers",
    "name": "{}",
    "scenario": "{}",
}
BY_MARGIN = ("same", "far_better")  # decided by the interval and a margin, without a p-value
SPEEDS = {"latency_s": "lower", "real_time_factor": "lower", "step_s": "lower", "throughput_clips_per_s": "higher"}
RATIO_MARGIN = 0.1  # speeds within 10% of each other are the same
TRAINING_FLOPS = "training_flops"  # operations of the training that a record rests on


@dataclass(frozen=True)
class Side:
    """One arm of a contrast: its label in ``study`` (default: the contrast's), and what its records must have."""

    arm: str
    study: str = ""
    cell: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``fm (100 Hz, 400 frames)``."""
        settings = ", ".join(_setting_text(key.rpartition(".")[2], value) for key, value in self.cell.items())
        return f"{self.arm} ({settings})" if settings else self.arm


@dataclass(frozen=True)
class Pair:
    """Two arms whose difference is taken off."""

    a: Side
    b: Side


@dataclass(frozen=True)
class Contrast:
    """By one metric, ``a`` is better than ``b``, or the same, or lower or higher where the metric has no better end.

    Attributes:
        metric: a family (``fad``: by whichever evaluator the records have) or the full name of a metric.
        minus: the difference between these two is taken off first.
        varies: dotted keys, or the beginnings of such, in which the records may differ, because the claim is about
            them. The keys by which the sides are chosen may differ anyway.
        margin: of ``same`` and ``far_better``; None: the metric's own. Of counts: what the ratio must stay below.
        run: the command that makes the records, where ``bench run <study>`` is not enough.
    """

    metric: str
    a: Side
    b: Side
    expect: Literal["better", "far_better", "same", "lower", "higher"] = "better"
    study: str = ""
    minus: Pair | None = None
    varies: tuple[str, ...] = ()
    margin: float | None = None
    run: str = ""

    @property
    def sides(self) -> list[Side]:
        """All arms, in the order a, b, minus.a, minus.b."""
        return [self.a, self.b, *([self.minus.a, self.minus.b] if self.minus else [])]

    @property
    def free(self) -> list[str]:
        """The dotted keys in which its records may differ: ``varies``, and those by which its sides are chosen."""
        return [*self.varies, *(key for side in self.sides for key in side.cell)]

    @property
    def title(self) -> str:
        """The contrast in words."""
        names = [side.title for side in self.sides]
        text = f"{self.metric}: {names[0]} {EXPECTED[self.expect]} {names[1]}"
        return f"{text}, more than {names[2]} against {names[3]}" if self.minus else text


@dataclass(frozen=True)
class ContrastResult:
    """What came of a contrast.

    Attributes:
        metric: the metric's full name.
        statistic: ``difference`` (a - b), or ``ratio`` (a / b) for speeds and counts.
        effect: the statistic's value; ``low`` and ``high`` are the ends of its 95% interval.
        margin: differences up to this count as the same.
        p: adjusted by Holm's correction over the claim's contrasts; None where intervals decide.
        better: the metric's better end.
        n, prompts, seeds: numbers of items, prompts and seeds it rests on.
        arms: the records of each side.
        floored: the arms that follow no caption: their CLAP is not above that of real audio of other captions.
    """

    contrast: Contrast
    verdict: Verdict
    why: str = ""
    metric: str = ""
    statistic: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    p: float | None = None
    better: str = ""
    n: int = 0
    prompts: int = 0
    seeds: int = 0
    arms: tuple[ArmRecords, ...] = ()
    floored: tuple[str, ...] = ()


def judge(contrasts: Sequence[Contrast], index: RecordIndex) -> list[ContrastResult]:
    """Test all contrasts of one claim, with Holm's correction over those that a p-value decides."""
    found = [_test(contrast, index) for contrast in contrasts]
    p_values = {
        i: comparison.p_value
        for i, (result, comparison) in enumerate(found)
        if comparison and result.contrast.expect not in BY_MARGIN
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())))) if p_values else {}
    return [_decided(result, comparison, adjusted.get(i)) for i, (result, comparison) in enumerate(found)]


def overall(results: Sequence[ContrastResult]) -> Verdict:
    """A claim holds where all of its contrasts do; it is not testable where one of them is not."""
    verdicts = {result.verdict for result in results}
    order: tuple[Verdict, ...] = ("not testable", "fails", "undecided")
    return next((verdict for verdict in order if verdict in verdicts), "holds")


def _test(contrast: Contrast, index: RecordIndex) -> tuple[ContrastResult, Comparison | None]:
    """The contrast's effect; quality comes with the comparison that decides its verdict."""
    arms = [index.find(side.study or contrast.study, side.arm, side.cell, contrast.run) for side in contrast.sides]
    why = next((arm.why for arm in arms if arm.why), "") or why_apart(arms, contrast.free)
    if why:
        return ContrastResult(contrast, "not testable", why), None
    if contrast.metric == TRAINING_FLOPS:
        return _operations(ContrastResult(contrast, "undecided", metric=TRAINING_FLOPS, arms=tuple(arms))), None
    held = [arm.metrics(contrast.metric) for arm in arms]
    names = [name for name in held[0] if all(name in other for other in held)]
    if not names:
        why = f"its records have no {contrast.metric} in common, {AGAIN}"
        return ContrastResult(contrast, "not testable", why), None
    base = ContrastResult(contrast, "undecided", metric=names[0], arms=tuple(arms))
    return (_speed(base), None) if names[0] in SPEEDS else _quality(base, index)


def _quality(base: ContrastResult, index: RecordIndex) -> tuple[ContrastResult, Comparison | None]:
    """The difference between scores per item, paired on prompt and seed."""
    name, contrast = base.metric, base.contrast
    references = _references(base.arms[0], name, index, contrast)
    not_usable = unusable(name, references)
    if not_usable:
        return replace(base, verdict="not testable", why=f"{name} is not usable here: {not_usable}"), None
    scores = [arm.table.items(arm.row, name) for arm in base.arms]
    shared = [key for key in scores[0] if all(not math.isnan(own.get(key, math.nan)) for own in scores)]
    prompts, seeds = [prompt for prompt, _ in shared], [seed for _, seed in shared]
    if len(set(prompts)) < 2:
        return replace(base, verdict="not testable", why=f"fewer than two prompts in common have {name} per clip"), None
    a, b = ([own[key] for key in shared] for own in scores[:2])
    if contrast.minus:
        a = [value - scores[2][key] for value, key in zip(a, shared)]
        b = [value - scores[3][key] for value, key in zip(b, shared)]
    margin = contrast.margin if contrast.margin is not None else same_within(name, references)
    compared = compare(a, b, prompts, seeds, higher_is_better=_upward(contrast, name), margin=margin)
    arms = zip(contrast.sides, base.arms)
    floored = [side.title for side, arm in arms if _follows_no_caption(arm, name, index, contrast)]
    gap = compared.difference
    result = replace(
        base, statistic="difference", effect=gap.estimate, low=gap.low, high=gap.high, margin=margin,
        better=about(name).better, n=gap.n_items, prompts=gap.n_prompts, seeds=gap.n_seeds,
        floored=tuple(dict.fromkeys(floored)),
    )  # fmt: skip
    return result, compared


def _follows_no_caption(arm: ArmRecords, metric: str, index: RecordIndex, contrast: Contrast) -> bool:
    """Whether the arm's CLAP, by the evaluator of ``metric``, is that of real audio of other captions."""
    name = "clap" + metric.removeprefix(family(metric))
    if arm.row.kind != "paradigm" or name not in arm.metrics("clap"):
        return False
    floor = _references(arm, name, index, contrast).get("shuffled_captions", Metric(None))
    return at_floor(arm.value(name), floor)


def _references(arm: ArmRecords, name: str, index: RecordIndex, contrast: Contrast) -> dict[str, Metric]:
    """Ceilings and floors that were scored as the arm was: system -> its metric.

    A setting that the contrast varies must still agree, unless references have none (such as temporal controls).
    """
    found = {}
    for record in index.records(arm.study):
        if record.kind == "reference" and name in record.metrics:
            own = flat(record.cell)
            lacks = [key for key in contrast.free if not any(within(held, [key]) for held in own)]
            if not differences(record, arm.records[0], lacks):
                found[record.system] = record.metrics[name]
    return found


def _upward(contrast: Contrast, name: str) -> bool:
    end = SPEEDS.get(name) or about(name).better
    return (end if contrast.expect in ("better", "far_better") else contrast.expect) == "higher"


def _decided(result: ContrastResult, compared: Comparison | None, p: float | None) -> ContrastResult:
    if compared is None:
        return result
    if result.contrast.expect in BY_MARGIN:
        if result.margin is None or result.low is None or result.high is None:
            return replace(result, verdict="undecided", why=NO_MARGIN)
        if result.contrast.expect == "same":
            return replace(result, verdict=_sameness(result.low, result.high, result.margin))
        least, most = (result.low, result.high) if result.better == "higher" else (-result.high, -result.low)
        return replace(result, verdict=_verdict(least > result.margin, most < result.margin))
    found = verdict(replace(compared, margin=None), p)
    return replace(result, verdict=_verdict(found == "better", found == "worse"), p=p)


def _sameness(low: float, high: float, margin: float) -> Verdict:
    return _verdict(-margin <= low and high <= margin, low > margin or high < -margin)


def _verdict(holds: bool, fails: bool) -> Verdict:
    return "holds" if holds else "fails" if fails else "undecided"


def _speed(base: ContrastResult) -> ContrastResult:
    """The ratio a / b of two medians, or (a - b) / (minus.a - minus.b) of four, as wide as their intervals allow."""
    held = [arm.records[-1].metrics[base.metric] for arm in base.arms]
    ends = [(m.low, m.value, m.high) for m in held if m.value and m.low and m.high]
    if len(ends) < len(held):
        return replace(base, why="a median without an interval: too few samples")
    above, below = ends[:2] if len(ends) == 2 else (_gap(*ends[:2]), _gap(*ends[2:]))
    if below[0] <= 0:
        return replace(base, why="the difference to compare with may be nothing: its medians' intervals overlap")
    low, high = min(above[0] / below[2], above[0] / below[0]), max(above[2] / below[0], above[2] / below[2])
    margin = RATIO_MARGIN if base.contrast.margin is None else base.contrast.margin
    result = replace(
        base, statistic="ratio", effect=above[1] / below[1], low=low, high=high, better=held[0].better, seeds=1,
        n=min(m.n for m in held), margin=margin,
    )  # fmt: skip
    if base.contrast.expect == "same":
        return replace(result, verdict=_sameness(math.log(low), math.log(high), math.log1p(margin)))
    sides = (low > 1, high < 1) if _upward(base.contrast, base.metric) else (high < 1, low > 1)
    return replace(result, verdict=_verdict(*sides))


def _gap(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    return a[0] - b[2], a[1] - b[1], a[2] - b[0]


def _operations(base: ContrastResult) -> ContrastResult:
    """The ratio a / b of operations counted over a whole training, which have no interval."""
    counts = [arm.records[-1].training for arm in base.arms]
    flops = [count.flops for count in counts if count and count.flops]
    if len(flops) < len(counts):
        return replace(base, verdict="not testable", why=f"its records do not count operations, {AGAIN}")
    ratio, most = flops[0] / flops[1], 1.0 if base.contrast.margin is None else base.contrast.margin
    return replace(
        base, statistic="ratio", effect=ratio, low=ratio, high=ratio, margin=most, better="lower", n=1, seeds=1,
        verdict="holds" if ratio < most else "fails",
    )  # fmt: skip


def _setting_text(key: str, value: Any) -> str:
    """``100 Hz``, ``with skips``, ``batch 32``."""
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return UNITS.get(key, f"{key} {{}}").format(text)
