"""When an arm has stopped learning: hand-made snapshots and ends, and the rule's edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from papers_toys import MARGIN, ToyValidation, quality

from paradigm_bench.benchmarks.analysis import metric_validity
from paradigm_bench.benchmarks.analysis.learning import NO_SNAPSHOT, still_learning
from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.analysis.result_table import ResultTable, TableRow


@pytest.fixture(autouse=True)
def valid(monkeypatch: pytest.MonkeyPatch) -> ToyValidation:
    """Every metric is valid and has the margin ``MARGIN``, but for those that a test changes."""
    toy = ToyValidation()
    monkeypatch.setattr(metric_validity, "find_validation", lambda record, results, evaluator="": toy)
    return toy


def records(folder: Path, means: Sequence[dict[str, float]], at: int | None = None) -> list[Record]:
    """One record for each seed."""
    return [
        quality(folder, "s", "fm", {name: [value, value] for name, value in scores.items()}, seed, at_updates=at)
        for seed, scores in enumerate(means)
    ]


def told(folder: Path, ends: Sequence[dict[str, float]], halves: Sequence[dict[str, float]] = (), at: int = 5) -> str:
    """What is said of an arm of 10 updates."""
    row = TableRow("fm", "paradigm", records(folder, ends), records(folder, halves, at))
    return still_learning(ResultTable("s", folder / "s", [row], {}), row)


JUST_INSIDE, BEYOND = MARGIN * 0.9, MARGIN * 1.1


@pytest.mark.parametrize(("change", "learns"), [(0.0, False), (JUST_INSIDE, False), (BEYOND, True), (-BEYOND, True)])
@pytest.mark.parametrize("name", ["kad_musicnn", "kad_logmel", "adherence_builtin"])
def test_every_judge_and_adherence_must_have_stopped(tmp_path: Path, name: str, change: float, learns: bool) -> None:
    end = {"kad_musicnn": 1.0, "kad_logmel": 2.0, "adherence_builtin": 0.5}
    why = told(tmp_path, [end], [{**end, name: end[name] - change}])
    assert bool(why) == learns
    assert why == (f"{name} still changes, by {change:+.2g} after update 5 (margin 0.05)" if learns else "")


def test_the_mean_over_seeds_counts(tmp_path: Path) -> None:
    ends = [{"kad_musicnn": 1.0}, {"kad_musicnn": 1.0}]
    assert not told(tmp_path, ends, [{"kad_musicnn": 1.2}, {"kad_musicnn": 0.8}])
    assert told(tmp_path / "b", ends, [{"kad_musicnn": 1.2}, {"kad_musicnn": 1.2}])


def test_every_seed_needs_the_snapshot(tmp_path: Path) -> None:
    still = [{"kad_musicnn": 1.0}] * 3
    assert told(tmp_path, still, still) == ""
    assert told(tmp_path / "b", still, still[:1]) == (
        "no snapshot of seeds 1, 2 at update 5, so nothing shows that learning has stopped"
    )


@pytest.mark.parametrize(
    "name", ["kad_builtin", "adherence_key_builtin", "clap_builtin", "fad_musicnn", "kad_musicnn_window"]
)
def test_other_metrics_do_not_count(tmp_path: Path, name: str) -> None:
    """The tagger's distances, single attributes, biased distances, and parts of clips."""
    assert not told(tmp_path, [{"kad_musicnn": 1.0, name: 0.9}], [{"kad_musicnn": 1.0, name: 0.1}])


@pytest.mark.parametrize(("at", "said"), [(7, ""), (8, NO_SNAPSHOT)])
def test_a_snapshot_just_before_the_end_shows_nothing(tmp_path: Path, at: int, said: str) -> None:
    assert told(tmp_path, [{"kad_musicnn": 1.0}], [{"kad_musicnn": 1.0}], at) == said


def test_the_snapshot_nearest_to_half_is_taken(tmp_path: Path) -> None:
    ends, early = records(tmp_path, [{"kad_musicnn": 1.0}]), records(tmp_path, [{"kad_musicnn": 9.0}], 1)
    row = TableRow("fm", "paradigm", ends, [*early, *records(tmp_path, [{"kad_musicnn": 1.0}], 5)])
    assert not still_learning(ResultTable("s", tmp_path / "s", [row], {}), row)


def test_what_cannot_be_told_counts_as_still_learning(tmp_path: Path, valid: ToyValidation) -> None:
    assert told(tmp_path, [{"kad_musicnn": 1.0}]) == NO_SNAPSHOT
    no_judge = "no valid judge scored a snapshot, so nothing shows that learning has stopped"
    assert told(tmp_path / "b", [{"adherence_builtin": 1.0}], [{"adherence_builtin": 1.0}]) == no_judge
    assert told(tmp_path / "c", [{"kad_musicnn": 1.0}], [{"kad_logmel": 1.0}]) == "no snapshot has kad_musicnn"
    valid.problems["kad_musicnn"] = "does not order noise"
    assert told(tmp_path / "d", [{"kad_musicnn": 1.0}], [{"kad_musicnn": 1.0}]) == no_judge


def test_what_is_not_trained_learns_nothing(tmp_path: Path) -> None:
    record = quality(tmp_path, "s", "real", {"kad_musicnn": [0.0, 0.0]}, kind="reference")
    row = TableRow("real", "reference", [record], [])
    assert not still_learning(ResultTable("s", tmp_path / "s", [row], {}), row)
