"""The chapter on fidelity from made-up records: known winners win, other settings stay out, failures show."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.pooling import differences, pooled
from paradigm_bench.benchmarks.analysis.records import Record, load_records, read_items, save_record
from paradigm_bench.benchmarks.analysis.result_table import ResultTable, make_table
from paradigm_bench.benchmarks.axes.fidelity.report.chapter import answers, conclusion, find
from paradigm_bench.benchmarks.axes.fidelity.report.figures import _placed
from paradigm_bench.benchmarks.axes.fidelity.report.scores import comparison, leaders_of
from paradigm_bench.benchmarks.axes.fidelity.report.tables import all_settings, by_setting, verdicts
from paradigm_bench.benchmarks.metrics.metric import Metric, metric
from paradigm_bench.benchmarks.report import write_report
from paradigm_bench.benchmarks.report.clips import log_spectrogram
from paradigm_bench.benchmarks.report.scores import figure
from paradigm_bench.benchmarks.report.summary import standing, trained, unbeaten
from paradigm_bench.benchmarks.report.words import arm_names
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora.audio import read_audio, write_audio
from paradigm_bench.training.budget import TrainingCost

N = 40
LEVELS = {
    "mar": 0.5,
    "ar": 0.3,
    "fm": 0.8,
    "shuffled_captions": 0.1,
    "noise": 0.1,
    "real": 1.0,
}  # chance of hearing what was asked for


def a_cell(system: str, seed: int, at: int | None, updates: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "axis": "fidelity",
        "version": 1,
        "data": {"corpus": {"name": "c"}, "representation": {"name": "r"}, "text": "builtin"},
        "evaluation": {
            "split": "test", "prompts": N, "seconds": 4.0, "sample_rate": 16000,
            "evaluator": {"name": "b", "identity": "e"},
        },
        "seed": seed,
    }  # fmt: skip
    if at is None:
        return {**cell, "reference": system}
    backbone = {"d_model": 8, "n_layers": 2, "causal": system == "ar"}
    train = {
        "updates": updates,
        "batch": 4,
        "seconds": 4.0,
        "lr": 1e-3,
        "ema_decay": 0.9,
        "precision": "fp32",
        "warmup": 0,
        "seed": seed,
    }
    model = {"paradigm": system, "options": {}, "backbone": backbone}
    return {**cell, "model": model, "train": train, "sampler": {"guidance": 2.0}, "at_updates": at}


def save(folder: Path, system: str, seed: int = 0, at: int | None = None, updates: int = 100, **changes: Any) -> Record:
    cell = a_cell(system, seed, at, updates)
    rng = np.random.default_rng([seed, len(system), at or 0])
    hits = (rng.random(N) < LEVELS[system]).astype(float)
    items = [{"item": f"p{i}", "caption": f"clip | {i}", "adherence_b": hits[i]} for i in range(N)]
    metrics = {
        "fad_b": metric(10.0 + seed, low=8.0 + seed, high=12.0 + seed, n=N, better="lower"),
        "adherence_b": metric(hits.mean(), low=hits.mean() - 0.1, high=hits.mean() + 0.1, n=N, better="higher"),
    }
    curve = {"update": (10.0, 100.0), "loss": (2.0, 1.0), "cpu_seconds": (1.0, 10.0)}
    record = Record(
        id=config_hash(cell), study="s", axis="fidelity", system=system, kind="reference" if at is None else "paradigm",
        seed=seed, at_updates=at, status="ok", cell=cell, created=f"2026-01-01T00:00:{seed:02d}", metrics=metrics,
        training=None if at is None else TrainingCost(at, 10.0, 12.0, 1000, {"head": 5, "backbone": 7}, curve),
    )  # fmt: skip
    fields = {**vars(record), **changes}
    return save_record(folder, Record(**fields), items if fields["status"] == "ok" else [])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "s"
    for reference in ("shuffled_captions", "real"):
        save(folder, reference)
    for seed in (0, 1, 2):
        for arm in ("fm", "ar"):
            save(folder, arm, seed, at=50)
            save(folder, arm, seed, at=100)
    return tmp_path / "results"


def board_of(results: Path) -> ResultTable:
    return make_table("s", results / "s", load_records(results / "s")[0])


def test_ceilings_then_floors_then_arms(results: Path) -> None:
    assert [row.system for row in board_of(results).rows] == ["real", "shuffled_captions", "ar", "fm"]


def test_items_of_all_seeds_are_pooled(results: Path) -> None:
    board = board_of(results)
    fm = board.row("fm")
    assert fm is not None
    pool = pooled(board, fm, "adherence_b")
    own = [record.metrics["adherence_b"].value for record in fm.good]
    assert pool.n == 3 * N
    assert pool.value == pytest.approx(np.mean(own))  # type: ignore[arg-type]
    assert pool.low is not None
    assert pool.low < pool.value < pool.high  # type: ignore[operator]


def test_set_level_metrics_of_seeds_have_the_variance_within_and_between_them(results: Path) -> None:
    board = board_of(results)
    ar = board.row("ar")
    assert ar is not None
    pool = pooled(board, ar, "fad_b")  # seeds gave 10, 11 and 12, each with an interval of width 4
    assert pool.value == pytest.approx(11.0)
    assert pool.low is not None
    assert pool.high is not None
    assert pool.low < 11.0 - 2.0
    assert pool.high > 11.0 + 2.0


def test_the_better_arm_wins_and_both_are_judged_against_the_floor(results: Path) -> None:
    board = board_of(results)
    assert leaders_of(board, "adherence_b") == {"fm"}
    verdicts = {(d.a, d.b): d.judgement.verdict for d in differences(board)}
    assert verdicts[("ar", "fm")] == "worse"
    assert verdicts[("fm", "shuffled_captions")] == "better"


def test_the_answer_names_the_worse_arms_with_what_is_better(results: Path) -> None:
    board = board_of(results)
    said = standing(board, differences(board), "adherence_b")
    told = r"no arm is better than fm \(0\.\d{3}\) after 100 updates; worse than fm: ar \(0\.\d{3}\)"
    assert re.fullmatch(told, said), said
    assert unbeaten(board, differences(board), "adherence_b") == "fm after 100 updates"
    none = "not compared: ar (11.0), fm (11.0) after 100 updates"  # no contributions of clips are kept
    assert standing(board, differences(board), "fad_b") == none
    assert trained(board) == "100 updates, 3 seeds, 40 prompts"
    (line,) = answers(find(board, differences(board)))
    assert (line.question, line.answer) == (
        "Do clips have what the caption asks for? (adherence, higher is better)",
        said,
    )


def test_equal_arms_are_not_ranked(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    save(folder, "ar", at=100)
    save(folder, "fm", at=100)
    assert leaders_of(board_of(tmp_path / "results"), "fad_b") == set()


def test_records_of_another_budget_or_exam_stay_out_and_are_counted(results: Path) -> None:
    save(results / "s", "fm", 9, at=200, updates=200)  # the newest arm decides
    board = board_of(results)
    assert [row.system for row in board.rows] == ["real", "shuffled_captions", "fm"]
    assert [record.seed for record in board.arms[0].records] == [9]
    assert sum(board.left_out.values()) == 12
    assert list(board.left_out) == ["train.updates"]


def test_an_arm_of_which_only_snapshots_were_measured_stays_out(results: Path) -> None:
    """Its run was stopped: half-trained weights would have been compared with whole ones."""
    save(results / "s", "mar", 0, at=50)
    board = board_of(results)
    assert board.row("mar") is None
    assert board.left_out == {"snapshots of trainings that have not ended": 1}


def test_of_an_arm_measured_with_other_options_the_newest_stands_alone(results: Path) -> None:
    cell = a_cell("fm", 0, 100, 100) | {"sampler": {"guidance": 9.0}}
    newer = {"cell": cell, "id": config_hash(cell), "created": "2026-01-02T00:00:00"}
    save(results / "s", "fm", 0, at=100, **newer)
    board = board_of(results)
    fm, ar = board.row("fm"), board.row("ar")
    assert fm is not None
    assert ar is not None
    assert [r.cell["sampler"] for r in (*fm.records, *fm.snapshots)] == [{"guidance": 9.0}]
    assert len(ar.records) + len(ar.snapshots) == 6
    assert board.left_out == {"sampler.guidance": 6}


def test_a_failed_arm_is_a_row_that_says_why(results: Path) -> None:
    records, _ = load_records(results / "s")
    kept = [r for r in records if r.system != "ar" or r.at_updates != 100]
    failed = [r for r in records if r.system == "ar" and r.at_updates == 100]
    out = [Record(**{**vars(r), "status": "oom", "reason": "out of memory", "metrics": {}}) for r in failed]
    board = make_table("s", results / "s", [*kept, *out])
    row = next(line for line in comparison(board).body if line[0] == "ar")
    assert row[2] == "oom: out of memory"


def test_report_has_tables_figures_csv_and_no_dead_link(results: Path, tmp_path: Path) -> None:
    import soundfile

    audio = results / "s" / "audio"
    audio.mkdir()
    soundfile.write(audio / "fm.flac", np.sin(np.arange(16000) * 0.2), 16000)
    save(results / "s", "fm", 3, at=100, artefacts={"audio/p0": "audio/fm.flac"})
    out = tmp_path / "docs" / "REPORT.md"
    told = write_report(results, [], out)
    text = out.read_text()
    page = (results / "s" / "README.md").read_text()
    assert "worse than fm: ar" in told
    assert "worse than fm: ar" in text
    assert "fm after 100 updates is better than ar after 100 updates by" in page
    assert "[fm](audio/fm.flac)" in page
    assert "No clips are kept here of ar." in page
    for folder, written in ((out.parent, text), (results / "s", page)):
        links = re.findall(r"\]\(([^)#][^)]*)\)", written)
        assert len(links) >= 4
        for link in links:
            assert (folder / link).exists(), link
    for image in (results / "s" / "figures").iterdir():
        assert image.stat().st_size < 300_000
    rows = list(csv.DictReader((results / "s" / "differences.csv").open()))
    assert {row["a"] for row in rows} == {"ar", "fm"}


def test_an_arm_between_floor_and_real_audio_is_placed_there() -> None:
    half = Metric(10.0, 5.0, 15.0, better="lower")
    assert _placed(half, (20.0, 0.0)) == pytest.approx((0.25, 0.5, 0.75))
    assert _placed(half, None) == (5.0, 10.0, 15.0)
    assert all(end != end for end in _placed(Metric(None), (20.0, 0.0)))


def test_clips_that_are_gone_leave_no_empty_figure(results: Path) -> None:
    save(results / "s", "fm", 3, at=100, artefacts={"audio/p0": "audio/gone.flac"})
    write_report(results, [], results / "REPORT.md")
    assert not (results / "s" / "figures" / "spectrograms.png").exists()
    assert "## Listen" not in (results / "s" / "README.md").read_text()


def test_too_short_a_study_gets_scores_and_no_verdicts(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    for reference in ("shuffled_captions", "real"):
        save(folder, reference)
    for arm in ("fm", "ar"):
        save(folder, arm, at=20, updates=20)
    told = write_report(tmp_path / "results", ["s"], tmp_path / "REPORT.md")
    page = (folder / "README.md").read_text()
    for text in (told, page):
        assert "Too short to compare: 20 updates of training (at least 100)." in text
        assert "is better than" not in text
        assert "worse than" not in text
    assert "| ar | 40 | 0." in page  # without the mark of the best
    assert "**0" not in page
    assert not (folder / "differences.csv").exists()
    report = (tmp_path / "REPORT.md").read_text()
    assert "too short to compare" in report
    assert "## The answer so far" not in report


def test_no_records_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bench run quickstart"):
        write_report(tmp_path, [], tmp_path / "REPORT.md")


def test_undefined_is_a_dash_never_zero() -> None:
    assert figure(Metric(None)) == "–"
    assert figure(Metric(-0.001, -0.2, 0.1)) == "0.00 [-0.20, 0.10]"


def test_spectrogram_puts_a_tone_in_the_right_band(tmp_path: Path) -> None:
    import soundfile

    rate, hz, bands = 16000, 1000.0, 80
    soundfile.write(tmp_path / "tone.flac", 0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate), rate)
    picture = log_spectrogram(tmp_path / "tone.flac", bands, low_hz=60.0)
    edges = np.geomspace(60.0, rate / 2, bands + 1)
    loudest = int(picture.mean(axis=1).argmax())
    assert edges[loudest] * 0.97 <= hz <= edges[loudest + 1] * 1.03


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_kept_audio_comes_back(tmp_path: Path, ending: str) -> None:
    audio = np.random.default_rng(0).uniform(-1.2, 1.2, 500).astype(np.float32)
    write_audio(tmp_path / f"clip{ending}", audio, 8000)
    back, rate = read_audio(tmp_path / f"clip{ending}")
    assert rate == 8000
    np.testing.assert_allclose(back, np.clip(audio, -1, 1), atol=2 / 32768)


def test_unknown_audio_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown audio format '\.xyz'"):
        write_audio(tmp_path / "clip.xyz", np.zeros(9), 8000)


def test_a_metric_that_cannot_tell_noise_from_music_is_marked_and_gives_no_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    fads = {"real": (10.0, 12.0), "noise": (11.0, 13.0), "ar": (5.0, 6.0), "fm": (7.0, 8.0)}
    for system, (low, high) in fads.items():
        scores = {"fad_b": metric((low + high) / 2, low=low, high=high, n=N, better="lower")}
        save(folder, system, at=None if system in ("real", "noise") else 100, metrics=scores)
    board = board_of(tmp_path / "results")
    table = comparison(board)
    assert "fad_b ↓ (no verdict)" in table.header
    assert table.notes[0] == ("`fad_b` gives no verdict here: noise (12) does not differ enough from real (11).")
    assert not table.leading
    assert not [d for d in differences(board) if d.metric == "fad_b"]


def test_arms_that_hardly_differ_are_the_same_within_a_margin(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    for system in ("real", "noise"):
        save(folder, system)
    save(folder, "ar", at=100)
    twin = a_cell("ar", 0, 100, 100) | {"model": {**a_cell("ar", 0, 100, 100)["model"], "paradigm": "fm"}}
    held = next(r for r in load_records(folder)[0] if r.system == "ar")
    items = read_items(folder, held)
    fields = {**vars(held), "system": "fm", "cell": twin, "id": config_hash(twin), "artefacts": {}}
    save_record(folder, Record(**fields), items)
    board = board_of(tmp_path / "results")
    (found,) = [d for d in differences(board) if {d.a, d.b} == {"ar", "fm"}]
    assert found.judgement.verdict == "same"
    (line,) = csv.DictReader(io.StringIO(verdicts([found]).csv()))
    assert (line["a"], line["b"], line["verdict"], line["prompts"], line["seeds"]) == ("ar", "fm", "same", str(N), "1")
    assert float(line["same_within"]) == pytest.approx(0.04, abs=0.005)
    assert float(line["low"]) <= float(line["estimate"]) <= float(line["high"])
    assert "the same within 0.04" in conclusion([found], board, arm_names(board))


def test_settings_of_a_sweep_stand_side_by_side(results: Path) -> None:
    folder = results / "s"
    cell = a_cell("fm", 0, 100, 100)
    cell["train"]["batch"] = 32
    save(folder, "fm", 0, at=100, cell=cell, id=config_hash(cell), created="2026-01-02T00:00:00")
    found = all_settings("s", folder, load_records(folder)[0])
    assert [values for values, _ in found] == [{"train.batch": 4}, {"train.batch": 32}]
    table = by_setting(found)
    assert [row[:2] for row in table.body] == [["4", "ar"], ["4", "fm"], ["32", "fm"]]
    write_report(results, ["s"], results / "REPORT.md")
    assert "### By setting" in (folder / "README.md").read_text()


def test_arms_on_one_budget_share_a_table_whatever_updates_it_buys(results: Path) -> None:
    folder, budget = results / "b", {"unit": "flops", "amount": 3e12}
    for arm, updates in (("ar", 180), ("fm", 200)):
        cell = a_cell(arm, 0, updates, updates)
        cell["train"]["budget"] = budget
        training = TrainingCost(
            updates,
            10.0,
            12.0,
            1000,
            {"head": 5},
            {"update": (10.0,), "loss": (2.0,), "cpu_seconds": (1.0,)},
            flops=2.9e12,
            budget=budget,
        )
        save(folder, arm, 0, at=updates, cell=cell, id=config_hash(cell), training=training)
    write_report(results, ["b"], results / "REPORT.md")
    report, text = (results / "REPORT.md").read_text(), (folder / "README.md").read_text()
    assert "| [b](b/README.md) |  | c | 2 | 180–200 | 1 |" in report  # no packaged study, so it has no title
    assert "a budget of 3 TFLOPs each, spent in updates of 4" in text
    assert "| ar | 5 | 180 |" in text
    assert "| fm | 5 | 200 |" in text
    assert text.count("| 1,000 | 2.9 | 10 CPU-s |") == 2
