"""The chapters on control and inpainting: rows per scenario, a verdict per arm, published figures from their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.records import Record, metric
from benchmarks.report.chapter import StudyRecords
from benchmarks.report.controlled import control, inpainting
from common.config import config_hash


def record(system: str, scenario: str | None, value: float, lr: float = 1e-3, created: int = 1) -> Record:
    kind = "paradigm" if scenario else "reference"
    cell = {"data": "d", "evaluation": "e", "scenario": scenario, "train": {"lr": lr}, "model": {"paradigm": system}}
    found = {"chord_iou": metric(value, low=value - 0.05, high=value + 0.05, n=8, better="higher")}
    made = f"2026-01-01T00:00:{created:02d}"
    identity = config_hash([system, cell])
    return Record(identity, "s", "control", system, kind, 0, "ok", cell, made, metrics=found)


def test_arms_that_follow_and_fail_are_told_apart(tmp_path: Path) -> None:
    records = [record("real", None, 0.95), record("shuffled_captions", None, 0.05)]
    for arm, given in (("ar", 0.7), ("fm", 0.2)):
        records += [record(arm, "all", given), record(arm, "none", 0.3), record(arm, "wrong", 0.18)]
    records.append(record("ar", "all", 0.99, lr=5e-3, created=0))  # of another training: not in this table
    told = control([StudyRecords("s", tmp_path / "s", records)], tmp_path)
    text = "\n\n".join(told.parts)
    assert "- ar follows its chords: 0.70 [0.65, 0.75] with all controls, 0.18 [0.13, 0.23]" in text
    assert "- fm **fails to follow its chords**" in text
    assert "| *real* | 0.95 [0.90, 1.00] |" in text
    assert "0.99" not in text
    assert (tmp_path / "s" / "table.csv").read_text().count("\n") == 9
    assert "Published" not in text  # no such file here


@pytest.mark.parametrize(("chapter", "line"), [(control, "| AR, all | table 3 |"), (inpainting, "| FM (zero-shot) |")])
def test_published_figures_stand_beside(chapter: object, line: str) -> None:
    results = Path(__file__).parent.parent / "results"
    from benchmarks.report.controlled import published

    assert line in published("control" if chapter is control else "inpainting", results)
