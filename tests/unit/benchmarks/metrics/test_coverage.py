"""The promises of intervals, tests and verdicts, kept in simulations whose truth is known."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from paradigm_bench.benchmarks.metrics.kad import SCALE, KernelTable
from paradigm_bench.benchmarks.metrics.statistics import Comparison, compare, contributions, interval, judge
from paradigm_bench.benchmarks.metrics.variance import SeedEffect, of_layout, pool_seeds

# Variances of the differences between two arms of small_cpu (64 prompts, 3 seeds; mean over the 10 pairs of arms), in
# units of that of the rest: prompts, and seeds times the number of prompts. Negative estimates are zero here.
MEASURED = {
    "adherence": (0.18, 0.96), "clap": (0.24, 0.16), "kl": (0.19, 0.0), "kad": (0.71, 0.19), "fad": (0.53, 0.0),
}  # fmt: skip
SLACK = 0.006  # of a simulated coverage: 1.5 standard errors with 3,000 tables
SEEDS_VARIANCE = {"zero": 0.0, "measured": 0.96, "large": 10.0, "dominant": 200.0}  # times the number of prompts


def draw(rng, shape, prompt_var, seed_var_P, noise=None):
    """Layouts of mean zero, (*shape, P, S); ``seed_var_P``: variance of seeds times the number of prompts."""
    *lead, n_p, n_s = shape
    values = rng.normal(size=(*lead, n_p, 1)) * np.sqrt(prompt_var)
    values = values + rng.normal(size=(*lead, 1, n_s)) * np.sqrt(seed_var_P / n_p)
    return values + (rng.normal(size=shape) if noise is None else noise(rng, shape))


def results(layouts: np.ndarray, truth: float = 0.0) -> tuple[float, float]:
    """Share of intervals that cover the truth, and of p-values below .05."""
    squares = [of_layout(one - truth) for one in layouts]
    covered = []
    for one in squares:
        error, degrees, _ = one.uncertainty()
        covered.append(abs(one.mean) <= stats.t.ppf(0.975, degrees) * error)
    return float(np.mean(covered)), float(np.mean([one.p_value() < 0.05 for one in squares]))


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("seeds", SEEDS_VARIANCE)
@pytest.mark.parametrize("metric", ["adherence", "kad"])
def test_intervals_cover_93_to_97_percent_of_the_time(n_seeds, seeds, metric):
    rng = np.random.default_rng(1)
    covered, errors = results(draw(rng, (3000, 64, n_seeds), MEASURED[metric][0], SEEDS_VARIANCE[seeds]))
    assert 0.93 - SLACK <= covered <= 0.97 + SLACK
    assert errors == pytest.approx(1 - covered, abs=0.005)


@pytest.mark.parametrize("metric", MEASURED)
def test_coverage_with_the_components_as_measured(metric):
    layouts = draw(np.random.default_rng(2), (3000, 64, 3), *MEASURED[metric])
    assert 0.93 <= results(layouts)[0] <= 0.97


@pytest.mark.parametrize("n_prompts", [16, 256])
@pytest.mark.parametrize("seeds", SEEDS_VARIANCE)
def test_coverage_with_fewer_and_more_prompts(n_prompts, seeds):
    layouts = draw(np.random.default_rng(3), (2000, n_prompts, 3), 0.5, SEEDS_VARIANCE[seeds])
    assert 0.92 <= results(layouts)[0] <= 0.98


def test_coverage_with_heavy_tails_and_with_zeros_and_ones():
    heavy = draw(np.random.default_rng(4), (2000, 64, 3), 0.3, 0.5, lambda rng, shape: rng.standard_t(3, size=shape))
    assert 0.93 <= results(heavy)[0] <= 0.98
    rng = np.random.default_rng(5)
    chance = rng.beta(2, 1, size=(2000, 64, 1))
    zeros_ones = (rng.random((2000, 64, 3)) < chance).astype(float)
    assert 0.93 <= results(zeros_ones, truth=2 / 3)[0] <= 0.98


def test_one_seed_covers_the_mean_of_its_run():
    covered, errors = results(draw(np.random.default_rng(6), (4000, 64, 1), 0.3, 0.0))
    assert 0.94 <= covered <= 0.96
    assert 0.04 <= errors <= 0.06


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("metric", MEASURED)
def test_power_is_within_a_tenth_of_the_best_test_that_knows_the_variances(n_seeds, metric):
    """The best one is t with the true variance ratios, and their Satterthwaite degrees of freedom."""
    prompt_var, seed_var_P = MEASURED[metric]
    of_P, of_S, n = 1 + n_seeds * prompt_var, 1 + seed_var_P, 64 * n_seeds
    total = of_P + of_S - 1
    degrees = total**2 / (of_P**2 / 63 + of_S**2 / (n_seeds - 1) + 1 / (63 * (n_seeds - 1)))
    shifts = np.linspace(2, 8, 601)
    powers = stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, shifts)
    shift = shifts[np.argmax(powers >= 0.8)] * np.sqrt(total / n)
    layouts = draw(np.random.default_rng(7), (2000, 64, n_seeds), prompt_var, seed_var_P) + shift
    assert results(layouts)[1] >= 0.8 - 0.1


def table_of_arms(rng, n_arms, n_metrics, n_seeds, prompt_var, seed_var_P):
    """Scores of arms that are all equal in truth, (metric, arm, P, S); differences have the variances asked for."""
    half = np.sqrt(0.5)
    return half * draw(rng, (n_metrics, n_arms, 64, n_seeds), prompt_var, seed_var_P)


def comparisons(scores: np.ndarray, pooling: bool) -> dict[str, Comparison]:
    """All pairs of arms on all metrics, as a table compares them."""
    n_p, n_s = scores.shape[-2:]
    prompts, seeds = (labels.ravel() for labels in np.indices((n_p, n_s)))
    found = {}
    for m, arms in enumerate(scores):
        pairs = list(itertools.combinations(range(len(arms)), 2))
        layouts = {(str(a), str(b)): of_layout(arms[a] - arms[b]) for a, b in pairs}
        effects: dict[tuple[str, ...], SeedEffect] = pool_seeds(layouts) if pooling else {}
        for a, b in pairs:
            found[f"{m} {a} {b}"] = compare(
                arms[a].ravel(), arms[b].ravel(), prompts, seeds, higher_is_better=True,
                seed_effect=effects.get((str(a), str(b))),
            )  # fmt: skip
    return found


def family_errors(repeats, n_arms, n_metrics, n_seeds, components, pooling=True) -> float:
    """Share of tables in which ``judge`` calls any two equal arms better or worse."""
    rng = np.random.default_rng(8)
    tables = (table_of_arms(rng, n_arms, n_metrics, n_seeds, *components) for _ in range(repeats))
    judged = [judge(comparisons(scores, pooling)) for scores in tables]
    return float(np.mean([any(one.verdict != "undecided" for one in table.values()) for table in judged]))


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("components", [(0.2, 0.0), MEASURED["adherence"], (0.2, 10.0), (0.7, 200.0)])
def test_family_wise_error_over_50_comparisons(n_seeds, components):
    assert family_errors(60, 5, 5, n_seeds, components) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("components", [MEASURED["kad"], (0.7, 200.0)])
def test_family_wise_error_over_300_comparisons(components):
    assert family_errors(30, 10, 7, 3, components) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 30)


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("components", [MEASURED["adherence"], (0.2, 10.0), (0.7, 200.0)])
def test_family_wise_error_where_few_arms_leave_nothing_to_pool(n_seeds, components):
    """Claims and small tables: every comparison has the seeds of its own two arms only."""
    assert family_errors(60, 3, 7, n_seeds, components, pooling=False) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


def test_pooled_seeds_decide_what_one_pair_cannot():
    """A difference of six standard errors in a table of 45 comparisons with three seeds."""
    rng, found = np.random.default_rng(9), {True: 0, False: 0}
    for _ in range(20):
        scores = table_of_arms(rng, 10, 1, 3, *MEASURED["kad"])
        scores[:, 0] += 6 * np.sqrt((0.71 + 0.19 + 1 / 3) / 64)
        for pooling in found:
            judged = judge(comparisons(scores, pooling))
            found[pooling] += sum(judged[f"0 0 {other}"].verdict == "better" for other in range(1, 10))
    assert found[True] > 0.8 * 180
    assert found[False] < 0.5 * found[True]


def test_an_arm_that_varies_more_between_seeds_is_not_pooled():
    rng = np.random.default_rng(10)
    scores = table_of_arms(rng, 5, 1, 5, 0.2, 0.0)[0]
    scores[0] += 3 * rng.normal(size=5)
    pairs = list(itertools.combinations("abcde", 2))
    layouts = {(a, b): of_layout(scores[ord(a) - 97] - scores[ord(b) - 97]) for a, b in pairs}
    pooled = pool_seeds(layouts)
    assert set(pooled) == {pair for pair in pairs if "a" not in pair}
    assert {one.degrees for one in pooled.values()} == {16.0}


def expected_kernel(x: np.ndarray, mean: np.ndarray, width: float) -> np.ndarray:
    """E k(x, y) over y ~ N(mean, I), in closed form."""
    d, wide = x.shape[1], width**2 + 1
    return (width**2 / wide) ** (d / 2) * np.exp(-np.square(x - mean).sum(1) / (2 * wide))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_jackknife_intervals_of_the_kernel_distance_cover_the_true_one(shift):
    """The truth: the squared discrepancy between the reference set and the population, and zero where both are one."""
    rng, n, d = np.random.default_rng(11), 64, 16
    mean, width = np.eye(d)[0] * shift, np.sqrt(2.0 * d)
    hits, zero = [], []
    for _ in range(600):
        reference, made = rng.normal(size=(n, d)), mean + rng.normal(size=(n, d))
        table = KernelTable.of(reference, made, width)
        found = interval_of_kad(table, n)
        own = np.exp(-pdist(reference, "sqeuclidean") / (2 * width**2)).mean()
        other = (width**2 / (width**2 + 2)) ** (d / 2)
        truth = SCALE * (own + other - 2 * expected_kernel(reference, mean, width).mean())
        hits.append(found.low <= truth <= found.high)
        zero.append(found.low <= 0.0 <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.98
    assert shift > 0 or 0.93 <= np.mean(zero) <= 0.98
    assert shift < 1 or np.mean(zero) < 0.05


def interval_of_kad(table: KernelTable, n: int):
    """From the jackknife contributions, as records keep them."""
    return interval(contributions(lambda index: table.distance(np.bincount(index, minlength=n).astype(float)), n))
