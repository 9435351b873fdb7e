"""What a study's page says of the tuning of its arms, and which arms with settings of their own share a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from record_toys import a_record

from paradigm_bench.benchmarks.analysis.comparability import differences, select
from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.analysis.result_table import make_table
from paradigm_bench.benchmarks.report.method import ran
from paradigm_bench.benchmarks.report.tuned_arms import tuned_note, tuned_section
from paradigm_bench.benchmarks.study.cells import Preparation
from paradigm_bench.common.config import config_hash

EFFORT = {
    "score": "kad_musicnn", "split": "valid", "prompts": 64, "seeds": [1000], "trainings": 8, "samplings": 3,
    "share": 0.25, "updates": 350, "budget": "updates",
}  # fmt: skip


def arm(name: str, lr: float, own: tuple[str, ...] = ("lr",), seed: int = 0, **about: Any) -> Record:
    cell = {
        "axis": "fidelity", "model": {"paradigm": name, "options": {"time_weight": True}}, "sampler": {"guidance": 2.5},
        "train": {"lr": lr, "seed": seed}, "seed": seed,
    }  # fmt: skip
    settings: dict[str, Any] = {"own_train": list(own)} if own else {}
    if about:
        settings["chosen_by"] = {
            "effort": EFFORT,
            "settings": {"train.lr": lr},
            "score": 5.0,
            "cpu_seconds": 90,
            **about,
        }
    how = Preparation("g", settings=settings)
    return a_record(seed, id=config_hash(cell), axis="fidelity", system=name, cell=cell, how=how)


def test_arms_share_a_table_only_where_what_differs_is_their_own() -> None:
    assert differences(arm("fm", 0.004), arm("ar", 0.008)) == []
    assert differences(arm("fm", 0.004, ()), arm("ar", 0.008, ())) == ["train.lr"]
    assert differences(arm("fm", 0.004, ("weight_decay",)), arm("ar", 0.008, ("clip_norm",))) == ["train.lr"]
    assert differences(arm("fm", 0.004), arm("fm", 0.008, seed=1), same_row=True) == ["train.lr"]  # seeds of one row
    held = [arm("fm", 0.002), arm("fm", 0.004, seed=1), arm("ar", 0.008, seed=2)]
    assert [record.cell["train"]["lr"] for record in select(held).kept] == [0.004, 0.008]  # the older setting is out


def notes(*records: Record) -> list[str]:
    return tuned_note(make_table("s", Path(), records))


def test_the_note_says_whether_arms_had_the_same_effort() -> None:
    assert notes(arm("fm", 0.004, ()), arm("ar", 0.004, (), seed=1)) == []
    (same,) = notes(arm("fm", 0.004, score=5.0), arm("ar", 0.008, seed=1, score=5.0))
    assert same.startswith("Every arm was tuned with the same effort: 24 trials (8 trainings of 350 updates (0.25 of")
    assert same.endswith("They differ in train.lr.")
    (other,) = notes(arm("fm", 0.004, score=5.0), arm("ar", 0.008, seed=1))
    assert "not tuned with the same effort (" in other
    assert "ar: not tuned" in other
    more = {**EFFORT, "trainings": 9}
    (uneven,) = notes(arm("fm", 0.004, score=5.0), arm("ar", 0.008, seed=1, effort=more))
    assert "27 trials" in uneven
    assert "24 trials" in uneven


def test_the_section_names_settings_that_the_study_changed_after_the_search() -> None:
    table = make_table(
        "s", Path(), [arm("fm", 0.004, settings={"train.lr": 0.004, "sampler.guidance": 3.5}, score=5.0)]
    )
    text = "\n".join(tuned_section(table))
    assert "lr 0.004, guidance 3.5 (here guidance 2.5 instead)" in text
    assert "| fm |" in text
    assert "| 24 | 0 | 1.5 |" in text  # trials, those without a score, minutes
    assert "Of their own in training: fm lr 0.004." in ran(table)
    assert tuned_section(make_table("s", Path(), [arm("fm", 0.004)])) == []
