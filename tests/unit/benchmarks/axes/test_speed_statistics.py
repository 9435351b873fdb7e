"""Medians, their intervals, percentiles and the stop rule, on samples whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from paradigm_bench.benchmarks.axes.latency.tracker.statistics import (
    StopRule,
    binomial,
    median,
    percentile,
    samples_needed,
)
from paradigm_bench.common.errors import UserError


@pytest.mark.parametrize(("which", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_percentiles_need_what_mlperf_says(which: float, needed: int) -> None:
    assert samples_needed(which) == needed
    assert percentile(list(range(needed - 1)), which) is None
    assert percentile(list(range(1, needed + 1)), which) == math.ceil(which / 100 * needed)


def test_binomial_agrees_with_scipy_where_coefficients_overflow() -> None:
    for k, n, p in ((3, 10, 0.2), (500, 1500, 0.5), (0, 64, 0.1)):
        assert binomial(k, n, p) == pytest.approx(stats.binom.pmf(k, n, p), rel=1e-9)


def test_median_interval_is_the_textbooks() -> None:
    # Conover, Practical Nonparametric Statistics: for n = 20 the 95% interval runs from the 6th to the 15th.
    found = median(list(range(1, 21)))
    assert (found.value, found.low, found.high, found.n) == (10.5, 6, 15, 20)
    assert median([3.0, 1.0, 2.0]).low is None
    assert median([1.0] * 6).spread == 0.0
    assert median([1.0] * 5).spread == math.inf


def test_median_interval_covers_as_promised() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = median(rng.lognormal(0, 1, 15).tolist())
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.95 <= hits / 2000 <= 0.98  # an interval between order statistics is never too short, and little too long


def test_enough_needs_samples_seconds_and_spread() -> None:
    rule = StopRule(samples=11, seconds=10, spread=0.02)
    assert rule.done([1.0] * 11)
    assert not rule.done([1.0] * 9)
    assert not rule.done([0.5] * 19)
    wide = [1.0, 1.2] * 10
    assert not rule.done(wide)
    assert rule.unmet([1.0] * 9) == ["samples: 9 of 11", "seconds: 9 of 10"]
    assert rule.unmet(wide) == ["spread: 9.1%, not 2%"]
    assert rule.unmet([5.0, 5.0]) == ["samples: 2 of 11", "spread: no interval, not 2%"]


def test_caps_end_it_and_leave_the_criteria_unmet() -> None:
    rule = StopRule(cap_samples=50, cap_seconds=30)
    assert rule.done([0.001] * 50)
    assert rule.done([31.0])
    assert not rule.done([])
    assert [line.split(":")[0] for line in rule.unmet([31.0])] == ["samples", "spread"]


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(UserError, match="cap_samples 5 is below samples 11"):
        StopRule(cap_samples=5)
    with pytest.raises(UserError, match="0 or more"):
        StopRule(spread=-1)
