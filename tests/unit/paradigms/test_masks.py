"""Mask ratios against scipy's distributions, and the cosine unmasking schedule."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.masks import MAR_RATIO, MNTP_HIGH, MNTP_LOW, TruncatedNormal, cosine_counts, drop_ratio


def scipys(ratio: TruncatedNormal) -> stats.rv_continuous:
    low, high = ((edge - ratio.mean) / ratio.std for edge in (ratio.low, ratio.high))
    return stats.truncnorm(low, high, loc=ratio.mean, scale=ratio.std)


@pytest.mark.parametrize("ratio", [MAR_RATIO, MNTP_HIGH, MNTP_LOW, TruncatedNormal(0.3, 0.2, 0.25, 0.3)])
def test_truncated_normal_is_scipys(ratio: TruncatedNormal) -> None:
    rng = ItemRNG([3])
    draws = np.array([ratio.draw(rng) for _ in range(2000)])
    assert ratio.low <= draws.min() < draws.max() <= ratio.high
    assert stats.kstest(draws, scipys(ratio).cdf).pvalue > 0.01


def test_mars_mean_ratio_is_the_published_one() -> None:
    assert (MAR_RATIO.mean, MAR_RATIO.std, MAR_RATIO.low, MAR_RATIO.high) == (1.0, 0.25, 0.7, 1.0)
    rng = ItemRNG([0])
    assert scipys(MAR_RATIO).mean() == pytest.approx(0.867, abs=1e-3)
    assert np.mean([MAR_RATIO.draw(rng) for _ in range(2000)]) == pytest.approx(0.867, abs=0.006)


def test_mntp_ratio_is_the_equal_mixture() -> None:
    rng = ItemRNG([5])
    draws = [drop_ratio("mixture", rng) for _ in range(2000)]
    mixture = [scipys(MNTP_HIGH), scipys(MNTP_LOW)]
    assert stats.kstest(draws, lambda x: sum(part.cdf(x) for part in mixture) / 2).pvalue > 0.01
    assert stats.kstest(draws, mixture[0].cdf).pvalue < 1e-6  # the test can tell


@pytest.mark.parametrize(
    ("name", "expected"),
    [("high", scipys(MNTP_HIGH)), ("low", scipys(MNTP_LOW)), ("mar", scipys(MAR_RATIO)), ("uniform", stats.uniform())],
)
def test_drop_ratios_of_one_part(name: str, expected: Any) -> None:
    rng = ItemRNG([6])
    draws = [drop_ratio(name, rng) for _ in range(2000)]
    assert stats.kstest(draws, expected.cdf).pvalue > 0.01
    assert {drop_ratio("fixed", rng), drop_ratio("none", rng)} == {0.7, 0.0}


@given(frames=st.integers(1, 800), iterations=st.integers(1, 300))
def test_cosine_counts(frames: int, iterations: int) -> None:
    counts = cosine_counts(frames, iterations)
    revealed = -np.diff([frames, *counts])
    assert counts[-1] == 0
    assert len(counts) <= iterations
    assert revealed.min() >= 1
    assert revealed.sum() == frames
    # Where the bare formula reveals something at every step so far, it is the schedule.
    formula = [math.floor(frames * math.cos(math.pi * i / (2 * iterations)) + 1e-9) for i in range(iterations + 1)]
    if all(b < a for a, b in itertools.pairwise(formula)):
        assert counts == [*formula[1:-1], 0]
    assert all(count <= max(f, 0) for count, f in zip(counts, formula[1:]))


def test_cosine_counts_by_hand() -> None:
    assert cosine_counts(100, 4) == [92, 70, 38, 0]  # cos 22.5, 45, 67.5, 90 degrees
    assert cosine_counts(4, 8) == [3, 2, 1, 0]
    assert cosine_counts(7, 1) == [0]
