"""The page of a validation says what each metric notices, and what none does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.validation import ChainInfo, Validation
from paradigm_bench.benchmarks.axes.validate import text_of
from paradigm_bench.benchmarks.metrics.degradations import CHAINS
from paradigm_bench.benchmarks.metrics.ladder import MetricLadder, StepScore
from paradigm_bench.benchmarks.report.validation import draw, may_decide, steps_table, summary, told, write_pages
from paradigm_bench.benchmarks.study.cells import Content, Identity

INFOS = {
    "noise": ChainInfo("white noise", "dB SNR", "fidelity", ("30", "0")),
    "pitch": ChainInfo("pitch", "semitones", "nothing", ("1",)),
    "exchanged": ChainInfo("exchanged clips", "% of clips", "captions", ("5", "100")),
    "loudness": ChainInfo("loudness", "dB", "loudness", ("-6",)),
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only noise is required of fidelity, so that one chain decides."""
    kept = {name: chain for name, chain in CHAINS.items() if name in ("noise", "exchanged")}
    monkeypatch.setattr("paradigm_bench.benchmarks.metrics.degradations.CHAINS", kept)


def steps(*differences: float) -> tuple[StepScore, ...]:
    """Steps of a metric that tells everything but 0 from clean audio for certain."""
    changes = [b - a for a, b in zip((0.0, *differences), differences)]
    return tuple(
        StepScore(step, d, d, d, d, 0.0 if d else 1.0, c, 0.0 if c else 1.0)
        for step, d, c in zip((30.0, 0.0), differences, changes)
    )


@pytest.fixture
def validation() -> Validation:
    """A judge that notices noise and pitch, one that notices loudness alone, and a tagger."""

    def placed(held: tuple[StepScore, ...], *at: float) -> tuple[StepScore, ...]:
        return tuple(replace(step, step=where) for step, where in zip(held, at))

    def ladder(better: str, noise: tuple, pitch: tuple, exchanged: tuple, loudness: tuple) -> MetricLadder:
        chains = {
            "noise": noise, "pitch": placed(pitch, 1), "exchanged": placed(exchanged, 5, 100),
            "loudness": placed(loudness, -6),
        }  # fmt: skip
        return MetricLadder(1.0, better, chains)  # type: ignore[arg-type]

    metrics = {
        "kad_musicnn": ladder("lower", steps(2, 9), steps(1), steps(0, 0), steps(0)),
        "fad_musicnn": ladder("lower", steps(0, 9), steps(0), steps(0, 0), steps(0)),
        "kad_logmel": ladder("lower", steps(0, 0), steps(0), steps(0, 0), steps(4)),
        "kad_builtin": ladder("lower", steps(2, 9), steps(1), steps(0, 0), steps(0)),
        "adherence_builtin": ladder("higher", steps(0, 0), steps(0), steps(-0.1, -0.8), steps(0)),
        "adherence_key_builtin": ladder("higher", steps(0, 0), steps(0), steps(-0.1, -0.8), steps(0)),
        "precision_musicnn": MetricLadder(0.9, "higher", {"noise": (StepScore(0, 0.1, -0.8),)}),
    }
    evaluators = tuple(Identity(name, f"{name}-identity") for name in ("builtin", "musicnn", "logmel"))
    return Validation(Content("toy", "1"), "test", 4.0, 16_000, 64, evaluators, INFOS, metrics, notes=("MP3: no",))


def test_what_may_decide(validation: Validation) -> None:
    assert may_decide(validation, "kad_musicnn") == ""
    assert may_decide(validation, "fad_musicnn") == "from 256 clips"
    assert may_decide(validation, "kad_logmel") == "no: does not notice white noise, not even at 0 dB SNR"
    assert may_decide(validation, "kad_builtin") == "no: a tagger's distance"
    assert may_decide(validation, "adherence_builtin") == ""


def test_a_row_for_each_metric_that_tables_compare(validation: Validation) -> None:
    table = summary(validation)
    names = [row[0] for row in table.body]
    assert names == ["kad_musicnn ↓", "fad_musicnn ↓", "kad_logmel ↓", "kad_builtin ↓", "adherence_builtin ↑"]
    assert table.body[0][1:] == ["yes", "ordered, from 30", "–", "no change", "2"]
    assert table.body[2][2] == "not noticed"
    assert table.body[2][4] == "moves"
    assert table.body[4][1:] == ["yes", "–", "ordered, from 5", "no change", "0.04"]


def test_it_says_openly_what_is_not_noticed(validation: Validation) -> None:
    lines = told(validation)
    assert lines[0] == "white noise: ordered by kad_musicnn, fad_musicnn"
    assert "noticed as worse by fewer than 2 metrics of fidelity: white noise 30 dB SNR, pitch 1 semitones" in lines
    assert "kad_logmel notices no step of: pitch" in lines
    assert lines[-1] == "moves with loudness alone: kad_logmel"


def test_one_witness_is_too_few(validation: Validation) -> None:
    del validation.metrics["fad_musicnn"]
    assert told(validation)[0].endswith("kad_musicnn; that is fewer than 2, so trust no table on it")


def test_steps_are_counted_by_the_judges_that_notice_them_as_worse(validation: Validation) -> None:
    counts = {row[0]: row[-1] for row in steps_table(validation).body}
    assert counts["white noise, 30 dB SNR"] == "1"
    assert counts["white noise, 0 dB SNR"] == "2"
    assert counts["exchanged clips, 100% of clips"] == "0"


def test_a_missing_step_shifts_no_other(validation: Validation) -> None:
    held = validation.metrics["kad_musicnn"].chains
    held["noise"] = held["noise"][1:]
    rows = {row[0]: row for row in steps_table(validation).body}
    assert (rows["white noise, 30 dB SNR"][1], rows["white noise, 0 dB SNR"][1]) == ("–", "9")
    assert rows["white noise, 30 dB SNR"][-1] == "0"
    assert rows["white noise, 0 dB SNR"][-1] == "2"


def test_the_figure_has_a_panel_for_each_chain(validation: Validation) -> None:
    figure = draw(validation)
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == ["white noise", "pitch", "exchanged clips", "loudness"]
    assert figure.get_figwidth() * 80 <= 400  # pixels: as wide as a phone
    exchanged = figure.axes[2].get_legend_handles_labels()[1]
    assert exchanged == ["adherence_builtin"]


def test_pages_are_written_beside_the_file_and_only_when_they_change(validation: Validation, tmp_path: Path) -> None:
    file = tmp_path / "toy-1.json"
    file.write_text(text_of(validation))
    page, figure = write_pages(validation, file)
    assert figure is not None
    before = [path.stat().st_mtime_ns for path in (page, figure)]
    text = page.read_text()
    assert "- MP3: no" in text
    assert "](toy-1.png)" in text
    assert "](toy-1.json)" in text
    write_pages(validation, file)
    assert [path.stat().st_mtime_ns for path in (page, figure)] == before
