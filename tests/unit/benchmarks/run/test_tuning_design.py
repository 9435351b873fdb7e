"""Which trials a search tries, and how long they train."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from paradigm_bench.benchmarks.run.tuning.design import balanced, trials_of
from paradigm_bench.benchmarks.run.tuning.trials import trial_train
from paradigm_bench.benchmarks.study.load import load_study

LISTS: dict[str, list[Any]] = {"lr": [1, 2, 3, 4], "optimiser": ["adamw", "muon"], "own": [False, True]}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("sizes", "n"), [((4, 2, 2), 8), ((2, 2, 2), 4), ((3, 3, 3), 9), ((2, 3), 3), ((4, 2), 8)])
def test_a_part_of_a_grid_has_every_pair_of_values_equally_often(sizes: tuple[int, ...], n: int, seed: int) -> None:
    """These parts can be orthogonal arrays of strength 2, or have no pair twice, so no two settings change together."""
    lists = {str(i): list(range(size)) for i, size in enumerate(sizes)}
    points = balanced(lists, n, seed)
    assert len({tuple(point.values()) for point in points}) == n
    for a, b in itertools.combinations(lists, 2):
        pairs = Counter((point[a], point[b]) for point in points)
        assert set(pairs.values()) == {max(n // (len(lists[a]) * len(lists[b])), 1)}


def test_a_whole_grid_is_tried_once_and_the_seed_decides() -> None:
    assert len({tuple(point.values()) for point in balanced(LISTS, 16, 5)}) == 16
    assert balanced(LISTS, 8, 5) == balanced(LISTS, 8, 5) != balanced(LISTS, 8, 6)
    assert balanced({}, 1, 0) == [{}]


@pytest.mark.parametrize(("n", "seed"), [(3, 0), (5, 1), (11, 2), (13, 3)])
def test_values_occur_about_equally_often_in_any_part(n: int, seed: int) -> None:
    for key, values in LISTS.items():
        times = Counter(point[key] for point in balanced(LISTS, n, seed))
        assert max(times.values()) - min(times[value] for value in values) <= 1


OWN = "tuning.own={ar: {sampler.top_k: [50, 250]}, fm: {options.time_weight: [false, true]}}"


def test_every_arm_has_as_many_trainings_and_samplings_whatever_its_own_setting_is() -> None:
    trials = trials_of(load_study("quickstart", [OWN], ("ar", "fm")))
    for own in trials.values():
        assert Counter(trial.training for trial in own) == dict.fromkeys(range(8), 3)
    for arm, kind in (("ar", "train"), ("fm", "train")):  # a model is one combination of what needs a training
        by_model = {(t.training, *(v for k, v in t.values.items() if k.startswith(kind))) for t in trials[arm]}
        assert len(by_model) == 8
    assert {t.values["sampler.top_k"] for t in trials["ar"]} == {50, 250}
    # ar tries its own setting on the same weights; both arms try every pair of learning rate and optimiser once
    for own in trials.values():
        assert len({(t.values["train.lr"], t.values["train.optimiser"]) for t in own}) == 8
        assert {t.values["sampler.guidance"] for t in own if t.training == 0} == {1.5, 2.5, 3.5}


@pytest.mark.parametrize(
    ("settings", "updates", "warmup", "amount"),
    [
        ([], 350, 25, 0.0),
        (["train.budget={unit: tokens, amount: 1e6}"], 350, 25, 2.5e5),
        (["train.budget={unit: flops, amount: 1e13}"], 350, 25, 2.5e12),
        (["train.budget={unit: convergence, amount: 0.05}"], 350, 25, 0.0),
    ],
)
def test_a_trial_has_its_share_of_the_budget(settings: list[str], updates: int, warmup: int, amount: float) -> None:
    train = trial_train(
        load_study("quickstart", ["train.updates=1400", "train.warmup=100", "tuning.share=0.25", *settings], ("fm",))
    )
    assert (train.updates, train.warmup, train.budget.amount, train.snapshots) == (updates, warmup, amount, ())
    assert not train.budget.by_convergence
