"""The axis "reconstruction" on a toy representation whose losses are known, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_evaluator import Statistician

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.axes.reconstruction import cells as reconstruction
from paradigm_bench.benchmarks.axes.reconstruction.axis import Reconstruction
from paradigm_bench.benchmarks.axes.reconstruction.cells import facts
from paradigm_bench.benchmarks.axes.reconstruction.measure import resampled
from paradigm_bench.benchmarks.metrics.reconstruction import NO_VISQOL
from paradigm_bench.benchmarks.report import write_report
from paradigm_bench.benchmarks.study.axis import Context, Measurement
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.sweep import expand
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Annotation, Clip, Corpus
from paradigm_bench.representations.spec import LatentSpec

RATE, TOY, FULL = 16_000, "toy_representation:load:24", "toy_representation:load:160"  # 8 kHz; of 160: nothing is lost
TRIADS = {"C:maj": (261.6, 329.6, 392.0), "A:min": (220.0, 261.6, 329.6), "G:maj": (196.0, 246.9, 293.7)}


class Triad:
    """A chord with a soft sixth above the toy's 4 kHz; one sample per moment at any rate."""

    def __init__(self, chord: str, phase: float) -> None:
        self.chord, self.phase = chord, phase

    def audio(self, sample_rate: int) -> np.ndarray:
        t = np.arange(sample_rate) / sample_rate
        heard = sum(np.sin(2 * np.pi * hz * t + self.phase) for hz in TRIADS[self.chord])
        high = 0.3 * np.sin(2 * np.pi * 6000 * t) if sample_rate > 12_000 else 0.0
        return (0.2 * (heard + high)).astype(np.float32)

    def annotation(self) -> Annotation:
        return Annotation(chords=((0.0, 1.0, self.chord),))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Cell, Measurement]]:
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("r")
    patch.setattr("paradigm_bench.benchmarks.metrics.reconstruction.visqol_missing", lambda: NO_VISQOL)
    names = list(TRIADS)
    clips = [Clip(f"c{i}", "test", "a chord", 1.0, {"key": "C"}, Triad(names[i % 3], i)) for i in range(12)]
    patch.setattr(reconstruction, "open_sources", lambda how: (Corpus("toy", "f", {"test": clips}), [Statistician()]))
    settings = ["train.seconds=1.0", "evaluation.prompts=6", "evaluation.keep_audio=1"]
    study = load_study("reconstruction", [*settings, f"sweep={{representation: ['{TOY}', '{FULL}']}}"])
    cells, axis, found = expand(study), Reconstruction(), {}
    for group in dict.fromkeys(cell.group for cell in cells):
        own = [cell for cell in cells if cell.group == group]
        opened = axis.open(own, Context("s", folder, folder))
        found |= {cell.system: (cell, opened.measure(cell)) for cell in own}
    patch.undo()
    assert len(found) == len(cells)
    return found


def value(measured: dict[str, tuple[Cell, Measurement]], system: str, name: str) -> float:
    found = measured[system][1].metrics[name].value
    assert found is not None
    return found


def test_rows_are_the_views_and_what_needs_no_representation_comes_once(
    measured: dict[str, tuple[Cell, Measurement]],
) -> None:
    toys = [f"cosines {dim}, {view}" for dim in (24, 160) for view in ("continuous", "quantised")]
    assert sorted(measured) == sorted(["real", "noise", "silence", *toys])
    about = measured["cosines 24, quantised"][0].config["representation"]
    assert about["bits_per_second"] == 50 * 24 * 6
    assert facts(LatentSpec("x", 16000, 25.0, 32), "continuous")["numbers_per_second"] == 800


def test_what_comes_back_is_scored_against_the_very_clip(measured: dict[str, tuple[Cell, Measurement]]) -> None:
    assert value(measured, "real", "si_snr") == pytest.approx(100.0)
    assert value(measured, "real", "log_msd") == 0.0
    # The full transform loses only what its 8 kHz leave out: a share 0.09 / 3.09 of the power.
    assert value(measured, "cosines 160, continuous", "si_snr") == pytest.approx(10 * np.log10(3 / 0.09), abs=0.5)
    assert value(measured, "cosines 160, quantised", "si_snr") < value(measured, "cosines 160, continuous", "si_snr")
    assert value(measured, "noise", "si_snr") < -10
    assert "si_snr" not in measured["silence"][1].metrics
    assert value(measured, "silence", "log_msd") > value(measured, "cosines 160, continuous", "log_msd") > 0


def test_what_is_left_of_the_music_is_heard_against_the_annotation(
    measured: dict[str, tuple[Cell, Measurement]],
) -> None:
    assert value(measured, "real", "chord_iou") > 0.9
    assert value(measured, "cosines 160, continuous", "chord_iou") > 0.9
    assert value(measured, "noise", "chord_iou") < 0.6
    assert value(measured, "noise", "fad_stat") > value(measured, "real", "fad_stat")
    rows = measured["cosines 24, continuous"][1].items
    assert {"si_snr", "log_msd", "chord_iou", "fad_stat"} <= set(rows[0])


def test_times_and_facts_are_in_the_record_and_no_metric(measured: dict[str, tuple[Cell, Measurement]]) -> None:
    _, made = measured["cosines 24, continuous"]
    assert made.timing["real_time_factor"] == pytest.approx(
        made.timing["encoding_seconds_per_clip"] + made.timing["decoding_seconds_per_clip"], abs=2e-5
    )
    assert not any("seconds" in name or "real_time" in name for name in made.metrics)
    assert "real_time_factor" not in measured["real"][1].timing
    assert "pip install" in made.environment["scoring"]["visqol"]
    assert len(made.artefacts) == 1


def test_resampling_keeps_length_and_tone() -> None:
    t = np.arange(8000) / 8000
    up_N = resampled(np.sin(2 * np.pi * 440 * t), 8000, RATE, 16_050)
    assert up_N.shape == (16_050,)
    wanted_N = np.sin(2 * np.pi * 440 * np.arange(16_000) / RATE)
    assert np.abs(up_N[500:15_500] - wanted_N[500:15_500]).max() < 0.01


def test_the_chapter_shows_views_shares_and_the_paper_apart(
    measured: dict[str, tuple[Cell, Measurement]], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    for cell, made in measured.values():
        record = Record(
            cell.id, "s", cell.axis, cell.system, cell.kind, 0, "ok", cell.config, "2026-01-01T00:00:00",
            metrics=made.metrics, timing=made.timing, environment=made.environment, command="bench run reconstruction",
        )  # fmt: skip
        save_record(results / "s", record, made.items)
    told = write_report(results, ["s"], tmp_path / "REPORT.md")
    text = (results / "s" / "README.md").read_text()
    assert "| cosines 24, quantised | 50 | 24 codes of 64 | 7200 |" in (tmp_path / "REPORT.md").read_text()
    systems = [line.split(" | ")[0].strip("| *") for line in text.splitlines() if line.startswith("|")]
    first = systems.index("real")
    assert systems[first + 1].startswith("cosines")
    assert systems[first + 5 : first + 7] == ["noise", "silence"]
    assert "| cosines 24, quantised | 50 | 24 codes of 64 | 7200 |" in text
    assert "ViSQOL: the package visqol-python is not installed" in text
    assert "- cosines 24, quantised against cosines 24, continuous: " in text
    assert ", 100%" in text  # of the chords of the clips themselves
    assert "| *EnCodec* | *Tal et al. 2025, appendix B* | *50* | *8.213* | *4.005* | *0.351* |" in text
    assert "cosines 160, continuous" in told


@pytest.mark.parametrize(
    ("key", "section", "other"),
    [
        ("evaluation.prompts", "evaluation", {"prompts": 4}),
        ("evaluation.sample_rate", "evaluation", {"sample_rate": 8000}),
        ("evaluation.evaluator.identity", "evaluation", {"evaluator": {"name": "stat", "identity": "2"}}),
        ("evaluation.heard_by.chords", "evaluation", {"heard_by": {"chords": "another"}}),
        ("data.corpus.fingerprint", "data", {"corpus": {"name": "toy", "fingerprint": "g"}}),
    ],
)
def test_records_of_other_settings_are_left_out_and_counted(
    key: str, section: str, other: dict[str, Any], measured: dict[str, tuple[Cell, Measurement]], tmp_path: Path
) -> None:
    for number, system in enumerate(["cosines 24, continuous", "real"]):  # the newest decides
        cell, made = measured[system]
        changes = {section: {**cell.config[section], **(other if number == 0 else {})}}
        if section == "evaluation":
            extractors = changes["evaluation"]["heard_by"]
            changes["evaluation"]["heard_by"] = {**cell.config["evaluation"]["heard_by"], **extractors}
        record = Record(
            config_hash({**cell.config, **changes}), "s", cell.axis, cell.system, cell.kind, 0, "ok",
            {**cell.config, **changes}, f"2026-01-01T00:00:0{number}", metrics=made.metrics, timing=made.timing,
            environment=made.environment,
        )  # fmt: skip
        save_record(tmp_path / "s", record, made.items)
    write_report(tmp_path, [], tmp_path / "REPORT.md")
    text = (tmp_path / "s" / "README.md").read_text()
    assert "| cosines 24, continuous |" not in text
    assert f"1 that differs in {key}" in text


def test_a_study_without_a_row_of_this_axis_is_refused() -> None:
    with pytest.raises(UserError, match="has none of real, noise, silence"):
        expand(load_study("reconstruction", ["evaluation.references=[shuffled_captions]"]))
