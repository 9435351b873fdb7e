"""Reconstruction metrics on signals whose answer is known."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from paradigm_bench.benchmarks.metrics.reconstruction import log_mel_distance, log_msd, si_snr, visqol, visqol_missing
from paradigm_bench.common.errors import UserError

RATE = 16_000


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


def test_si_snr_of_orthogonal_noise_is_the_ratio_of_powers() -> None:
    x, noise = tone(100.0), tone(300.0)
    assert si_snr(x, x + 0.1 * noise) == pytest.approx(20.0, abs=1e-6)
    assert si_snr(x, 7.0 * (x + 0.1 * noise) + 0.2) == pytest.approx(20.0, abs=1e-6)  # neither gain nor offset count
    assert si_snr(x, noise) == pytest.approx(-100.0, abs=1.0)


def test_si_snr_of_a_copy_is_100_db_and_of_silence_undefined() -> None:
    assert si_snr(tone(100.0), 0.3 * tone(100.0)) == pytest.approx(100.0)
    assert np.isnan(si_snr(np.zeros(100), tone(100.0)[:100]))
    assert np.isnan(si_snr(tone(100.0)[:100], np.zeros(100)))


def test_log_mel_distance_of_a_gain_is_its_logarithm() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 2 * RATE)
    assert log_mel_distance(noise, noise, RATE) == 0.0
    assert log_mel_distance(noise, 0.5 * noise, RATE) == pytest.approx(np.log(2), rel=1e-3)
    assert log_mel_distance(noise, -noise, RATE) == pytest.approx(0.0, abs=1e-5)  # the phase is forgotten


def test_bad_pairs_are_named() -> None:
    with pytest.raises(UserError, match=r"shapes \(5,\) and \(4,\)"):
        si_snr(np.ones(5), np.ones(4))
    with pytest.raises(UserError, match="NaN"):
        log_mel_distance(np.full(2000, np.nan), np.ones(2000), RATE)


def test_visqol_is_optional_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in visqol_missing()
    with pytest.raises(UserError, match="visqol-python"):
        visqol(tone(100.0), tone(100.0), RATE)


@pytest.mark.skipif(bool(visqol_missing()), reason="visqol-python is an optional extra")
def test_visqol_prefers_a_copy_to_noise() -> None:
    rng = np.random.default_rng(0)
    music = sum(tone(hz, 3.0) for hz in (220.0, 277.0, 330.0, 880.0)) / 4
    clean, noisy = visqol(music, music, RATE), visqol(music, music + rng.normal(0, 0.1, len(music)), RATE)
    assert clean > 4.5
    assert noisy < clean - 0.5


def test_log_msd_of_a_gain_is_its_decimal_logarithm_at_every_resolution() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 2 * RATE)
    assert log_msd(noise, noise, RATE) == 0.0
    assert log_msd(noise, 0.1 * noise, RATE) == pytest.approx(1.0, rel=1e-2)
