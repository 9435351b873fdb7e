"""Costs of arms are the means over their seeds, and arms of unequal size are found whatever their order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.costs import cost_of, sizes, unequal
from paradigm_bench.training.budget import TrainingCost
from tests.judged_toys import judged_table, save_judged_study
from tests.record_toys import a_record


@pytest.mark.parametrize(
    ("by_arm", "marked"),
    [
        ({}, ""),
        ({"a": 100}, ""),
        ({"a": 100, "b": 105}, ""),
        ({"a": 105, "b": 100, "c": 103}, ""),
        ({"a": 100, "b": 106}, "b"),
        ({"a": 100, "b": 101, "c": 150}, "c"),
        ({"c": 50, "a": 100, "b": 101}, "c"),
        ({"a": 100, "b": 104, "c": 108}, "ac"),
        ({"a": 100, "b": 200, "c": 300}, "ac"),
    ],
)
def test_arms_of_another_size_are_marked(by_arm: dict[str, int], marked: str) -> None:
    assert unequal(by_arm) == set(marked)
    assert unequal(dict(reversed(by_arm.items()))) == set(marked)


def test_costs_are_means_over_seeds_and_a_gpus_time_is_that_of_the_clock() -> None:
    train = {"updates": 20, "batch": 6, "seconds": 10.0, "warmup": 0}
    runs = [
        a_record(
            seed,
            cell={"axis": "fidelity", "seed": seed, "train": train},
            training=TrainingCost(updates, cpu, wall, updates * 100, {"a": 3, "b": 4}, flops=flops),
        )
        for seed, updates, cpu, wall, flops in ((0, 10, 4.0, 2.0, 1e9), (1, 30, 8.0, 6.0, 3e9))
    ]
    cost = cost_of(runs)
    assert cost is not None
    assert (cost.parameters, cost.updates, cost.tokens, cost.flops) == (7, 20, 2000, 2e9)
    assert cost.hours == pytest.approx(20 * 6 * 10 / 3600)
    assert (cost.seconds, cost.device) == (6.0, "")
    on_gpu = [dataclasses.replace(run, environment={"device": "NVIDIA H100"}) for run in runs]
    assert (cost_of(on_gpu).seconds, cost_of(on_gpu).device) == (4.0, "gpu")  # type: ignore[union-attr]
    assert cost_of([a_record()]) is None


def test_a_table_states_the_size_of_its_arms_alone(tmp_path: Path) -> None:
    save_judged_study(tmp_path / "s")
    assert sizes(judged_table(tmp_path / "s")) == {"fm": 12, "ar": 12, "mar": 12}
