"""Metrics of whole sets: against the packages of their authors, closed forms, hand-made cases and invariances."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from paradigm_bench.benchmarks.evaluators.base import EvaluatorOutput
from paradigm_bench.benchmarks.evaluators.panel import SetLevel
from paradigm_bench.benchmarks.metrics.catalogue import CATALOGUE, FIDELITY_FAMILIES, about, family, metric_of
from paradigm_bench.benchmarks.metrics.frechet import frechet_distance, frechet_infinity
from paradigm_bench.benchmarks.metrics.kad import kernel_distance
from paradigm_bench.benchmarks.metrics.manifold import manifold
from paradigm_bench.benchmarks.metrics.mauve import divergence, mauve, mauve_audio_divergence
from paradigm_bench.benchmarks.metrics.posteriors import inception_score, joint_inception_score
from paradigm_bench.benchmarks.metrics.statistics import interval
from paradigm_bench.common.errors import UserError
from tests.golden.make_metric_goldens import CASES, HISTOGRAMS, ISLANDS, arrays, islands

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "metrics.json").read_text())
D = 24


def normal(seed: int, n: int, shift: float = 0.0, d: int = D) -> np.ndarray:
    """n draws from one correlated Gaussian, its mean shifted in every dimension."""
    mix = np.random.default_rng(99).normal(size=(d, d)) * np.exp(-np.arange(d) / 6)
    return np.random.default_rng(seed).normal(size=(n, d)) @ mix + shift


def test_precision_recall_density_coverage_equal_prdc() -> None:
    for name, (seed, shift) in CASES.items():
        balls = manifold(*arrays(seed, shift))
        for key, value in GOLDEN["prdc"][name].items():
            assert getattr(balls, key) == pytest.approx(value, abs=1e-12), (name, key)


def test_manifold_of_a_line_by_hand() -> None:
    # Reference 0..5: the fifth neighbour of i is the far end, so balls reach 5, 4, 3, 3, 4, 5 (open).
    reference, generated = np.arange(6.0)[:, None], np.array([0.0, 0.5, 1.0, 1.5, 2.0, 40.0])[:, None]
    balls = manifold(reference, generated)
    assert balls.precision == 5 / 6  # 40 lies in no ball
    assert balls.coverage == 1.0
    assert balls.density == pytest.approx((3 + 6 + 6 + 6 + 6 + 0) / 6 / 5)
    assert balls.recall == 1.0  # the ball of 40 reaches 40 back to 0
    assert manifold(reference, generated[[0, 0, 0, 0, 0, 0]]).recall == 0.0  # collapsed: balls without inside


def test_mauve_equals_mauve_text() -> None:
    for (p, q), value in zip(HISTOGRAMS, GOLDEN["mauve_of_histograms"]):
        assert mauve(p, q) == pytest.approx(value, rel=1e-9)
    generated, reference = islands(ISLANDS[0], 40, 0), islands(ISLANDS[1], 40, 1)
    mad = mauve_audio_divergence(reference, generated)
    assert mad == pytest.approx(-np.log(GOLDEN["mauve_of_islands"]), rel=1e-9)


def test_mauve_has_the_properties_of_its_paper() -> None:
    p, q = np.array([5.0, 3.0, 2.0]), np.array([2.0, 3.0, 5.0])
    assert mauve(p, p) == pytest.approx(1.0, rel=1e-12)
    assert mauve(p, q) == pytest.approx(mauve(q, p), rel=1e-12)
    assert 0 < mauve([1, 0], [0, 1]) < 0.005
    assert mauve(10 * p, q) == pytest.approx(mauve(p, q), rel=1e-12)
    blends = [divergence(p, (1 - t) * p + t * q) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert blends == sorted(blends)
    assert blends[0] == pytest.approx(0.0, abs=1e-12)
    # Too little of the reference (a mode dropped) and too much beside it (a mode invented) both cost.
    assert divergence([1, 1, 0], [1, 1, 1]) > 0.1
    assert divergence([1, 1, 1], [1, 1, 0]) > 0.1


def test_mad_orders_distances_and_repeats_itself() -> None:
    reference = normal(0, 200)
    found = [mauve_audio_divergence(reference, normal(1, 200, shift)) for shift in (0.0, 0.6, 2.0)]
    assert found == sorted(found)
    assert found[0] < 0.3
    assert found[2] > 1.0
    assert mauve_audio_divergence(reference, normal(1, 200)) == found[0]


def test_frechet_infinity_removes_the_bias_of_a_finite_set() -> None:
    # Equal distributions: the truth is 0, a plain distance of 100 clips far above; a shift adds its square.
    plain = np.mean([frechet_distance(normal(s, 100), normal(s + 50, 100)).value for s in range(8)])
    fits = [frechet_infinity(normal(s, 100), normal(s + 50, 100)) for s in range(8)]
    values = np.array([fit.value for fit in fits])
    assert plain > 3.0
    assert abs(values.mean()) < 0.15 * plain
    assert min(fit.r_squared for fit in fits) > 0.8
    shifted = [frechet_infinity(normal(s, 100), normal(s + 50, 100, 1.0)).value for s in range(8)]
    assert np.mean(shifted) == pytest.approx(D, abs=0.15 * D)


def test_frechet_infinity_lies_on_the_frechet_distance_and_can_hold_the_reference() -> None:
    x, y = normal(0, 64), normal(1, 64, 0.5)
    fit = frechet_infinity(x, y)
    assert max(fit.sizes) == 64
    assert fit.distances[fit.sizes.index(64)] == pytest.approx(frechet_distance(x, y).value, rel=1e-9)
    assert fit.value + fit.slope / 64 == pytest.approx(fit.distances[fit.sizes.index(64)], rel=0.2)
    held = frechet_infinity(normal(2, 400), y, fixed_reference=True)
    assert held.distances[held.sizes.index(64)] == pytest.approx(frechet_distance(normal(2, 400), y).value, rel=1e-9)
    with pytest.raises(UserError, match="at least 16"):
        frechet_infinity(x[:15], y)


def output_for(rows: np.ndarray) -> EvaluatorOutput:
    posteriors = np.abs(rows[:, :6]) + 0.1
    return EvaluatorOutput(rows, {"key": posteriors / posteriors.sum(1, keepdims=True)}, None)


def test_permuting_clips_changes_no_digit() -> None:
    x, y, rng = normal(3, 48), normal(4, 48, 0.3), np.random.default_rng(0)
    mixed_x, mixed_y = x[rng.permutation(48)], y[rng.permutation(48)]
    assert frechet_distance(mixed_x, mixed_y) == frechet_distance(x, y)
    assert kernel_distance(mixed_x, mixed_y) == kernel_distance(x, y)
    assert frechet_infinity(mixed_x, mixed_y) == frechet_infinity(x, y)
    assert mauve_audio_divergence(mixed_x, mixed_y) == mauve_audio_divergence(x, y)
    here, there = SetLevel(output_for(x), output_for(y)), SetLevel(output_for(mixed_x), output_for(mixed_y))
    everyone = np.arange(48)
    assert len(here.functions) == 9
    for name, metric in here.functions.items():
        assert metric(everyone) == there.functions[name](everyone), name


def test_functions_of_a_draw_equal_the_metric_of_the_drawn_clips() -> None:
    x, y = normal(5, 60), normal(6, 60, 0.3)
    index = np.random.default_rng(1).integers(60, size=60)
    functions = SetLevel(output_for(x), output_for(y)).functions
    assert functions["fad"](index) == pytest.approx(frechet_distance(x, y[index]).value, rel=1e-9)
    assert functions["fad_inf"](index) == pytest.approx(frechet_infinity(x, y[index]).value, rel=1e-9)
    drawn = output_for(y[index]).posteriors
    assert functions["is"](index) == pytest.approx(joint_inception_score(drawn), rel=1e-12)
    balls = manifold(x, y)
    assert functions["precision"](index) == balls.in_reference.any(0)[index].mean()
    # Pairs of a clip with its own repeat count as pairs of equal clips, as in the set that holds it twice.
    assert functions["kad"](index) == pytest.approx(kernel_distance(x, y[index]), rel=1e-9)


def test_what_a_set_is_too_small_for_is_missing_with_its_reason() -> None:
    few = SetLevel(output_for(normal(0, 4)), output_for(normal(1, 4)))
    assert set(few.functions) == {"fad", "kad", "mad", "is"}
    assert few.missing == {
        "fad_inf": "4 clips, it needs 16",
        **{name: "4 clips, it needs 6" for name in ("precision", "recall", "density", "coverage")},
    }
    unclassified = SetLevel(EvaluatorOutput(normal(0, 20), {}, None), EvaluatorOutput(normal(1, 20), {}, None))
    assert list(unclassified.missing) == ["is"]


def test_joint_inception_score_is_the_geometric_mean() -> None:
    sure, unsure = np.eye(4), np.full((4, 9), 1 / 9)
    assert joint_inception_score({"a": sure, "b": unsure}) == pytest.approx(2.0)  # sqrt(4 * 1)
    assert joint_inception_score({"a": sure}) == inception_score(sure)


def test_every_set_level_metric_of_the_catalogue_is_computed() -> None:
    outputs = [dataclasses.replace(output_for(normal(seed, 20)), band_levels=normal(seed, 20)) for seed in (7, 8)]
    functions = SetLevel(*outputs).functions
    assert set(functions) == {name for name in FIDELITY_FAMILIES if CATALOGUE[name].scope == "set"}
    smooth = {name for name in FIDELITY_FAMILIES if CATALOGUE[name].smooth}
    assert smooth == {"fad", "kad", "mad", "is", "band_level"}


def test_a_figure_has_the_better_end_and_the_unit_of_its_family() -> None:
    found = interval(np.arange(4.0), range(4))
    figure = metric_of("kl_builtin", found)
    assert (figure.value, figure.n, figure.better, figure.unit) == (1.5, 4, "lower", "nats")
    assert (figure.low, figure.high) == (found.low, found.high)


def test_families_are_read_off_full_names() -> None:
    found = {name: family(name) for name in ("fad_builtin", "fad_inf_builtin", "adherence_key_builtin", "fad_clap_inf")}
    assert found == {
        "fad_builtin": "fad", "fad_inf_builtin": "fad_inf", "adherence_key_builtin": "adherence", "fad_clap_inf": "fad"
    }  # fmt: skip
    assert about("kad_x").better == "lower"
    assert family("latency_seconds") == "latency"
    assert {kind.scope for kind in CATALOGUE.values()} == {"item", "set"}
