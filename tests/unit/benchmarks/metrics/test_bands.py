"""Octave-band levels and their distance, by signals whose level is known; and which metrics are fidelity."""

from __future__ import annotations

import numpy as np
import pytest

from paradigm_bench.benchmarks.evaluators import EvaluatorOutput
from paradigm_bench.benchmarks.evaluators.panel import SetLevel
from paradigm_bench.benchmarks.metrics.bands import FLOOR_DB, band_level, octave_edges, octave_levels
from paradigm_bench.benchmarks.metrics.catalogue import CATALOGUE, TAGGERS, about, evaluator_of, is_fidelity

RATE = 16_000


def test_the_bands_are_octaves_below_half_the_sample_rate() -> None:
    assert octave_edges(RATE).tolist() == [62.5, 125, 250, 500, 1000, 2000, 4000, 8000]
    assert octave_edges(44_100)[-1] == 16_000
    assert octave_edges(8000)[-1] == 4000


@pytest.mark.parametrize("seconds", [1.0, 0.73])
def test_a_sine_is_in_its_band_at_its_level(seconds: float) -> None:
    time = np.arange(round(seconds * RATE)) / RATE
    levels = octave_levels(0.5 * np.sin(2 * np.pi * 700 * time), RATE)
    assert levels[3] == pytest.approx(20 * np.log10(0.5) - 10 * np.log10(2), abs=0.02)
    assert (np.delete(levels, 3) < levels[3] - 25).all()


def test_white_noise_gains_three_decibels_an_octave_at_any_length_and_rate() -> None:
    for rate, n in ((RATE, 48_000), (44_100, 99_991)):  # the second length is a prime
        noise = np.random.default_rng(0).standard_normal(n)
        levels = octave_levels(noise, rate)
        assert np.diff(levels[2:]) == pytest.approx(10 * np.log10(2), abs=0.5)
        edges = octave_edges(rate)
        share = (edges[-1] - edges[0]) / (rate / 2)
        assert 10 * np.log10((10 ** (levels / 10)).sum()) == pytest.approx(10 * np.log10(share), abs=0.1)


def test_silence_has_the_floor() -> None:
    assert octave_levels(np.zeros(RATE), RATE).tolist() == [FLOOR_DB] * 7


def test_the_distance_is_the_mean_of_the_bands_differences() -> None:
    reference = np.array([[-20.0, -30.0], [-22.0, -34.0]])
    generated = np.array([[-21.0, -40.0], [-21.0, -44.0]])
    assert band_level(reference, generated) == pytest.approx((0.0 + 10.0) / 2)
    assert band_level(reference, reference) == 0.0


def test_the_panel_scores_it_where_bands_were_measured_in_any_order_of_clips() -> None:
    rng = np.random.default_rng(0)
    embeddings, levels = rng.standard_normal((2, 30, 3)), rng.normal(-40, 5, (2, 30, 7))
    levels[1, :, 6] -= 14
    outputs = [EvaluatorOutput(e, {}, None, band_levels=b) for e, b in zip(embeddings, levels)]
    functions, everything = SetLevel(*outputs).functions, np.arange(30)
    expected = np.abs(levels[1].mean(0) - levels[0].mean(0)).mean()
    assert functions["band_level"](everything) == pytest.approx(expected)
    some = np.array([4, 4, 9])
    expected = np.abs(levels[1][some].mean(0) - levels[0].mean(0)).mean()
    assert functions["band_level"](some) == pytest.approx(expected)
    turned = [EvaluatorOutput(e[::-1], {}, None, band_levels=b[::-1]) for e, b in zip(embeddings, levels)]
    assert SetLevel(*turned).functions["band_level"](everything) == functions["band_level"](everything)
    plain = [EvaluatorOutput(e, {}, None) for e in embeddings]
    assert "band_level" not in SetLevel(*plain).functions


def test_fidelity_is_what_a_judge_measures() -> None:
    fidelity = (
        "kad_musicnn fad_inf_musicnn_msd kl_musicnn coverage_aisfx band_level_logmel is_clap_music fad_fadtk_vggish"
    )
    for name in fidelity.split():
        assert is_fidelity(name), name
    for name in [
        "fad_builtin",
        "kl_builtin",
        "adherence_builtin",
        "clap_clap_music",
        "seam",
        "log_mel_distance",
        "chord_iou",
        "fad",
    ]:
        assert not is_fidelity(name), name
    assert TAGGERS == ("builtin",)


def test_the_evaluator_of_a_metric() -> None:
    expected = {
        "kad_musicnn": "musicnn", "fad_inf_musicnn_msd": "musicnn_msd", "adherence_builtin": "builtin",
        "adherence_key_builtin": "builtin", "clap_clap_music": "clap_music", "seam": "", "log_mel_distance": "",
    }  # fmt: skip
    assert {name: evaluator_of(name) for name in expected} == expected
    assert (about("band_level_logmel").unit, about("band_level_logmel").better) == ("dB", "lower")
    assert CATALOGUE["band_level"].compared
