"""What a validation loss says of an arm: by hand, and beside the judges' rule."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from papers_toys import ToyValidation, quality

from paradigm_bench.benchmarks.analysis import metric_validity
from paradigm_bench.benchmarks.analysis.learning import loss_trend, still_learning
from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.analysis.result_table import ResultTable, TableRow
from paradigm_bench.benchmarks.axes.fidelity.measure import at_update
from paradigm_bench.benchmarks.axes.fidelity.report.losses import losses
from paradigm_bench.training.budget import TrainingCost

DONE = "stopped improving: updates 4 to 8 brought less than 0.02 of the whole improvement"
NOT_DONE = "did not stop improving within 10 updates"


@pytest.fixture(autouse=True)
def valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric is valid and has a margin."""
    monkeypatch.setattr(metric_validity, "find_validation", lambda record, results, evaluator="": ToyValidation())


def trained(validation: tuple[float, ...], ended: str = "", updates: int = 10) -> TrainingCost:
    at = tuple(updates * i / (len(validation) - 1) for i in range(len(validation)))
    return TrainingCost(
        updates, 8.0, 9.0,
        curve={"update": (1.0, float(updates)), "loss": (2.0, 1.0), "cpu_seconds": (1.0, 8.0)},
        validation={"update": at, "loss": validation, "error": (0.01,) * len(at)},
        ended=ended, converged=None if not ended else ended == DONE,
    )  # fmt: skip


def run(folder: Path, training: TrainingCost, at: int | None = None, seed: int = 0) -> Record:
    record = quality(folder, "s", "fm", {"kad_musicnn": [1.0, 1.0]}, seed, at_updates=at)
    return dataclasses.replace(record, training=training)


@pytest.mark.parametrize(
    ("validation", "late", "told"),
    [
        ((3.0, 1.5, 1.0, 1.0, 1.0), 0.0, "hardly falls any more"),
        ((3.0, 2.5, 2.0, 1.5, 1.0), 0.5, "still falls"),
        ((3.0, 1.5, 1.0, 1.5, 2.0), -0.5, "rises since update 5"),
    ],
)
def test_trend_by_hand(tmp_path: Path, validation: tuple[float, ...], late: float, told: str) -> None:
    row = TableRow("fm", "paradigm", [run(tmp_path, trained(validation))], [])
    trend = loss_trend(row)
    assert trend is not None
    assert (trend.late, trend.told, trend.training) == (pytest.approx(late), told, 1.0)
    ended = loss_trend(TableRow("fm", "paradigm", [run(tmp_path, trained(validation, DONE))], []))
    assert ended is not None
    assert ended.told == f"{told}; {DONE}"


def test_the_table_has_a_line_per_arm_with_a_validation_loss(tmp_path: Path) -> None:
    row = TableRow("fm", "paradigm", [run(tmp_path, trained((3.0, 1.5, 1.0, 1.0, 1.0)))], [])
    bare = TableRow("ar", "paradigm", [run(tmp_path, TrainingCost(10, 1.0, 1.0))], [])
    assert losses(ResultTable("s", tmp_path / "s", [row, bare], {})).body == [
        ["fm", "1", "1 ± 0.01", "0.0%", "hardly falls any more"]
    ]


def test_an_arm_whose_loss_did_not_stop_still_learns_whatever_judges_hear(tmp_path: Path) -> None:
    def told(ended: str) -> str:
        end = run(tmp_path, trained((3.0, 1.0), ended))
        row = TableRow("fm", "paradigm", [end], [run(tmp_path, trained((3.0, 1.0)), at=5)])
        return still_learning(ResultTable("s", tmp_path / "s", [row], {}), row)

    assert told(NOT_DONE) == f"the validation loss {NOT_DONE}"
    assert told(DONE) == ""
    assert told("") == ""


def test_a_loss_that_stopped_does_not_replace_the_judges(tmp_path: Path) -> None:
    row = TableRow("fm", "paradigm", [run(tmp_path, trained((3.0, 1.0), DONE))], [])
    assert still_learning(ResultTable("s", tmp_path / "s", [row], {}), row)


def test_half_way_is_of_the_updates_that_were_done(tmp_path: Path) -> None:
    """Two seeds that ended after 6 and 8 of at most 10 updates: half is 3.5, and 5 is beyond three quarters of 6."""
    ends = [run(tmp_path, trained((3.0, 1.0), DONE, n), seed=seed) for seed, n in enumerate((6, 8))]
    ends = [dataclasses.replace(record, at_updates=None) for record in ends]
    moved = [
        quality(tmp_path, "s", "fm", {"kad_musicnn": [v, v]}, seed, at_updates=at)
        for seed in (0, 1)
        for at, v in ((3, 9.0), (5, 1.0))
    ]
    row = TableRow("fm", "paradigm", ends, moved)
    assert "after update 3" in still_learning(ResultTable("s", tmp_path / "s", [row], {}), row)


def test_a_snapshot_has_the_validation_losses_up_to_it() -> None:
    cut = at_update(trained((3.0, 2.0, 1.0)), 5)
    assert cut.validation == {"update": (0.0, 5.0), "loss": (3.0, 2.0), "error": (0.01, 0.01)}
    assert at_update(TrainingCost(10, 1.0, 1.0, curve={"update": (10.0,)}), 10).validation == {}
