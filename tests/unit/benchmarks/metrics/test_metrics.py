"""Metrics against closed forms, independent implementations and hand-computed cases."""

import numpy as np
import pytest
import scipy.linalg
import torch

from paradigm_bench.benchmarks.metrics.adherence import agreement, chance, cosine_similarity
from paradigm_bench.benchmarks.metrics.frechet import FrechetReference, covariance, frechet_distance
from paradigm_bench.benchmarks.metrics.kad import SCALE, kernel_distance, median_bandwidth
from paradigm_bench.benchmarks.metrics.posteriors import EPSILON, inception_score, joint_kl, paired_kl
from paradigm_bench.common.errors import UserError


def correlated(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def sqrtm_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The Frechet distance as FAD's first implementations have it, by a general matrix square root."""
    s1, s2, gap = np.cov(x, rowvar=False), np.cov(y, rowvar=False), x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(s1 + s2 - 2 * scipy.linalg.sqrtm(s1 @ s2).real))


def test_frechet_equals_the_general_matrix_square_root():
    rng = np.random.default_rng(0)
    for n, m, d in [(200, 300, 8), (500, 500, 64), (90, 80, 64)]:
        x, y = correlated(rng, n, d), correlated(rng, m, d)
        result = frechet_distance(x, y)
        assert result.value == pytest.approx(sqrtm_distance(x, y), rel=1e-6)
        assert (result.n_reference, result.n_generated) == (n, m)


def test_frechet_of_gaussians_with_a_closed_form():
    # Commuting covariances: |m1 - m2|^2 + sum (sd1 - sd2)^2 = 9 + 16 + (1 - 3)^2 + (2 - 5)^2.
    first, second = (np.array([3.0, 0.0]), np.diag([1.0, 4.0])), (np.array([0.0, 4.0]), np.diag([9.0, 25.0]))
    value, clipped = FrechetReference.of_gaussian(*first).to_gaussian(*second)
    assert value == pytest.approx(38.0, rel=1e-12)
    assert clipped == 0.0
    wide = FrechetReference.of_gaussian(np.array([1.0]), np.array([[4.0]]))
    one_d, _ = wide.to_gaussian(np.array([3.0]), np.array([[1.0]]))
    assert one_d == pytest.approx(5.0)


def test_frechet_survives_singular_covariances_and_reports_the_clipping():
    rng = np.random.default_rng(1)
    x, y = correlated(rng, 20, 64), correlated(rng, 20, 64)  # rank 19 in 64 dimensions
    scale = np.trace(np.cov(x, rowvar=False))
    assert abs(frechet_distance(x, x).value) < 1e-6 * scale
    result = frechet_distance(x, y)
    assert -1e-6 * scale < result.clipped <= 0.0
    assert result.value > 0.01 * scale


def test_set_metrics_do_not_depend_on_the_order_of_clips():
    rng = np.random.default_rng(2)
    x, y = correlated(rng, 100, 16), correlated(rng, 100, 16)
    mixed_x, mixed_y = x[rng.permutation(100)], y[rng.permutation(100)]
    assert frechet_distance(mixed_x, mixed_y).value == pytest.approx(frechet_distance(x, y).value, rel=1e-9)
    assert kernel_distance(mixed_x, mixed_y) == pytest.approx(kernel_distance(x, y), rel=1e-9)


def test_kad_is_unbiased_on_known_gaussians():
    # For N(0, 1) and N(m, 1) with kernel width s: E k = s / sqrt(s^2 + 2) * exp(-gap^2 / (2 (s^2 + 2))).
    rng, mean, width = np.random.default_rng(3), 1.0, 1.5
    factor = width / np.sqrt(width**2 + 2)
    truth = SCALE * 2 * factor * (1 - np.exp(-(mean**2) / (2 * (width**2 + 2))))
    draws = [
        kernel_distance(rng.normal(size=(12, 1)), rng.normal(mean, size=(12, 1)), bandwidth=width) for _ in range(3000)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - truth) < 4 * error
    biased = truth + SCALE * 2 * (1 - factor) / 12  # what keeping the diagonal would give
    assert abs(np.mean(draws) - biased) > 10 * error


def test_kad_of_four_points_by_hand():
    x, y = np.array([[0.0], [2.0]]), np.array([[0.0], [4.0]])
    k = lambda squared: np.exp(-squared / 8)  # noqa: E731  bandwidth 2: the only distance in the reference
    expected = SCALE * (k(4) + k(16) - 2 * (k(0) + k(16) + k(4) + k(4)) / 4)
    assert kernel_distance(x, y) == pytest.approx(expected)


def test_kad_bandwidth_looks_at_the_reference_only():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    width = median_bandwidth(x)
    assert kernel_distance(x, 100 * y) == kernel_distance(x, 100 * y, bandwidth=width)
    with pytest.raises(UserError, match="identical"):
        median_bandwidth(np.zeros((5, 2)))


def test_paired_kl_by_hand_and_as_audiocraft_computes_it():
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.0, 1.0]])
    by_hand = [0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75), -np.log(EPSILON)]
    np.testing.assert_allclose(paired_kl(p, q), by_hand, atol=2 * EPSILON / 0.5)
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet(np.ones(7), 20), rng.dirichlet(np.ones(7), 20)
    log_q = torch.log(torch.tensor(q) + EPSILON)
    theirs = torch.nn.functional.kl_div(log_q, torch.tensor(p), reduction="none").sum(1)
    np.testing.assert_allclose(paired_kl(p, q), theirs, rtol=1e-12)
    assert not np.allclose(paired_kl(p, q), paired_kl(q, p), rtol=0.05)


def test_joint_kl_is_that_of_the_product_distribution():
    rng = np.random.default_rng(6)
    p = {name: rng.dirichlet(np.ones(3), 4) for name in "ab"}
    q = {name: rng.dirichlet(np.ones(3), 4) for name in "ab"}
    product = [np.einsum("ni,nj->nij", side["a"], side["b"]).reshape(4, 9) for side in (p, q)]
    np.testing.assert_allclose(joint_kl(p, q), paired_kl(*product), atol=1e-3)
    with pytest.raises(UserError, match="one evaluator"):
        joint_kl(p, {"a": q["a"]})


def test_inception_score_of_hand_computed_cases():
    assert inception_score(np.eye(5)) == pytest.approx(5.0)  # confident and covering: the number of classes
    assert inception_score(np.full((6, 4), 0.25)) == pytest.approx(1.0)  # undecided
    assert inception_score(np.tile([1.0, 0.0], (6, 1))) == pytest.approx(1.0)  # collapsed
    two = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert inception_score(two) == pytest.approx(np.exp(0.9 * np.log(1.8) + 0.1 * np.log(0.2)))


def test_agreement_and_chance():
    scores = agreement(["C", None, "D", "E"], ["C", "C", "C", "E"])
    np.testing.assert_array_equal(scores, [1.0, np.nan, 0.0, 1.0])
    level = chance(["C", None, "C", "E"], ["C", "D", "E", "F"])
    assert (level.uniform, level.majority) == (0.25, pytest.approx(2 / 3))
    with pytest.raises(UserError, match="2 detected"):
        agreement(["C"], ["C", "D"])


def test_cosine_similarity_by_hand():
    audio, text = np.array([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [6.0, 8.0], [-1.0, 0.0]])
    np.testing.assert_allclose(cosine_similarity(audio, text), [0.0, 1.0, -np.sqrt(0.5)], atol=1e-12)
    with pytest.raises(UserError, match="item 1"):
        cosine_similarity(np.array([[1.0], [0.0]]), np.array([[1.0], [1.0]]))


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance])
def test_bad_embeddings_are_named(metric):
    good, bad = np.random.default_rng(7).normal(size=(10, 3)), np.random.default_rng(8).normal(size=(10, 3))
    bad[6, 1] = np.nan
    with pytest.raises(UserError, match=r"generated embeddings: item 6 .*NaN"):
        metric(good, bad)
    with pytest.raises(UserError, match="3 dimensions, generated 2"):
        metric(good, good[:, :2])
    with pytest.raises(UserError, match="at least 2"):
        metric(good[:1], good)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 60), (60, 5), (60, 60)])
def test_frechet_is_the_same_by_factors_and_by_covariances(n, m):
    """A set of fewer items than dimensions is its own factor; the distance of the two Gaussians stays this one."""
    rng = np.random.default_rng(n + m)
    first, second = rng.normal(size=(n, 20)), 0.5 + 2 * rng.normal(size=(m, 20))
    reference = FrechetReference.of_gaussian(first.mean(0), covariance(first))
    by_covariance, _ = reference.to_gaussian(second.mean(0), covariance(second))
    assert frechet_distance(first, second).value == pytest.approx(by_covariance, rel=1e-6)
