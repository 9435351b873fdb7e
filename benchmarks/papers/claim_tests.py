"""Tests of claims: contrasts between arms, from per-item scores or from timings, and what each allows one to say.

Quality: items of both arms are paired on prompt and seed (set-level metrics by each clip's contribution), the
difference has a bootstrap interval clustered on prompt and seed (``benchmarks.metrics.statistics``), and the claim's contrasts
share one error budget by Holm. ``better`` holds where the interval lies on the claimed side and the adjusted p is below
.05, fails where it lies on the other, else is undecided. ``same`` holds where the whole interval lies within the margin
(5% of the way from real audio to its nearest floor), fails where it lies outside, else is undecided; ``far_better``,
for claims such as "sharply", holds where it lies beyond that margin, fails where it does not reach it. With ``minus``
the effect is a difference of differences: (a - b) - (minus.a - minus.b).

Speed: the effect is the ratio of two medians (with ``minus``: of two differences of medians), its interval from the
ends of theirs, which is wide rather than narrow. Counts (``training_flops``): a ratio too, and exact.

A contrast that lacks records, mixes evaluators or compares unlike trainings is ``not testable``, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...common.config import flat
from ..analysis.metric_validity import at_floor, same_within, unusable
from ..analysis.result_table import BY_NATURE
from ..metrics.catalogue import about, family
from ..metrics.metric import Metric
from ..metrics.statistics import Comparison, compare, holm, verdict
from .selection import Choice, Library, mixed

Verdict = Literal["holds", "fails", "undecided", "not testable"]
AGAIN = "which records of today may have; measure them anew into another --results folder"
WORDS = {
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
MARGINS = ("same", "far_better")  # decided by the interval and a margin, without a p
SPEEDS = {"latency_s": "lower", "real_time_factor": "lower", "step_s": "lower", "throughput_clips_per_s": "higher"}
RATIO_MARGIN = 0.1  # speeds within 10% of each other are the same
TRAINING = "training_flops"  # operations of the training that a record stands on
Scores = dict[tuple[str, int], float]
Ends = tuple[float, float, float]  # low, value, high


@dataclass(frozen=True)
class Side:
    """One arm of a contrast: its label in ``study`` (or the contrast's), and what its records must have."""

    arm: str
    study: str = ""
    cell: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two arms, for a difference of differences."""

    a: Side
    b: Side


@dataclass(frozen=True)
class Contrast:
    """By one metric, ``a`` is ``better`` than ``b``, or the ``same``; ``lower``, ``higher`` of what has no better end.

    Attributes:
        metric: a family (``fad``: by whichever evaluator the records have) or a metric's name.
        minus: the difference between these two is taken off first.
        varies: dotted prefixes in which trainings, backbones or examinations may differ, as the claim is about them.
        margin: for ``same`` and ``far_better``; None: the metric's own. Of counts: what the ratio must stay below.
        run: the command where ``bench run <study>`` is not enough.
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
    def title(self) -> str:
        """In words."""
        names = [_named(side) for side in self.sides]
        words = f"{names[0]} {WORDS[self.expect]} {names[1]}"
        return f"{self.metric}: {words}" + (f", more than {names[2]} against {names[3]}" if self.minus else "")


@dataclass(frozen=True)
class Outcome:
    """What came of a contrast.

    Attributes:
        metric: the metric's full name.
        statistic: ``difference`` (a - b), or ``ratio`` (a / b) for speeds; ``effect`` with its 95% interval.
        margin: what counted as the same.
        p: Holm-adjusted over the claim's contrasts, None where intervals decide.
        better: the metric's better end.
        n, prompts, seeds: what it rests on.
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
    choices: tuple[Choice, ...] = ()
    floored: tuple[str, ...] = ()


def judge(contrasts: Sequence[Contrast], library: Library) -> list[Outcome]:
    """All contrasts of one claim, with Holm's correction over those that are decided by a p-value."""
    found = [_examine(contrast, library) for contrast in contrasts]
    tested = [
        i for i, (outcome, comparison) in enumerate(found) if comparison and outcome.contrast.expect not in MARGINS
    ]
    p_values = [comparison.p_value for i in tested if (comparison := found[i][1])]
    adjusted = dict(zip(tested, holm(p_values))) if tested else {}
    return [_decided(outcome, comparison, adjusted.get(i)) for i, (outcome, comparison) in enumerate(found)]


def overall(outcomes: Sequence[Outcome]) -> Verdict:
    """A claim holds where all of its contrasts do; it is not testable where one lacks records."""
    verdicts = {outcome.verdict for outcome in outcomes}
    order: tuple[Verdict, ...] = ("not testable", "fails", "undecided")
    return next((verdict for verdict in order if verdict in verdicts), "holds")


def _examine(contrast: Contrast, library: Library) -> tuple[Outcome, Comparison | None]:
    """The contrast's effect; not testable where it has none."""
    choices = [library.choose(s.study or contrast.study, s.arm, s.cell, contrast.run) for s in contrast.sides]
    why = (
        next((choice.why for choice in choices if choice.why), "")
        or mixed(choices, contrast.varies)
        or _unlike(choices, contrast)
    )
    if why:
        return Outcome(contrast, "not testable", why), None
    if contrast.metric == TRAINING:
        return _counted(Outcome(contrast, "undecided", metric=TRAINING, choices=tuple(choices))), None
    held = [choice.metrics(contrast.metric) for choice in choices]
    names = [name for name in held[0] if all(name in other for other in held)]
    if not names:
        return Outcome(contrast, "not testable", f"its records have no {contrast.metric} in common, {AGAIN}"), None
    base = Outcome(contrast, "undecided", metric=names[0], choices=tuple(choices))
    if names[0] in SPEEDS:
        return _speed(base), None
    return _quality(base, library)


def _quality(base: Outcome, library: Library) -> tuple[Outcome, Comparison | None]:
    name, contrast = base.metric, base.contrast
    references = _references(base.choices[0], name, library)
    useless = unusable(name, references)
    if useless:
        return replace(base, verdict="not testable", why=f"{name} is not usable here: {useless}"), None
    scores = [choice.board.items(choice.row, name) for choice in base.choices]
    shared = [key for key in scores[0] if all(not math.isnan(own.get(key, math.nan)) for own in scores)]
    if len({prompt for prompt, _ in shared}) < 2:
        return replace(base, verdict="not testable", why=f"fewer than two prompts in common have {name} per clip"), None
    a, b = _difference(scores, shared, 0), _difference(scores, shared, 1)
    margin = contrast.margin if contrast.margin is not None else same_within(name, references)
    compared = compare(
        a, b, [prompt for prompt, _ in shared], [seed for _, seed in shared],
        higher_is_better=_upward(contrast, name), margin=margin,
    )  # fmt: skip
    gap = compared.difference
    told = replace(
        base, statistic="difference", effect=gap.estimate, low=gap.low, high=gap.high, margin=margin,
        better=about(name).better, n=gap.n_items, prompts=gap.n_prompts, seeds=gap.n_seeds,
        floored=tuple(dict.fromkeys(
            _named(side) for side, choice in zip(contrast.sides, base.choices) if _deaf(choice, name, library)
        )),
    )  # fmt: skip
    return told, compared


def _deaf(choice: Choice, metric: str, library: Library) -> bool:
    """Whether the arm's CLAP, judged as ``metric``, does not tell it from real audio of other captions."""
    name = "clap" + metric.removeprefix(family(metric))
    if choice.row.kind != "paradigm" or name not in choice.metrics("clap"):
        return False
    own, floor = choice.figure(name), _references(choice, name, library).get("shuffled_captions", Metric(None))
    return at_floor(own, floor)


def _upward(contrast: Contrast, name: str) -> bool:
    """Whether the claim is that a's score is the higher one."""
    end = SPEEDS.get(name) or about(name).better
    return (end if contrast.expect in ("better", "far_better") else contrast.expect) == "higher"


def _difference(scores: Sequence[Scores], shared: Sequence[tuple[str, int]], side: int) -> list[float]:
    """Scores of a (side 0) or b (side 1), less those of ``minus`` where there are any."""
    less = scores[2 + side] if len(scores) > 2 else None
    return [scores[side][key] - (less[key] if less else 0.0) for key in shared]


def _decided(outcome: Outcome, compared: Comparison | None, p: float | None) -> Outcome:
    if compared is None:
        return outcome
    if outcome.contrast.expect == "same":
        return replace(outcome, **_sameness(outcome.low, outcome.high, outcome.margin))
    if outcome.contrast.expect == "far_better":
        return replace(outcome, **_distance(outcome))
    said = verdict(replace(compared, margin=None), p)
    words: dict[str, Verdict] = {"better": "holds", "worse": "fails"}
    return replace(outcome, verdict=words.get(said, "undecided"), p=p)


def _sameness(low: float | None, high: float | None, margin: float | None) -> dict[str, Any]:
    if margin is None or low is None or high is None:
        return {"verdict": "undecided", "why": "no margin: the study has no references to take it from"}
    inside, outside = -margin <= low and high <= margin, low > margin or high < -margin
    return {"verdict": "holds" if inside else "fails" if outside else "undecided"}


def _distance(told: Outcome) -> dict[str, Any]:
    if told.margin is None or told.low is None or told.high is None:
        return {"verdict": "undecided", "why": "no margin: the study has no references to take it from"}
    least, most = (told.low, told.high) if told.better == "higher" else (-told.high, -told.low)
    return {"verdict": "holds" if least > told.margin else "fails" if most < told.margin else "undecided"}


def _speed(base: Outcome) -> Outcome:
    """The ratio a / b of two medians, or (a - b) / (minus.a - minus.b) of four, as wide as their intervals allow."""
    held = [choice.records[-1].metrics[base.metric] for choice in base.choices]
    medians = [(m.low, m.value, m.high) for m in held if m.value and m.low and m.high]
    if len(medians) < len(held):
        return replace(base, why="a median without an interval: too few samples")
    above, below = medians[:2] if len(medians) == 2 else (_gap(*medians[:2]), _gap(*medians[2:]))
    if below[0] <= 0:
        return replace(base, why="the difference to compare with may be nothing: its medians' intervals overlap")
    low, high = min(above[0] / below[2], above[0] / below[0]), max(above[2] / below[0], above[2] / below[2])
    told = replace(
        base, statistic="ratio", effect=above[1] / below[1], low=low, high=high, better=held[0].better, seeds=1,
        n=min(m.n for m in held), margin=RATIO_MARGIN if base.contrast.margin is None else base.contrast.margin,
    )  # fmt: skip
    assert told.margin is not None
    if base.contrast.expect == "same":
        return replace(told, **_sameness(math.log(low), math.log(high), math.log1p(told.margin)))
    ahead, behind = (low > 1, high < 1) if _upward(base.contrast, base.metric) else (high < 1, low > 1)
    return replace(told, verdict="holds" if ahead else "fails" if behind else "undecided")


def _gap(a: Ends, b: Ends) -> Ends:
    """The difference of two medians and its ends."""
    return a[0] - b[2], a[1] - b[1], a[2] - b[0]


def _counted(base: Outcome) -> Outcome:
    """The ratio a / b of operations counted over a whole training, which have no interval."""
    counts = [choice.records[-1].training for choice in base.choices]
    flops = [count.flops for count in counts if count and count.flops]
    if len(flops) < len(counts):
        return replace(base, verdict="not testable", why=f"its records do not count operations, {AGAIN}")
    ratio, most = flops[0] / flops[1], 1.0 if base.contrast.margin is None else base.contrast.margin
    return replace(
        base, statistic="ratio", effect=ratio, low=ratio, high=ratio, margin=most, better="lower", n=1, seeds=1,
        verdict="holds" if ratio < most else "fails",
    )  # fmt: skip


def _unlike(choices: Sequence[Choice], contrast: Contrast) -> str:
    """Arms are compared after the same training in the same backbone, unless the claim is about that."""
    settings = [(choice, _shared(choice)) for choice in choices]
    for choice, held in settings[1:]:
        first = settings[0][1]
        keys = [key for key in {**first, **held} if first.get(key) != held.get(key)]
        keys = [key for key in keys if not key.startswith(contrast.varies)] if contrast.varies else keys
        if keys:
            names = " and ".join(one.records[0].system for one in (choices[0], choice))
            return f"{names} differ in {', '.join(keys[:3])}, so their paradigms cannot be compared; train both alike"
    return ""


def _shared(choice: Choice) -> Mapping[str, Any]:
    cell = choice.records[0].cell
    backbone = {k: v for k, v in cell.get("model", {}).get("backbone", {}).items() if k not in BY_NATURE}
    train = {k: v for k, v in cell.get("train", {}).items() if k != "seed"}
    return flat({"backbone": backbone, "train": train, "setting": cell.get("setting", {})})


def _references(choice: Choice, name: str, library: Library) -> dict[str, Metric]:
    """Ceilings and floors that were judged as the choice was: system -> its figure."""
    held = [r for r in library.records(choice.study) if r.kind == "reference" and name in r.metrics]
    eval_set = [choice.records[0].cell.get(key) for key in ("evaluation", "data")]
    return {r.system: r.metrics[name] for r in held if [r.cell.get(key) for key in ("evaluation", "data")] == eval_set}


def _named(side: Side) -> str:
    more = ", ".join(_said(key.rpartition(".")[2], value) for key, value in side.cell.items())
    return f"{side.arm} ({more})" if more else side.arm


def _said(key: str, value: Any) -> str:
    """``100 Hz``, ``with skips``, ``batch 32``."""
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return UNITS.get(key, f"{key} {{}}").format(text)
