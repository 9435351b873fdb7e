"""The page of a study of frame rates: points, what compares with what, verdicts between neighbours, the figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_toys import save_validation

from paradigm_bench.benchmarks.analysis.records import Record, read_items, save_record
from paradigm_bench.benchmarks.axes.frame_rate.report.chapter import describe, published
from paradigm_bench.benchmarks.axes.frame_rate.report.rates import changes, points, series
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.papers.claim_tests import judge
from paradigm_bench.benchmarks.papers.claims import load_claim_tests
from paradigm_bench.benchmarks.papers.figures import find_panels
from paradigm_bench.benchmarks.papers.record_index import RecordIndex
from paradigm_bench.benchmarks.papers.table_specs import load_paper
from paradigm_bench.benchmarks.report.chapter import StudyRecords
from paradigm_bench.benchmarks.report.study_page import StudyReport
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.files import write_text

NAME = "kad_musicnn_window"
POINTS = [(12.5, 50), (25.0, 100), (50.0, 200), (100.0, 400), (12.5, 100), (50.0, 100), (100.0, 100)]
CEILING = {"real": 1.0, "codec_continuous": 2.0, "codec_quantised": 4.0, "noise": 90.0, "shuffled_captions": 1.5}
HEARD = {"ar": 0.1, "fm": 0.02, "shuffled_captions": 0.0}  # CLAP of windows, each give or take 0.03


def record(
    folder: Path, system: str, hz: float, frames: int, value: float, seed: int = 0, updates: int = 900, **stated: Any
) -> Record:
    """A record whose 24 clips' contributions to the window's kernel distance lie around ``value``."""
    kind = "reference" if system in CEILING else "paradigm"
    seconds = frames / hz
    cell = {
        "axis": "frame_rate", "version": 1, "seed": seed,
        "frame_rate": {"hz": hz, "frames": frames, "seconds": seconds},
        "data": {
            "corpus": {"name": "c", "fingerprint": "f"},
            "representation": {"name": f"codec_{hz:g}", "fingerprint": f"{hz:08g}"},
        },
        "evaluation": {
            "split": "test", "prompts": 24, "seconds": seconds, "sample_rate": 16000, "window": 1.0,
            "evaluator": {"name": "builtin", "identity": "builtin-id"},
            "judges": [{"name": "musicnn", "identity": "musicnn-id"}],
        },
    }  # fmt: skip
    cell |= {"reference": system} if kind == "reference" else {
        "model": {"paradigm": system, "backbone": {"d_model": 8}}, "train": {"seconds": seconds, "updates": updates},
        **stated,
    }  # fmt: skip
    shares = value + np.random.default_rng(seed).normal(0, 0.3, 24)
    identity = config_hash(cell)
    write_text(folder / f"{identity}.csv", f"item,{NAME}\n" + "\n".join(f"p{i},{s}" for i, s in enumerate(shares)))
    found = metric(float(shares.mean()), low=float(value - 0.2), high=float(value + 0.2), n=24, better="lower")
    clap = 0.01 if (system, hz) == ("ar", 100.0) else HEARD.get(system, 0.5)
    heard = metric(clap, low=clap - 0.03, high=clap + 0.03, n=24, better="higher")
    whole = metric(float(2 * value), n=24, better="lower")
    metrics = {"fad_builtin_window": whole, NAME: found, "clap_builtin_window": heard}
    created = f"2026-01-01T00:{updates // 30:02d}:0{seed}"
    return Record(
        identity, "s", "frame_rate", system, kind, seed, "ok", cell, created, metrics=metrics,
        artefacts={"items": f"{identity}.csv"}, at_updates=None if kind == "reference" else updates,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> StudyRecords:
    """fm falls with the rate and does not mind the length; ar minds neither but at 100 Hz."""
    folder, records = tmp_path / "s", []
    for seconds in {frames / hz for hz, frames in POINTS}:
        save_validation(tmp_path, metrics=("kad_musicnn",), seconds=seconds)
    for hz, frames in POINTS:
        records += [record(folder, system, hz, frames, value) for system, value in CEILING.items()]
        for seed in (0, 1):
            records.append(record(folder, "fm", hz, frames, 5 + 10 * np.log2(hz / 12.5), seed))
            records.append(record(folder, "ar", hz, frames, 20.0 if hz < 100 else 30.0, seed))
    records.append(record(folder, "fm", 25.0, 100, 99.0, updates=300))  # an older training: in no table
    records.sort(key=lambda r: (r.at_updates or 900) + r.seed)
    return StudyRecords("s", folder, records)


def test_arms_that_do_not_follow_captions_are_named(study: StudyRecords) -> None:
    where = "ar at (100 Hz, 1 s), (100 Hz, 4 s); fm at every point."
    told = f"(`clap_builtin_window` does not tell the clips from real audio of another caption): {where}"
    assert told in describe(study).notes[-1]


def test_duration_length_and_rate_are_told_apart(study: StudyRecords) -> None:
    found, left_out = points(study.name, study.folder, study.records)
    assert [(p.hz, p.frames) for p in found] == sorted(POINTS)
    assert sum(left_out.values()) == 1
    lines = {mode: [[p.label for p in g] for g in series(found, mode)] for mode in ("duration", "length", "rate")}
    assert lines["duration"] == [["12.5 Hz, 4 s", "25 Hz, 4 s", "50 Hz, 4 s", "100 Hz, 4 s"]]
    assert lines["length"] == [["12.5 Hz, 8 s", "25 Hz, 4 s", "50 Hz, 2 s", "100 Hz, 1 s"]]
    assert lines["rate"][0] == ["12.5 Hz, 4 s", "12.5 Hz, 8 s"]
    assert len(lines["rate"]) == 3  # 25 Hz has one duration
    moves = {(c.arm, c.mode, c.a.hz): c for c in changes(found, [NAME])}
    assert len(moves) == 2 * (3 + 3 + 3)
    assert moves["fm", "duration", 12.5].comparison.difference.estimate == pytest.approx(-10, abs=1e-6)
    verdicts = {key: change.judgement.verdict for key, change in moves.items()}
    assert {verdicts["fm", mode, hz] for mode in ("duration", "length") for hz in (12.5, 25.0, 50.0)} == {"better"}
    assert verdicts["ar", "length", 12.5] == verdicts["fm", "rate", 50.0] == "same"
    assert verdicts["ar", "length", 50.0] == "better"


@pytest.mark.parametrize("declared", [["musicnn"], ["logmel"]])
def test_an_arm_has_no_verdict_by_a_judge_that_it_was_trained_against(study: StudyRecords, declared: list[str]) -> None:
    records = [one for one in study.records if one.system != "ar"]
    for hz, frames in POINTS:
        records += [record(study.folder, "ar", hz, frames, 20.0, seed, trained_on=declared) for seed in (0, 1)]
    found, _ = points(study.name, study.folder, records)
    judged = {change.arm for change in changes(found, [NAME])}
    assert judged == ({"fm"} if declared == ["musicnn"] else {"ar", "fm"})
    notes = "\n".join(describe(StudyRecords(study.name, study.folder, records)).notes)
    assert ("trained or tuned against this evaluator: ar." in notes) == (declared == ["musicnn"])


def test_the_page_tells_shows_and_draws(study: StudyRecords) -> None:
    told = describe(study)
    (short,) = told.answers
    assert short.question == (
        "Which frame rate sounds best? (kernel distance of windows by every judge, lower is better)"
    )
    assert told.row["KAD of windows"] == short.answer
    where = "at 12.5, 25, 50, 100 Hz, clips of 4 s: "
    assert re.match(
        where
        + r"`kad_musicnn_window`: these 2 runs of ar 20\.\d, 20\.\d, 20\.\d, 30\.\d; "
        + r"these 2 runs of fm 5\.\d\d, 15\.\d, 25\.\d, 35\.\d",
        short.answer,
    ), short.answer
    text = StudyReport("s", study.folder, "", {"frame_rate": told}).text()
    assert (
        "- `kad_musicnn_window`, these 2 runs of fm, same duration: (12.5 Hz, 4 s) **better** than (25 Hz, 4 s);"
        in text
    )
    assert "(12.5 Hz, 8 s) the same as (25 Hz, 4 s) within" in text
    assert "| 100 Hz | 100 | 1 | fm | 24 × 2 seeds |" in text
    assert "| 12.5 Hz | 50 | 4 | *real* |" not in text  # the first column is the rate
    fm = next(line for line in text.splitlines() if line.startswith("| 25 Hz | 100 | 4 | fm"))
    ar = next(line for line in text.splitlines() if line.startswith("| 25 Hz | 100 | 4 | ar"))
    assert float(fm.split("|")[-2]) == pytest.approx(15 - 2, abs=0.2)  # above its own ceiling, the continuous latents
    assert float(ar.split("|")[-2]) == pytest.approx(20 - 4, abs=0.2)  # and above the codes
    assert "99.0" not in text
    assert "Records of other settings, not shown: 1 that" in text
    assert (study.folder / "figures" / "rates.png").stat().st_size > 5_000
    assert len(told.table.body) == 7 * 7


def test_a_rate_that_an_arm_lacks_leaves_a_dash_in_its_place(study: StudyRecords) -> None:
    lacking = [r for r in study.records if (r.system, r.cell["frame_rate"]["hz"]) != ("ar", 25.0)]
    (short,) = describe(StudyRecords("s", study.folder, lacking)).answers
    assert re.search(r"of ar 20\.\d, –, 20\.\d, 30\.\d; these 2 runs of fm ", short.answer)


def test_published_figures_and_claims_stand_beside() -> None:
    text = published()
    assert "| FM (EnC) | 25 Hz | 1000 | 40 | 0.51 | 0.38 |" in text
    assert "| AR | 100 Hz | 1000 | 10 | 0.64 | 0.40 |" in text
    assert text.count("\n- T") == 5


def test_claims_on_rates_need_three_seeds_and_are_drawn_by_windows(study: StudyRecords, tmp_path: Path) -> None:
    for one in study.records:
        save_record(tmp_path / "frame_rate", one, read_items(study.folder, one))
    tests, index = load_claim_tests(), RecordIndex(tmp_path)
    for claim in ("T2", "T3", "T5a", "T5b", "T6"):
        for found in judge(tests[claim].contrasts, index):
            assert found.verdict == "not tested here"
            assert not any("no record" in lack.what or "records that may" in lack.what for lack in found.lacks)
    figures = [sheet for sheet in load_paper("tal2025").tables if sheet.id in ("figure-4-duration", "figure-4-length")]
    drawn = [find_panels(sheet, index) for sheet in figures]
    assert [[len(panel.points) for panel in found] for found, _ in drawn] == [[2 * 4], [2 * 4]]
