"""Loudness against the cases that ITU-R BS.1770 and EBU Tech 3341 state, and the limits of short and silent clips."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paradigm_bench.benchmarks.metrics.catalogue import about, evaluator_of, is_fidelity
from paradigm_bench.benchmarks.metrics.loudness import FLOOR_LUFS, loudness_lufs, peak


def tone(rate: int, seconds: float, dbfs: float = 0.0) -> np.ndarray:
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * 997 * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_full_scale_sine_of_997_hz_in_one_channel_has_minus_3_lufs(rate: int) -> None:
    assert loudness_lufs(tone(rate, 5.0), rate) == pytest.approx(-3.01, abs=0.1)


def test_loudness_follows_the_level_and_quiet_passages_are_gated_out() -> None:
    loud = loudness_lufs(tone(48_000, 5.0, -20.0), 48_000)
    assert loud == pytest.approx(-23.0, abs=0.1)
    quiet_around = np.concatenate([tone(48_000, 5.0, -50.0), tone(48_000, 5.0, -20.0), tone(48_000, 5.0, -50.0)])
    assert loudness_lufs(quiet_around, 48_000) == pytest.approx(loud, abs=0.3)  # 4.8 LU lower without the gate


def test_short_clips_have_no_loudness_and_silence_has_the_floor() -> None:
    assert math.isnan(loudness_lufs(tone(16_000, 0.39), 16_000))
    assert math.isfinite(loudness_lufs(tone(16_000, 0.4), 16_000))
    assert loudness_lufs(np.zeros(16_000), 16_000) == FLOOR_LUFS
    assert loudness_lufs(tone(16_000, 1.0, -90.0), 16_000) == FLOOR_LUFS


def test_the_peak_is_the_largest_magnitude() -> None:
    assert peak(np.array([0.1, -0.75, 0.5])) == 0.75
    assert peak(np.array([])) == 0.0


@pytest.mark.parametrize("name", ["loudness_lufs", "peak", "loudness_lufs_window", "peak_span"])
def test_level_only_describes_a_clip(name: str) -> None:
    assert about(name).better == "neither"
    assert evaluator_of(name) == ""
    assert not is_fidelity(name)
