"""Equal updates, FLOPs and time side by side on made-up records, where which arm leads depends on the budget."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paradigm_bench.benchmarks.analysis.budgets import Course, course, read_off, twins
from paradigm_bench.benchmarks.analysis.pooling import differences
from paradigm_bench.benchmarks.analysis.records import load_records, read_items, save_record
from paradigm_bench.benchmarks.axes.fidelity.report.brief import brief
from paradigm_bench.benchmarks.axes.fidelity.report.budgets import (
    HEADING,
    MIDWAY,
    MISSING,
    by_study,
    equal_terms,
    ranks,
    shown_metrics,
    verdicts,
)
from paradigm_bench.benchmarks.axes.fidelity.report.chapter import describe
from paradigm_bench.benchmarks.axes.fidelity.report.judges import ask_judges
from paradigm_bench.benchmarks.axes.fidelity.report.tables import costs
from paradigm_bench.benchmarks.report.chapter import StudyRecords
from paradigm_bench.common.config import config_hash
from tests.judged_toys import ARMS, judged_table, save_judged_study, save_validation

COST = {"fm": 1.0, "ar": 1.6, "mar": 2.0}  # operations per update, in units of 1e9
REVERSED = {"fm": (0.4, 0.4, 0.5), "ar": (0.7, 0.7, 0.8), "mar": (0.6, 0.4, 0.65)}


def rewritten(folder: Path, train: Mapping[str, Any], sizes: Mapping[str, int] | None = None, **cell: Any) -> None:
    """Give the arms of a made-up study FLOPs by ``COST``, other settings of training, and sizes."""
    held = [(record, read_items(folder, record)) for record in load_records(folder)[0]]
    shutil.rmtree(folder / "records")
    for record, items in held:
        if record.training is None:
            save_record(folder, record, items)
            continue
        own = {**record.cell, **cell, "train": {**record.cell["train"], **train}}
        training = dataclasses.replace(
            record.training,
            flops=record.training.updates * COST[record.system] * 1e9,
            parameters={"backbone": (sizes or {}).get(record.system, 100)},
        )
        save_record(folder, dataclasses.replace(record, id=config_hash(own), cell=own, training=training), items)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A study, and one with a budget in FLOPs in which ar leads; nothing at equal time."""
    save_validation(tmp_path)
    save_judged_study(tmp_path / "main", growth=0.2)
    rewritten(tmp_path / "main", {})
    save_judged_study(tmp_path / "main_flops", REVERSED, snapshots=False)
    rewritten(tmp_path / "main_flops", {"budget": {"unit": "flops", "amount": 8e11}})
    return tmp_path


def test_a_score_is_read_between_two_snapshots_and_not_beyond() -> None:
    fast = Course((10.0, 20.0), (1e9, 2e9), (5.0, 10.0), (4.0, 2.0))
    slow = Course((10.0, 20.0), (3e9, 6e9), (1.0, 2.0), (8.0, 1.0))
    assert fast.at("flops", 1.5e9) == pytest.approx(3.0)
    assert fast.at("flops", 2.5e9) is None
    assert fast.at("seconds", 4.0) is None
    assert read_off({"a": fast, "b": fast}, "updates") == (20.0, {"a": 2.0, "b": 2.0})
    assert read_off({"a": fast, "b": slow}, "flops") == (None, {})  # slow has no snapshot within 2e9
    later = dataclasses.replace(slow, flops=(1e9, 3e9))
    amount, scores = read_off({"a": fast, "b": later}, "flops")
    assert amount == 2e9
    assert scores == pytest.approx({"a": 2.0, "b": 4.5})
    uncounted = dataclasses.replace(slow, flops=(math.nan, math.nan))
    assert read_off({"a": fast, "b": uncounted}, "flops") == (None, {})


def test_the_course_of_a_score_is_the_mean_over_seeds(results: Path) -> None:
    row = judged_table(results / "main").row("ar")
    assert row is not None
    held = course(row, "kad_musicnn")
    assert (held.updates, held.flops) == ((400.0, 800.0), (6.4e11, 1.28e12))
    assert held.seconds == (50.0, 100.0)
    ends = [record.metrics["kad_musicnn"].value or 0.0 for record in row.good]
    assert held.scores[1] == pytest.approx(sum(ends) / len(ends))
    assert held.scores[0] > held.scores[1]
    assert course(row, "nothing").scores == ()


def test_studies_join_where_only_the_budget_differs(results: Path) -> None:
    (twin,) = twins(judged_table(results / "main"))
    assert (twin.equal, twin.amount, twin.table.study) == ("flops", 8e11, "main_flops")
    assert twins(judged_table(results / "main_flops")) == []
    for name, train, cell in (
        ("other_rate", {"lr": 2e-3, "budget": {"unit": "flops", "amount": 8e11}}, {}),
        ("other_sampler", {"budget": {"unit": "flops", "amount": 8e11}}, {"sampler": {"guidance": 9.0}}),
        ("no_budget", {"updates": 700}, {}),
    ):
        save_judged_study(results / name, snapshots=False)
        rewritten(results / name, train, **cell)
    assert [one.table.study for one in twins(judged_table(results / "main"))] == ["main_flops"]


def test_ranks_stand_side_by_side_and_missing_parts_say_so(results: Path) -> None:
    table = judged_table(results / "main")
    names = shown_metrics(table)
    assert names == ["kad_musicnn", "kad_logmel", "adherence_builtin"]
    columns = by_study(table, differences(table), twins(table), names)
    assert [c.heading for c in columns] == ["equal updates (800)", "equal FLOPs (0.8 TFLOPs, main_flops)", "equal time"]
    sheet = {(row[0].split()[0], row[1]): row[2:] for row in ranks(table, columns, names).body}
    assert [cell.split()[0] for cell in sheet["kad_musicnn", "fm"]] == ["1", "3", "not"]
    assert [cell.split()[0] for cell in sheet["kad_musicnn", "ar"]] == ["3", "1", "not"]
    told = {tuple(row[:3]): row[3:] for row in verdicts(table, columns, names).body}
    first, second, third = told["kad_musicnn", "ar", "fm"]
    assert first.startswith("fm better by 8")
    assert second.startswith("ar better by 12")
    assert third == MISSING


def test_the_page_has_ranks_verdicts_and_a_chart(results: Path) -> None:
    table = judged_table(results / "main")
    text = "\n\n".join(equal_terms(table, differences(table), None))
    assert text.startswith(HEADING)
    assert MIDWAY in text
    assert "0.8 TFLOPs, off snapshots" in text  # what fm, the cheapest arm, uses in all
    assert "Reversed by the budget:" in text
    assert "`kad_musicnn`" in text
    assert (results / "main" / "budgets.csv").read_text().count("\n") == 1 + 3 * 3
    page = describe(StudyRecords("main", results / "main", load_records(results / "main")[0]))
    assert HEADING in page.details
    assert (results / "main" / "figures" / "budgets.png").is_file()


def test_a_study_alone_says_that_no_other_budget_was_measured(tmp_path: Path) -> None:
    save_validation(tmp_path)
    save_judged_study(tmp_path / "main")
    table = judged_table(tmp_path / "main")
    text = "\n\n".join(equal_terms(table, differences(table), None))
    assert "No study of these arms at equal FLOPs or equal time" in text
    assert text.count(MISSING) == 2 * 9
    assert "FLOPs, off" not in text  # the toy's records count none
    save_judged_study(tmp_path / "one", {"fm": ARMS["fm"], "fm-b": ARMS["ar"]})
    one = judged_table(tmp_path / "one")
    assert equal_terms(one, differences(one), None) == []


def test_arms_that_were_trained_until_convergence_are_read_off_at_equal_updates_too(results: Path) -> None:
    folder = results / "main"
    rewritten(folder, {"budget": {"unit": "convergence", "amount": 0.02}})
    table = judged_table(folder)
    sheet = equal_terms(table, differences(table), None)[2]
    assert "until convergence (updates: 800)" in sheet
    assert "800 updates, off snapshots" in sheet
    assert [one.table.study for one in twins(table)] == ["main_flops"]


def test_unequal_arms_are_marked_in_scores_and_costs(results: Path) -> None:
    folder = results / "main"
    equal = describe(StudyRecords("main", folder, load_records(folder)[0]))
    assert "§" not in equal.table.markdown()
    rewritten(folder, {}, {"mar": 150})
    page = describe(StudyRecords("main", folder, load_records(folder)[0]))
    assert [row[0] for row in page.table.body if "§" in row[0]] == ["mar §"]
    line = "§ Arms differ in size by more than 5%: from ar with 100 trained parameters to mar with 150 (50% more)."
    assert any(note.startswith(line) for note in page.table.notes)
    sheet = costs(judged_table(folder))
    assert sheet.header[:7] == [
        "arm", "parameters", "updates", "hours of audio", "latent frames", "TFLOPs", "training time",
    ]  # fmt: skip
    rows = {row[0]: row[1:7] for row in sheet.body}
    assert rows["mar §"] == ["150", "800", "3.56", "80,000", "1.6", "100 CPU-s"]
    assert any(note.startswith(line) for note in sheet.notes)
    assert any("an unknown machine" in note for note in sheet.notes)


def test_the_brief_says_what_is_decided_by_how_much_and_what_is_not(results: Path) -> None:
    table = judged_table(results / "main")
    compared = differences(table)
    lines = brief(table, compared, ask_judges(table, compared), ["adherence_builtin"])
    text = "\n".join(lines)
    assert "**Fidelity, decided by all judges (musicnn, logmel):**" in text
    assert "fm better than ar by 8" in text
    assert "(kad_musicnn)" in text
    assert "**Fidelity, judges contradict each other:** ar and mar" in text
    assert "**`adherence_builtin`:**" in text
    assert "**Against `sine_chords`:** every arm is better by every judge." in text
    assert "**Against `retrieved`:** ar, fm, mar better by no judge." in text
    assert "**Learning:**" in text
    assert "kad_musicnn still changes" in text
    scale = "**Scale:** 3 arms of 100 trained parameters, 800 updates, 3.56 h of audio heard, 0.8 to 1.6 TFLOPs each; "
    assert f"{scale}3 seeds, 40 prompts of the corpus `c`." in text
    assert brief(table, [], ask_judges(table, []), []) == []
