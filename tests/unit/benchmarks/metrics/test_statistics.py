"""Mean squares, intervals, Holm and verdicts agree with worked examples and other libraries; pairing pays."""

import math

import numpy as np
import pytest
from scipy import stats

from paradigm_bench.benchmarks.metrics.frechet import frechet_distance
from paradigm_bench.benchmarks.metrics.kad import KernelTable
from paradigm_bench.benchmarks.metrics.manifold import manifold
from paradigm_bench.benchmarks.metrics.statistics import (
    Comparison,
    Interval,
    compare,
    contributions,
    holm,
    interval,
    judge,
    resampled,
    runs_interval,
    verdict,
)
from paradigm_bench.benchmarks.metrics.variance import mean_squares, of_layout
from paradigm_bench.common.errors import UserError


def worked_example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three prompts, two seeds. Means of prompts 1, 3, 8 around 4; of seeds 3, 5; what is left: 0, 1, -1 and back.

    MS_P = 2 (9 + 1 + 16) / 2 = 26, MS_S = 3 (1 + 1) / 1 = 6, MS_E = 4 / 2 = 2.
    """
    table_PS = np.array([[0.0, 2.0], [3.0, 3.0], [6.0, 10.0]])
    prompts, seeds = np.indices(table_PS.shape)
    return table_PS.ravel(), prompts.ravel(), seeds.ravel()


def test_mean_squares_of_a_worked_example():
    squares = mean_squares(*worked_example())
    assert (squares.mean, squares.prompts, squares.seeds, squares.rest) == pytest.approx((4.0, 26.0, 6.0, 2.0))
    assert squares.components == pytest.approx((12.0, 4 / 3, 2.0))
    error, degrees, of_seeds = squares.uncertainty()
    assert error**2 == pytest.approx((26 + 6 - 2) / 6)
    assert error**2 == pytest.approx(12 / 3 + (4 / 3) / 2 + 2 / 6)
    satterthwaite = 30**2 / (26**2 / 2 + 6**2 / 1 + 2**2 / 2)
    assert 1 / degrees == pytest.approx(0.85 / satterthwaite + 0.15 / 1)
    assert of_seeds == 1.0


def test_mean_squares_agree_with_the_moments_of_the_model():
    """Averages over many layouts: MS_P estimates v_E + S v_P, MS_S v_E + P v_S; the variance of the mean is right."""
    rng = np.random.default_rng(0)
    found = [
        of_layout(rng.normal(0, 2, (6, 1)) + rng.normal(0, 1, (1, 4)) + rng.normal(0, 3, (6, 4))) for _ in range(4000)
    ]
    components = np.mean([one.components for one in found], axis=0)
    np.testing.assert_allclose(components, (4.0, 1.0, 9.0), rtol=0.08)
    variance = np.mean([one.prompts + one.seeds - one.rest for one in found]) / 24
    assert variance == pytest.approx(np.var([one.mean for one in found]), rel=0.06)


def test_one_seed_is_a_t_test_over_prompts():
    a, b = np.random.default_rng(1).normal(0.3, 1.0, (2, 30))
    compared = compare(a, b, higher_is_better=True)
    other = stats.ttest_rel(a, b)
    assert compared.p_value == pytest.approx(other.pvalue, rel=1e-9)
    ends = other.confidence_interval(0.95)
    assert (compared.difference.low, compared.difference.high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert compared.difference.n_seeds == 1


def test_a_negative_component_of_prompts_is_cut_and_seeds_count_in_full():
    table_PS = np.array([[0.0, 4.0, 2.0], [4.0, 0.0, 2.0]])  # prompts alike: MS_P = 0 < MS_E = 8, MS_S = 0
    squares = of_layout(table_PS + np.array([0.0, 1.0, 5.0]))
    assert squares.prompts < squares.rest
    assert squares.uncertainty()[0] ** 2 == pytest.approx(squares.seeds / 6)


def test_p_values_have_no_floor_and_keep_a_share_of_the_seeds_own():
    rng = np.random.default_rng(2)
    prompts, seeds = (labels.ravel() for labels in np.indices((64, 5)))
    far = compare(rng.normal(50, 1, 320), np.zeros(320), prompts, seeds, higher_is_better=True)
    assert 0 < far.p_value < 1e-9
    of_seeds = mean_squares(rng.normal(50, 1, 320), prompts, seeds).uncertainty()[2]
    assert of_seeds == 4.0
    few = of_layout(rng.normal(3, 1, (64, 3)))
    t = few.mean / few.uncertainty()[0]
    assert few.p_value() >= 2 * stats.t.sf(t, 2) / 5 * (1 - 1e-9)


def test_a_reference_repeated_for_every_seed_leaves_the_seeds_as_they_are():
    rng = np.random.default_rng(3)
    arm = rng.normal(size=(20, 1)) + rng.normal(size=(1, 3)) + rng.normal(size=(20, 3))
    own, against = of_layout(arm), of_layout(arm - rng.normal(0, 5, (20, 1)))
    assert (against.seeds, against.rest) == pytest.approx((own.seeds, own.rest))
    assert against.prompts > own.prompts


def test_prompts_count_where_they_have_a_score_with_every_seed():
    values = np.array([1.0, np.nan, 0.0, 1.0, 1.0, 0.0, np.nan, np.nan])
    prompts, seeds = ["a", "b", "a", "c", "d", "d", "e", "e"], [0, 0, 1, 0, 0, 1, 0, 1]
    result = interval(values, prompts, seeds)  # a and d are whole; b and e have none; c lacks seed 1
    assert result.estimate == pytest.approx(0.5)
    assert (result.n_items, result.n_prompts, result.n_seeds) == (4, 2, 2)
    assert result.low <= result.estimate <= result.high
    full = [i for i, prompt in enumerate(prompts) if prompt in "ad"]
    assert result == interval(values[full], [prompts[i] for i in full], [seeds[i] for i in full])


def test_holes_leave_coverage_as_it_is():
    rng, hits = np.random.default_rng(4), 0
    prompts, seeds = (labels.ravel() for labels in np.indices((40, 3)))
    for _ in range(600):
        scores = rng.normal(size=(40, 1)) + rng.normal(0, 0.2, (1, 3)) + rng.normal(size=(40, 3))
        scores[rng.random((40, 3)) < 0.1] = np.nan
        scores[:8] = np.nan
        found = interval(scores.ravel(), prompts, seeds)
        hits += found.low <= 0.0 <= found.high
    assert 0.925 <= hits / 600 <= 0.98


def test_seeds_without_shared_prompts_are_left_out():
    found = interval([1.0, 2.0, 3.0, 9.0], ["a", "b", "c", "d"], [0, 0, 0, 1])
    assert (found.n_prompts, found.n_seeds, found.estimate) == (3, 1, 2.0)


def test_items_of_one_prompt_and_seed_are_averaged_first():
    assert interval([1.0, 3.0, 4.0, 6.0], ["a", "a", "b", "b"]) == interval([2.0, 5.0], ["a", "b"])


def test_order_of_items_and_names_of_clusters_do_not_matter():
    scores, prompts, seeds = worked_example()
    shuffle = np.random.default_rng(1).permutation(len(scores))
    a, b = interval(scores, prompts, seeds), interval(scores[shuffle], prompts[shuffle] + 7, seeds[shuffle])
    assert (b.low, b.high) == pytest.approx((a.low, a.high), rel=1e-9)


def test_scores_without_a_spread():
    same = compare(np.ones(8), np.ones(8), higher_is_better=True)
    assert (same.p_value, same.difference.low, same.difference.high, same.effect_size) == (1.0, 0.0, 0.0, None)
    apart = compare(np.ones(8), np.full(8, 0.7), higher_is_better=True)  # the sign test: 2 / 2^8
    assert apart.p_value == pytest.approx(2 / 2**8)
    assert (apart.difference.low, apart.difference.high) == pytest.approx((0.3, 0.3))
    assert verdict(apart) == "better"
    assert verdict(compare(np.ones(3), np.zeros(3), higher_is_better=True)) == "undecided"


def test_one_score_has_no_interval():
    found = interval([3.0])
    assert (found.estimate, found.low, found.high) == (3.0, -math.inf, math.inf)
    assert verdict(compare([3.0], [1.0], higher_is_better=True, margin=0.1)) == "undecided"


def test_bootstrap_of_nearest_neighbours_encloses_its_estimate():
    rng = np.random.default_rng(3)
    real, made = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    balls = manifold(real, made)
    result = resampled(lambda index: balls.of(index).recall, 60)
    assert result.low < result.estimate < result.high
    assert result == resampled(lambda index: balls.of(index).recall, 60)
    draws = [balls.of(rng.integers(60, size=60)).recall for _ in range(60)]
    assert np.mean(draws) < result.estimate  # repeats alone lower it: why the draws are centred


def test_runs_without_scores_per_item_have_an_interval_between_and_within():
    found = runs_interval([(1.0, 0.5, 1.5, 64), (2.0, 1.5, 2.5, 64), (3.0, 2.5, 3.5, 64)])
    between, within = 1.0 / 3, (0.5 / stats.t.ppf(0.975, 63)) ** 2
    degrees = (between + within) ** 2 / (between**2 / 2 + within**2 / 63)
    assert found.high - 2.0 == pytest.approx(stats.t.ppf(0.975, degrees) * np.sqrt(between + within), rel=1e-9)
    assert runs_interval([(1.0, None, None, 64), (2.0, 1.0, 3.0, 64)]).high == math.inf


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


def test_holm_worked_example():
    # Sorted .005 .010 .030 .040 against factors 4 3 2 1: .020 .030 .060 then max(.060, .040).
    assert holm([0.010, 0.040, 0.030, 0.005]) == pytest.approx([0.030, 0.060, 0.060, 0.020])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def made(low: float, estimate: float, high: float, p: float, margin: float | None = None) -> Comparison:
    return Comparison(Interval(estimate, low, high, 0.95, 10, 10, 1), p, None, True, margin)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (made(0.1, 0.2, 0.3, 0.001), "better"),
        (made(-0.3, -0.2, -0.1, 0.001), "worse"),
        (made(-0.1, 0.1, 0.3, 0.2), "undecided"),
        (made(-0.1, 0.1, 0.3, 0.2, margin=0.2), "undecided"),
        (made(-0.1, 0.0, 0.1, 0.9, margin=0.2), "same"),
        (made(0.01, 0.02, 0.03, 0.001, margin=0.2), "same"),
        (made(0.1, 0.2, 0.3, 0.001, margin=0.25), "undecided"),  # evident, and too small to matter
        (made(0.1, 0.2, 0.3, 0.001, margin=0.15), "better"),
        (made(-0.3, -0.2, -0.1, 0.001, margin=0.2), "undecided"),
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
        compared = compare(moved, b, higher_is_better=True)
        gap = compared.difference
        numbers = (gap.estimate, gap.low, gap.high, compared.p_value, compared.effect_size)
        found.add(" ".join(f"{number:.9g}" for number in numbers))
    assert len(found) == 1
