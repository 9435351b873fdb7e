"""How a claim is tested: by contrasts between arms, from scores per item, timings or counts of operations.

Quality: the items of both arms are paired on prompt and seed, and ``metrics.statistics.compare`` gives the
difference, its interval and its p-value, as in the study's table. Of a metric of fidelity, every valid judge tests the
contrast, and they must agree. What is expected decides:

- ``better``: seen where the comparison says better, not seen where it says worse. A difference inside the margin of
  "same" decides neither.
- ``far_better``, for claims such as "sharply": seen where the comparison says better and the whole interval lies beyond
  the margin, not seen where it says worse.
- ``same``: seen where the whole interval lies within the margin, not seen where it lies outside.
- ``lower``, ``higher``: as ``better``, with the stated end as the better one.

With ``minus`` the effect is a difference of differences: (a - b) - (minus.a - minus.b).

Multiplicity: Holm's correction over all comparisons of a paper that may decide. Where the study's table compares the
same two rows, the p-value of its own correction must be small enough too. So whatever a claim calls better or worse,
the table does as well: both have the same interval and margin, and the larger of the two p-values decides here.

Speed: the effect is the ratio of two medians (with ``minus``: of two differences of medians). Its interval follows from
the ends of theirs, so it is wide rather than narrow. Counts (``training_flops``): a ratio too, and exact.

What is missing before a verdict can be given is collected in ``lacks`` (``requirements.py``); then the contrast is not
tested, whatever its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..analysis.metric_validity import margin
from ..analysis.pooling import compare_items, compare_rows
from ..analysis.result_table import Items, ResultTable
from ..metrics.catalogue import FIDELITY_FAMILIES, about, family
from ..metrics.statistics import Comparison, holm, verdict
from .contrasts import Contrast
from .record_index import ArmRecords, RecordIndex, row_in, why_apart
from .requirements import Lack, few_seeds, floors, hardware, invalid, learning, metric_names

Verdict = Literal["seen at this scale", "not seen at this scale", "mixed", "undecided", "not tested here"]
SEEN: Verdict = "seen at this scale"
NOT_SEEN: Verdict = "not seen at this scale"
MIXED: Verdict = "mixed"
UNDECIDED: Verdict = "undecided"
NOT_TESTED: Verdict = "not tested here"
VERDICTS = (SEEN, NOT_SEEN, MIXED, UNDECIDED, NOT_TESTED)
AGAIN = "which its records, made by an earlier version, do not have; measure the study again"
DISAGREE = "judges disagree"
SPEEDS = {"latency_s": "lower", "real_time_factor": "lower", "step_s": "lower", "throughput_clips_per_s": "higher"}
RATIO_MARGIN = 0.1  # speeds within 10% of each other are the same
TRAINING_FLOPS = "training_flops"  # operations of the training that a record rests on


@dataclass(frozen=True)
class MetricResult:
    """A contrast by one metric.

    Attributes:
        metric: its full name.
        why: why it gives no verdict.
        statistic: ``difference`` (a - b), or ``ratio`` (a / b) for speeds and counts.
        effect: the statistic's value; ``low`` and ``high`` are the ends of its 95% interval.
        margin: differences up to this count as the same.
        p: corrected, as the module says; None where nothing is decided by it.
        n, prompts, seeds: numbers of items, prompts and seeds it rests on.
    """

    metric: str
    verdict: Verdict
    why: str = ""
    statistic: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    p: float | None = None
    n: int = 0
    prompts: int = 0
    seeds: int = 0


@dataclass(frozen=True)
class ContrastResult:
    """What came of a contrast.

    Attributes:
        by: what each metric gives, one for each judge.
        lacks: all that is missing before it can be decided.
        note: what stands in for the claim's own metric, or that the judges disagree.
        arms: the records of each side.
    """

    contrast: Contrast
    verdict: Verdict
    by: tuple[MetricResult, ...] = ()
    lacks: tuple[Lack, ...] = ()
    note: str = ""
    arms: tuple[ArmRecords, ...] = ()


@dataclass(frozen=True)
class _Draft:
    """A contrast whose numbers are known, but not yet the corrected p-values.

    ``compared``: metric -> its comparison, and the p-value of the study's table where that has the same one.
    """

    result: ContrastResult
    compared: dict[str, tuple[Comparison, float]]


def judge(contrasts: Sequence[Contrast], index: RecordIndex) -> list[ContrastResult]:
    """Test all contrasts of one paper, with Holm's correction over all comparisons that may decide."""
    drafts = [_draft(contrast, index) for contrast in contrasts]
    p_values = {
        (i, name): compared.p_value
        for i, draft in enumerate(drafts)
        if not draft.result.lacks
        for name, (compared, _) in draft.compared.items()
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())))) if p_values else {}
    return [
        _decided(draft, {name: max(adjusted[i, name], own) for name, (_, own) in draft.compared.items()})
        if not draft.result.lacks
        else draft.result
        for i, draft in enumerate(drafts)
    ]


def overall(results: Sequence[ContrastResult]) -> Verdict:
    """The verdict on a claim, all of whose contrasts are parts of it.

    ``mixed``: some parts are seen, others not. Of undecided parts either may turn out, so they leave a claim undecided
    unless it is mixed already.
    """
    verdicts = {result.verdict for result in results}
    if NOT_TESTED in verdicts:
        return NOT_TESTED
    if {SEEN, NOT_SEEN} <= verdicts:
        return MIXED
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def _draft(contrast: Contrast, index: RecordIndex) -> _Draft:
    arms = [index.find(side.study or contrast.study, side.arm, side.cell, contrast.run) for side in contrast.sides]
    lacks = [Lack(arm.why) for arm in arms if arm.why]
    if not lacks and (why := why_apart(arms, contrast.free)):
        lacks.append(Lack(f"records that may be compared ({why})"))
    held = [arm for arm in arms if arm.records]
    lacks += hardware(contrast, held)
    base = ContrastResult(contrast, NOT_TESTED, lacks=tuple(lacks), arms=tuple(arms) if len(held) == len(arms) else ())
    counted = contrast.metric in SPEEDS or contrast.metric == TRAINING_FLOPS
    if not counted:
        known = [(side, arm) for side, arm in zip(contrast.sides, arms) if arm.records]
        lacks += learning([side for side, _ in known], [arm for _, arm in known], index)
        base = replace(base, lacks=tuple(lacks))
    if len(held) < len(arms):
        return _Draft(base, {})
    if counted:
        return _Draft(_timed(base), {})
    return _quality(base, index)


def _quality(base: ContrastResult, index: RecordIndex) -> _Draft:
    """The differences between scores per item, paired on prompt and seed, by each valid metric."""
    contrast, arms = base.contrast, base.arms
    lacks = [*base.lacks, *few_seeds(arms)]
    names, note = metric_names(contrast, arms)
    table = index.table_of(contrast.varies, contrast.chosen_by, arms)
    by, compared = [], {}
    for name in names:
        if why := invalid(name, [table] if table else [arm.table for arm in arms], arms):
            by.append(MetricResult(name, NOT_TESTED, why))
        elif (found := _compare(contrast, arms, name, table)) is None:
            by.append(MetricResult(name, NOT_TESTED, "fewer than two prompts in common have a score"))
        else:
            by.append(_figures(name, found))
            compared[name] = found, index.table_p(contrast.varies, contrast.chosen_by, arms, name) or 0.0
    if not names:
        whose = " by an independent judge" if family(contrast.metric) in FIDELITY_FAMILIES else ""
        lacks.append(Lack(f"scores of {contrast.metric}{whose}, {AGAIN}"))
    elif not compared:
        lacks += [Lack("a metric that is valid here", f"{one.metric}: {one.why}") for one in by]
    elif contrast.expect in ("same", "far_better") and any(found.margin is None for found, _ in compared.values()):
        lacks.append(Lack(f"a margin for {contrast.metric}, below which a difference counts as none"))
    lacks += floors(contrast, arms, list(compared))
    return _Draft(replace(base, by=tuple(by), lacks=tuple(lacks), note=note), compared)


def _compare(contrast: Contrast, arms: Sequence[ArmRecords], name: str, table: ResultTable | None) -> Comparison | None:
    """The differences by one metric, as the study's table has them; None where there are fewer than two prompts.

    Args:
        table: of the study, if it has all arms; without it, or for a difference of differences, the arms are compared
            alone.
    """
    own = contrast.margin is None or about(name).compared
    least, upward = margin(table or arms[0].table, name) if own else contrast.margin, _upward(contrast, name)
    rows = [row_in(table, arm) for arm in arms] if table and not contrast.minus else []
    if table and rows and rows[0] and rows[1]:
        found = compare_rows(table, rows[0], rows[1], name, least)
        return found and replace(found, higher_is_better=upward)
    scores = [arm.table.items(arm.row, name) for arm in arms]
    first, other = scores[:2]
    if contrast.minus:
        first, other = _less(scores[0], scores[2]), _less(scores[1], scores[3])
    return compare_items(first, other, upward, least)


def _less(scores: Items, taken: Items) -> Items:
    """Scores per item minus others, of the items that both have."""
    return {key: score - taken[key] for key, score in scores.items() if key in taken}


def _figures(name: str, found: Comparison) -> MetricResult:
    gap = found.difference
    return MetricResult(
        name, UNDECIDED, statistic="difference", effect=gap.estimate, low=gap.low, high=gap.high, margin=found.margin,
        n=gap.n_items, prompts=gap.n_prompts, seeds=gap.n_seeds,
    )  # fmt: skip


def _decided(draft: _Draft, p: dict[str, float]) -> ContrastResult:
    """The verdict on a contrast that lacks nothing; ``p``: of each metric."""
    result = draft.result
    if not draft.compared:
        return result
    by = [
        replace(
            one, verdict=_verdict_by(result.contrast, draft.compared[one.metric][0], p[one.metric]), p=p[one.metric]
        )
        if one.metric in p
        else one
        for one in result.by
    ]
    verdicts = {one.verdict for one in by if one.metric in p}
    if len(verdicts) == 1:
        return replace(result, verdict=verdicts.pop(), by=tuple(by))
    note = f"{result.note}; {DISAGREE}" if result.note else DISAGREE
    return replace(result, verdict=UNDECIDED, by=tuple(by), note=note)


def _verdict_by(contrast: Contrast, compared: Comparison, p: float) -> Verdict:
    found, gap, least = verdict(compared, p), compared.difference, compared.margin or 0.0
    if contrast.expect == "same":
        outside = gap.low > least or gap.high < -least
        return _verdict(found == "same", found in ("better", "worse") and outside)
    seen = found == "better"
    if contrast.expect == "far_better":
        seen = seen and (gap.low if compared.higher_is_better else -gap.high) > least
    return _verdict(seen, found == "worse")


def _verdict(seen: bool, not_seen: bool) -> Verdict:
    return SEEN if seen else NOT_SEEN if not_seen else UNDECIDED


def _upward(contrast: Contrast, name: str) -> bool:
    end = SPEEDS.get(name) or about(name).better
    return (end if contrast.expect in ("better", "far_better", "same") else contrast.expect) == "higher"


def _timed(base: ContrastResult) -> ContrastResult:
    """The verdict by speeds or by counts, unless something is missing."""
    name = base.contrast.metric
    one = _operations(base) if name == TRAINING_FLOPS else _speed(base)
    if one.verdict == NOT_TESTED:
        return replace(base, lacks=(*base.lacks, Lack(one.why)))
    if base.lacks:
        return replace(base, by=(replace(one, verdict=UNDECIDED),))
    return replace(base, verdict=one.verdict, by=(one,))


def _speed(base: ContrastResult) -> MetricResult:
    """The ratio a / b of two medians, or (a - b) / (minus.a - minus.b) of four, as wide as their intervals allow."""
    contrast, name = base.contrast, base.contrast.metric
    held = [metric for arm in base.arms if (metric := arm.records[-1].metrics.get(name))]
    if len(held) < len(base.arms):
        return MetricResult(name, NOT_TESTED, f"times ({name}) in all of its records")
    ends = [(m.low, m.value, m.high) for m in held if m.value and m.low and m.high]
    if len(ends) < len(held):
        return MetricResult(name, UNDECIDED, "a median without an interval: too few samples")
    above, below = ends[:2] if len(ends) == 2 else (_gap(*ends[:2]), _gap(*ends[2:]))
    if below[0] <= 0:
        return MetricResult(
            name, UNDECIDED, "the difference to compare with may be nothing: its medians' intervals overlap"
        )
    low, high = min(above[0] / below[2], above[0] / below[0]), max(above[2] / below[0], above[2] / below[2])
    effect = above[1] / below[1]
    most = RATIO_MARGIN if contrast.margin is None else contrast.margin
    result = MetricResult(
        name,
        UNDECIDED,
        statistic="ratio",
        effect=effect,
        low=low,
        high=high,
        n=min(m.n for m in held),
        seeds=1,
        margin=most,
    )
    edge = math.log1p(most)
    if contrast.expect == "same":
        least, highest = math.log(low), math.log(high)
        return replace(result, verdict=_verdict(-edge <= least and highest <= edge, least > edge or highest < -edge))
    if effect > 0 and abs(math.log(effect)) <= edge:
        return result
    upward = _upward(contrast, name)
    return replace(result, verdict=_verdict(*((low > 1, high < 1) if upward else (high < 1, low > 1))))


def _gap(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    return a[0] - b[2], a[1] - b[1], a[2] - b[0]


def _operations(base: ContrastResult) -> MetricResult:
    """The ratio a / b of operations counted over a whole training, which have no interval."""
    counts = [arm.records[-1].training for arm in base.arms]
    flops = [count.flops for count in counts if count and count.flops]
    if len(flops) < len(counts):
        return MetricResult(TRAINING_FLOPS, NOT_TESTED, f"counts of operations, {AGAIN}")
    ratio, most = flops[0] / flops[1], 1.0 if base.contrast.margin is None else base.contrast.margin
    return MetricResult(
        TRAINING_FLOPS, _verdict(ratio < most, ratio >= most), statistic="ratio", effect=ratio, low=ratio, high=ratio,
        margin=most, n=1, seeds=1,
    )  # fmt: skip
