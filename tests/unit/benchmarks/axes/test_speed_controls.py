"""What is compared is a step with controls and one without: operations by hand, turns, and gradients that show it."""

from __future__ import annotations

from paradigm_bench.benchmarks.axes.latency.tracker.controls import KINDS, measure, operations, stepper, subject


def test_operations_are_the_projections() -> None:
    model, _ = subject("fm", "tiny", 2, 10)
    added, whole = operations(model, 2, 10)
    assert added == 2 * (2 * 10) * (16 + 16 + 2) * 128  # chords, melody, drums onto the tiny backbone's width
    assert 0 < added / whole < 0.01


def test_controls_have_gradients_only_where_they_are_used() -> None:
    model, given = subject("ar", "tiny", 2, 5)
    stem = model.control_conditioner
    assert stem is not None
    step, weight = stepper(model, given), stem.projection.weight
    for kind, used in zip(KINDS, (True, False, True)):
        step(kind)
        assert (weight.grad is not None) == used, kind
        assert (model.head.weight.grad is not None) == (kind != "controls alone")  # type: ignore[union-attr]


def test_kinds_take_turns_after_a_warm_up() -> None:
    done: list[str] = []
    taken = measure(done.append, 3)
    assert [len(spent) for spent in taken.values()] == [3, 3, 3]
    assert [done[i] for i in (0, 3, 6, 9)] == [KINDS[0], KINDS[-1], KINDS[0], KINDS[-1]]
    assert len(done) == 12
