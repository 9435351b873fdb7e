"""Intervals cover, pairing pays, Holm and verdicts agree with worked examples."""

import numpy as np
import pytest

from paradigm_bench.benchmarks.metrics.frechet import frechet_distance
from paradigm_bench.benchmarks.metrics.kad import KernelTable
from paradigm_bench.benchmarks.metrics.statistics import (
    Comparison,
    Interval,
    compare,
    contributions,
    holm,
    interval,
    interval_of,
    judge,
    verdict,
)
from paradigm_bench.common.errors import UserError

PROMPTS, SEEDS = 40, 5


def crossed(rng: np.random.Generator, prompt_sd: float, seed_sd: float, noise_sd: float) -> tuple[np.ndarray, ...]:
    """Scores of every prompt under every seed around zero, with their labels."""
    shapes = {(PROMPTS, 1): prompt_sd, (1, SEEDS): seed_sd, (PROMPTS, SEEDS): noise_sd}
    scores = sum((rng.normal(0, spread, shape) for shape, spread in shapes.items()), np.zeros((PROMPTS, SEEDS)))
    prompts, seeds = np.indices(scores.shape)
    return scores.ravel(), prompts.ravel(), seeds.ravel()


def coverage(repeats: int, clustered: bool, **spread: float) -> float:
    hits = 0
    for repeat in range(repeats):
        scores, prompts, seeds = crossed(np.random.default_rng(repeat), **spread)
        labels = (prompts, seeds) if clustered else ()
        result = interval(scores, *labels, n_draws=400, seed=repeat)
        hits += result.low <= 0.0 <= result.high
    return hits / repeats


def test_coverage_is_near_nominal_with_prompt_effects_and_fails_without_clusters():
    spread = {"prompt_sd": 1.0, "seed_sd": 0.0, "noise_sd": 0.3}
    assert 0.90 <= coverage(300, clustered=True, **spread) <= 0.985
    assert coverage(300, clustered=False, **spread) < 0.75


def test_seed_effects_widen_the_interval():
    # Five seeds are few for a percentile bootstrap: somewhat below nominal, yet far from ignoring them.
    spread = {"prompt_sd": 0.3, "seed_sd": 1.0, "noise_sd": 0.3}
    assert 0.75 <= coverage(300, clustered=True, **spread) <= 0.95
    assert coverage(300, clustered=False, **spread) < 0.40


def test_interval_counts_what_it_rests_on_and_skips_what_does_not_apply():
    values = np.array([1.0, np.nan, 0.0, 1.0, 1.0, 0.0])
    result = interval(values, ["a", "b", "a", "c", "d", "d"], [0, 0, 1, 0, 0, 1])
    assert result.estimate == pytest.approx(0.6)
    assert (result.n_items, result.n_prompts, result.n_seeds) == (5, 3, 2)
    assert result.low <= result.estimate <= result.high
    assert interval(values, ["a", "b", "a", "c", "d", "d"], [0, 0, 1, 0, 0, 1]) == result


def test_order_of_items_and_names_of_clusters_do_not_matter():
    scores, prompts, seeds = crossed(np.random.default_rng(0), 1.0, 0.5, 0.5)
    shuffle = np.random.default_rng(1).permutation(len(scores))
    a, b = interval(scores, prompts, seeds), interval(scores[shuffle], prompts[shuffle], seeds[shuffle])
    assert (b.low, b.high) == pytest.approx((a.low, a.high), rel=1e-9)


def test_mean_interval_equals_the_set_level_one_on_the_same_draws():
    scores, prompts, seeds = crossed(np.random.default_rng(2), 1.0, 0.5, 0.5)
    fast = interval(scores, prompts, seeds, n_draws=300)
    slow = interval_of(lambda index: float(scores[index].mean()), prompts, seeds, n_draws=300)
    assert slow.high - slow.low == pytest.approx(fast.high - fast.low, rel=1e-9)


def test_frechet_interval_encloses_its_estimate():
    rng = np.random.default_rng(3)
    reference, generated = rng.normal(size=(60, 16)), rng.normal(size=(60, 16))
    prompts = np.arange(60)

    def metric(index: np.ndarray) -> float:
        return frechet_distance(reference, generated[index]).value

    result = interval_of(metric, prompts, n_draws=60)
    assert result.low < result.estimate < result.high
    raw = [metric(rng.integers(60, size=60)) for _ in range(60)]
    assert np.quantile(raw, 0.025) > result.estimate  # repeats alone raise it: why the draws are centred


def test_pairing_finds_what_two_samples_cannot():
    rng = np.random.default_rng(4)
    hardness = rng.normal(0, 1, 60)
    a, b = hardness + 0.1 + rng.normal(0, 0.1, 60), hardness + rng.normal(0, 0.1, 60)
    paired = compare(a, b, higher_is_better=True)
    assert verdict(paired) == "better"
    assert verdict(compare(b, a, higher_is_better=True)) == "worse"
    assert verdict(compare(a, b, higher_is_better=False)) == "worse"
    unpaired = compare(a, b[rng.permutation(60)], higher_is_better=True)
    assert verdict(unpaired) == "undecided"
    assert paired.difference.high - paired.difference.low < 0.3 * (unpaired.difference.high - unpaired.difference.low)
    assert paired.effect_size == pytest.approx(np.mean(a - b) / np.std(a - b, ddof=1))


def test_equal_arms_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    pairs = rng.normal(size=(300, 2, 40))
    false = sum(verdict(compare(a, b, higher_is_better=True, n_draws=400)) != "undecided" for a, b in pairs)
    assert false / 300 < 0.10


def test_holm_worked_example():
    # Sorted .005 .010 .030 .040 against factors 4 3 2 1: .020 .030 .060 then max(.060, .040).
    assert holm([0.010, 0.040, 0.030, 0.005]) == pytest.approx([0.030, 0.060, 0.060, 0.020])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def made(low: float, estimate: float, high: float, p: float, margin: float | None = None) -> Comparison:
    return Comparison(Interval(estimate, low, high, 0.95, 10, 10, 1, 100), p, None, True, margin)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (made(0.1, 0.2, 0.3, 0.001), "better"),
        (made(-0.3, -0.2, -0.1, 0.001), "worse"),
        (made(-0.1, 0.1, 0.3, 0.2), "undecided"),
        (made(-0.1, 0.1, 0.3, 0.2, margin=0.2), "undecided"),
        (made(-0.1, 0.0, 0.1, 0.9, margin=0.2), "same"),
        (made(0.01, 0.02, 0.03, 0.001, margin=0.2), "same"),
        (made(-0.1, 0.0, 0.1, 0.9), "undecided"),
    ],
)
def test_verdicts(comparison, expected):
    assert verdict(comparison) == expected


def test_a_table_shares_one_error_budget():
    comparisons = {f"row {i}": made(0.1, 0.2, 0.3, 0.02) for i in range(4)}
    assert {j.verdict for j in judge(comparisons).values()} == {"undecided"}  # 4 * .02 > .05
    assert judge({"alone": comparisons["row 0"]})["alone"].verdict == "better"


def frechet_to(reference: np.ndarray, items: np.ndarray):
    return lambda index: frechet_distance(reference, items[index]).value


def test_contributions_have_the_metric_as_their_mean_and_are_the_scores_of_a_mean() -> None:
    rng = np.random.default_rng(6)
    reference, items, scores = rng.normal(size=(50, 4)), rng.normal(size=(50, 4)), rng.normal(size=50)
    shares = contributions(frechet_to(reference, items), 50)
    assert shares.mean() == pytest.approx(frechet_distance(reference, items).value, rel=1e-9)
    np.testing.assert_allclose(contributions(lambda index: float(scores[index].mean()), 50), scores, rtol=1e-9)


def test_spread_of_contributions_is_that_of_fresh_sets_or_wider() -> None:
    reference = np.random.default_rng(7).normal(size=(60, 4))
    sets = [np.random.default_rng(100 + i).normal(0.3, 1.0, size=(60, 4)) for i in range(80)]
    width = reference.std() * 2

    def kernel(items: np.ndarray):
        table = KernelTable.of(reference, items, width)
        return lambda index: table.distance(np.bincount(index, minlength=60).astype(float))

    for metric in (lambda items: frechet_to(reference, items), kernel):
        truth = np.std([metric(items)(np.arange(60)) for items in sets], ddof=1)
        told = np.mean([contributions(metric(items), 60).std(ddof=1) / np.sqrt(60) for items in sets[:10]])
        assert 0.8 * truth < told < 1.8 * truth


def test_set_level_comparison_is_paired_on_prompts() -> None:
    rng = np.random.default_rng(8)
    reference, shared = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    near, far = shared, shared + np.array([1.0, 0.0, 0.0, 0.0])
    a, b = (contributions(frechet_to(reference, items), 60) for items in (near, far))
    paired = compare(a, b, higher_is_better=False)
    assert verdict(paired) == "better"
    assert paired.effect_size is not None
    gap = frechet_distance(reference, near).value - frechet_distance(reference, far).value
    assert paired.difference.estimate == pytest.approx(gap, rel=1e-9)
    unpaired = compare(a, b[rng.permutation(60)], higher_is_better=False)
    assert paired.p_value < unpaired.p_value
    same = compare(a, a, higher_is_better=False)
    assert (same.difference.low, same.difference.high, same.p_value) == (0.0, 0.0, 1.0)


def test_bad_input_is_named():
    with pytest.raises(UserError, match="cannot pair 3 items with 2"):
        compare([1, 2, 3], [1, 2], higher_is_better=True)
    with pytest.raises(UserError, match="infinities"):
        interval([1.0, np.inf])
    with pytest.raises(UserError, match="nothing to average"):
        interval([np.nan, np.nan])
    with pytest.raises(UserError, match="2 prompts"):
        interval([1.0, 2.0, 3.0], ["a", "b"])


def test_last_bits_of_the_scores_decide_nothing() -> None:
    """They differ between processors. Differences of shares are often zero, or halves that round up or down."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 7, 64) / 6, rng.integers(0, 7, 64) / 6
    found = set()
    for _ in range(8):
        moved = a + rng.integers(-1, 2, 64) * np.spacing(a)
        compared = compare(moved, b, higher_is_better=True, n_draws=500)
        gap = compared.difference
        numbers = (gap.estimate, gap.low, gap.high, compared.p_value, compared.effect_size)
        found.add(" ".join(f"{number:.9g}" for number in numbers))
    assert len(found) == 1
