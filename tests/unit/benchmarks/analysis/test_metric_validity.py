"""A metric that does not order ceilings and floors is not usable on that corpus."""

from __future__ import annotations

import pytest

from paradigm_bench.benchmarks.analysis.metric_validity import same_within, unusable
from paradigm_bench.benchmarks.metrics.metric import Metric


def between(low: float, high: float) -> Metric:
    return Metric((low + high) / 2, low, high, n=64)


FAD = {
    "real": between(12, 19), "codec_continuous": between(13, 20), "codec_quantised": between(13, 21),
    "shuffled_captions": between(12, 19), "noise": between(96, 98), "silence": Metric(128.0),
}  # fmt: skip


def test_a_distance_in_order_is_usable_though_shuffled_captions_sound_real() -> None:
    assert unusable("fad_builtin", FAD) == ""
    assert unusable("fad_builtin", {**FAD, "ar": between(500, 600)}) == ""  # arms are not looked at


def test_the_same_figures_read_the_other_way_are_not() -> None:
    assert "noise (97) does not differ enough from real (15.5)" in unusable("recall_builtin", FAD)


def test_metrics_that_read_captions_have_another_floor() -> None:
    scores = {"real": between(0.9, 1.0), "shuffled_captions": between(0.85, 0.95), "noise": between(0.1, 0.2)}
    assert "shuffled_captions (0.9) does not differ enough from real (0.95)" in unusable("clap_builtin", scores)
    assert unusable("density_builtin", scores) == ""


@pytest.mark.parametrize("noise", [between(15, 30), Metric(19.0)])
def test_touching_intervals_do_not_tell_apart(noise: Metric) -> None:
    assert "noise" in unusable("kad_builtin", {**FAD, "noise": noise})


def test_a_codec_clearly_better_than_the_real_thing_is_suspect() -> None:
    assert "codec_quantised (2) seems better" in unusable("mad_builtin", {**FAD, "codec_quantised": between(1, 3)})


def test_nothing_to_compare_is_no_verdict() -> None:
    assert unusable("fad_builtin", {"real": between(1, 2)}) == ""
    assert unusable("fad_builtin", {"real": Metric(None), "noise": between(0, 1)}) == ""


def test_sameness_is_a_share_of_the_way_to_the_nearest_floor() -> None:
    assert same_within("fad_builtin", FAD) == pytest.approx(0.05 * (97 - 15.5))
    scores = {"real": Metric(1.0), "shuffled_captions": Metric(0.2), "noise": Metric(0.0)}
    assert same_within("adherence_builtin", scores) == pytest.approx(0.04)
    assert same_within("fad_builtin", {"real": Metric(1.0)}) is None
    assert same_within("fad_builtin", {"real": Metric(1.0), "noise": Metric(1.0)}) is None
