"""A budget by convergence: the rule on curves whose answer is known, its schedule, and runs that it ends."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_toys import SPEC, Denoiser, acting, curve, held_out, interrupt, lines, run, toy_validation

from paradigm_bench.common.config import config_hash, from_dict, to_dict
from paradigm_bench.common.errors import UserError
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.budget import resolve
from paradigm_bench.training.convergence import has_stopped, how_it_ended, is_due
from paradigm_bench.training.spec import Budget, learning_rate
from paradigm_bench.training.trained import resolved

PLATEAU = Budget("convergence", 0.02)
ASKED = TrainSpec(updates=10_000, warmup=100, budget=PLATEAU)


def stops_at(spec: TrainSpec, losses: Any) -> int:
    """The first of the due updates at which the rule holds for the loss ``losses(update)``; 0: at none."""
    updates, found = [0], [losses(0)]
    for update in range(1, spec.updates + 1):
        if is_due(spec, update, ((update - 1) / spec.updates, update / spec.updates)):
            updates.append(update)
            found.append(losses(update))
            if has_stopped(spec, updates, found):
                return update
    return 0


def power(update: int, rate: float = 1.0) -> float:
    """1 at first, falling to 0 as 1 / (1 + u / 100) to the power of ``rate``."""
    return float((1 + update / 100) ** -rate)


def test_the_rule_on_a_power_law() -> None:
    """1 / (1 + u/100): the second half brings 100 / u of the whole to within a per cent, so 2% are left at 5,000."""
    found = stops_at(ASKED, power)
    assert 4800 <= found <= 5000 * 2**0.25
    gained = power(found // 2) - power(found)
    assert gained < 0.02 * (1 - power(found))
    earlier = round(found / 2**0.25)
    assert power(earlier // 2) - power(earlier) >= 0.02 * (1 - power(earlier)) * 0.99


@pytest.mark.parametrize(("scale", "shift"), [(7.0, 0.0), (0.01, 0.6), (1.0, -5.0)])
def test_neither_the_unit_nor_what_cannot_be_learnt_matters(scale: float, shift: float) -> None:
    assert stops_at(ASKED, lambda u: shift + scale * power(u)) == stops_at(ASKED, power)


def test_a_slow_learner_goes_on_and_one_that_overfits_stops() -> None:
    assert stops_at(ASKED, lambda u: power(u, 0.1)) == 0
    turned = stops_at(ASKED, lambda u: power(min(u, 400)) + 1e-4 * max(u - 400, 0))
    assert 400 < turned < 900


def test_nothing_stops_before_the_comparison_is_from_after_the_warm_up() -> None:
    for warmup in (100, 1000):
        found = stops_at(dataclasses.replace(ASKED, warmup=warmup), lambda u: 1.0)
        assert 2 * warmup <= found <= 2 * warmup * 2**0.5


def test_a_wider_comparison_stops_later() -> None:
    wide = dataclasses.replace(ASKED, budget=dataclasses.replace(PLATEAU, over=0.6))
    assert stops_at(wide, power) > stops_at(ASKED, power)


def test_validations_are_four_per_doubling() -> None:
    due = [u for u in range(1, 10_001) if is_due(ASKED, u, (0.0, u / 10_000))]
    assert due[0] >= 100
    assert due[-1] == 10_000
    assert len([u for u in due if 1000 < u <= 2000]) == 4
    assert len(due) <= 4 * 7 + 1


def test_the_schedule_by_hand() -> None:
    """Warm-up, constant, then 1 - sqrt over the last fifth; the end follows from where it begins to fall."""
    spec = TrainSpec(updates=1000, warmup=10, lr=2.0, final_fraction=0.1, budget=PLATEAU)
    assert [learning_rate(spec, u) for u in (5, 10, 500, 800)] == pytest.approx([1.0, 2.0, 2.0, 2.0])
    assert (spec.first_decay(), spec.end()) == (800, 1000)
    assert learning_rate(spec, 850) == pytest.approx(2 * (0.1 + 0.9 * 0.5))  # a quarter of the way: 1 - 1/2
    assert learning_rate(spec, 1000) == pytest.approx(0.2)
    assert (spec.first_decay(400), spec.end(400)) == (400, 500)
    assert learning_rate(spec, 400, stopped=400) == 2.0
    assert learning_rate(spec, 425, stopped=400) == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    assert spec.spent(250, 0.0, stopped=400) == 0.5
    assert spec.end(800) == 1000


FLAT = dataclasses.replace(SPEC, updates=200, warmup=3, budget=Budget("convergence", 0.3), checkpoint_every=7)


def test_a_run_ends_when_it_has_stopped_and_a_resumed_one_is_identical(tmp_path: Path) -> None:
    """Stopped in the constant part, in the fall of the rate, and at once after the rule held."""
    whole = run(tmp_path / "whole", FLAT, validation=toy_validation(FLAT))
    assert 0 < whole.stopped < whole.updates < FLAT.updates
    assert whole.updates == round(whole.stopped / 0.8) == FLAT.end(whole.stopped)
    rates = {int(update): lr for update, _, lr, _ in curve(tmp_path / "whole")}
    assert rates[whole.stopped] == FLAT.lr > rates[whole.stopped + 1]
    assert rates[whole.updates] == 0
    assert held_out(tmp_path / "whole")[-1][0] == whole.updates
    calls = acting(Denoiser())
    run(tmp_path / "count", FLAT, calls, validation=toy_validation(FLAT))
    again = None
    for at in (calls.calls // 3, calls.calls // 2, calls.calls // 8):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", FLAT, acting(Denoiser(), at, interrupt), validation=toy_validation(FLAT))
    again = run(tmp_path / "cut", FLAT, validation=toy_validation(FLAT))
    assert (again.updates, again.stopped, again.validation) == (whole.updates, whole.stopped, whole.validation)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    ours, theirs = (load_file(result.final / "model.safetensors") for result in (again, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_run_that_has_not_stopped_ends_at_the_cap_with_its_rate_at_zero(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, updates=20, budget=Budget("convergence", 1e-6), snapshots=(6, 12))
    result = run(tmp_path, spec, validation=toy_validation(spec))
    assert (result.updates, result.stopped) == (20, 0)
    assert lines(tmp_path)[-2]["lr"] == 0
    assert set(result.snapshots) == {6, 12}
    assert how_it_ended(spec, result.stopped) == "did not stop improving within 20 updates"


def test_snapshots_after_the_end_are_left_out(tmp_path: Path) -> None:
    spec = dataclasses.replace(FLAT, snapshots=(6, 180))
    result = run(tmp_path, spec, validation=toy_validation(spec))
    assert set(result.snapshots) == {6}
    assert run(tmp_path, spec, validation=toy_validation(spec)).snapshots == result.snapshots  # read again


def test_how_it_ended_in_words() -> None:
    assert how_it_ended(ASKED, 4870) == (
        "stopped improving: updates 2,435 to 4,870 brought less than 0.02 of the whole improvement"
    )
    assert how_it_ended(TrainSpec(), 0) == ""


def test_other_held_out_clips_are_another_run(tmp_path: Path) -> None:
    run(tmp_path, FLAT, validation=toy_validation(FLAT))
    with pytest.raises(UserError, match=r"validation is .* there"):
        run(tmp_path, FLAT, validation=toy_validation(FLAT, count=12))
    plain = dataclasses.replace(SPEC, updates=4)
    run(tmp_path / "plain", plain, validation=toy_validation(plain))
    run(tmp_path / "plain", plain, validation=toy_validation(plain, count=12))  # they decide nothing


def test_without_held_out_clips_there_is_no_such_budget(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs held-out clips; add a valid split, or set train.updates"):
        run(tmp_path, FLAT)
    data: Any = SimpleNamespace(corpus=SimpleNamespace(name="toys", clips_by_split={"train": ["a"]}))
    with pytest.raises(UserError, match="corpus toys has no valid split"):
        resolved(FLAT, {}, data)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"budget": {"unit": "convergence"}}, "train.budget.amount is 0 convergence but must be above 0"),
        (
            {"budget": {"unit": "convergence", "amount": 2.0}},
            "train.budget.amount is 2 but must lie",
        ),
        ({"budget": {"unit": "convergence", "amount": 0.1, "over": 1.0}}, "train.budget.over is 1 but must lie"),
        ({"budget": {"unit": "convergence", "amount": 0.1, "decay": 0.0}}, "train.budget.decay is 0 but must lie"),
        (
            {"budget": {"unit": "flops", "amount": 1e9, "decay": 0.1}},
            "train.budget.decay has no effect",
        ),
        ({"budget": {"unit": "convergence", "amount": 0.1}, "validation_clips": 0}, "train.validation_clips is 0 but"),
        ({"budget": {"unit": "convergence", "amount": 0.1}, "pretraining": 200}, "not in convergence"),
        ({"budget": {"unit": "convergence", "amount": 0.1}, "warmup": 900}, "train.warmup is 900 but must end before"),
    ],
)
def test_what_cannot_be_is_named(train: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        from_dict(TrainSpec, train, "train")


def test_it_is_left_as_it_is_and_other_budgets_keep_their_identity() -> None:
    assert resolve(ASKED, 100) == ASKED
    assert config_hash(TrainSpec()) == "701cce56cbf4"
    assert to_dict(TrainSpec(budget=Budget("flops", 1e9)))["budget"] == {"unit": "flops", "amount": 1e9}
