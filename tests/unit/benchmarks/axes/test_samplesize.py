"""Sample size: bias and spread of a small made-up corpus, the n that is enough, and the chapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_evaluator import Statistician

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.axes.samplesize import cells as samplesize_cells
from paradigm_bench.benchmarks.axes.samplesize import measure as samplesize_measure
from paradigm_bench.benchmarks.axes.samplesize.axis import SampleSize
from paradigm_bench.benchmarks.axes.samplesize.report.chapter import make_curves, recommended
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.report import write_report
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.sweep import expand
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, Corpus


class Tone:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def audio(self, sample_rate: int) -> np.ndarray:
        return np.random.default_rng(self.seed).normal(0, 0.1, sample_rate // 4).astype(np.float32)

    def annotation(self) -> None:
        return None


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [Clip(f"c{i}", "train", "a tune", 0.25, {"key": "C"}, Tone(i)) for i in range(160)]
    toys = Corpus("toy", "f", {"train": clips}), [Statistician()]
    for module in (samplesize_cells, samplesize_measure):
        monkeypatch.setattr(module, "open_sources", lambda how: toys)
    monkeypatch.setattr(samplesize_measure, "as_loud_noise", lambda audio_BN, seed: audio_BN + 0.2)
    monkeypatch.setattr(samplesize_cells, "REPEATS", 6)


def test_plain_distance_is_biased_by_small_n_and_the_unbiased_ones_are_not(tmp_path: Path) -> None:
    study = load_study("samplesize", ["train.seconds=0.25", "sweep={evaluation.prompts: [16, 64]}"])
    cells = expand(study)
    assert [(cell.system, cell.config["evaluation"]["n"]) for cell in cells] == [
        ("real", 16), ("noise", 16), ("real", 64), ("noise", 64)
    ]  # fmt: skip
    group = SampleSize().open(cells, Context("s", tmp_path, tmp_path))
    found = {(c.system, c.config["evaluation"]["n"]): group.measure(c).metrics for c in cells}
    few, many = found["real", 16]["fad_stat"], found["real", 64]["fad_stat"]
    assert few.value is not None
    assert many.value is not None
    assert few.value > 2 * many.value
    assert abs(found["real", 16]["kad_stat"].value or 0.0) < 4  # KAD, in hundredths: no bias at any n
    assert (found["noise", 64]["fad_stat"].value or 0.0) > 20 * many.value
    assert few.n == 16
    assert few.low is not None
    assert few.low < few.value < (few.high or 0.0)


def test_judges_are_measured_by_their_two_distances_on_the_same_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip(f"c{i}", "train", "a tune", 0.25, {"key": "C"}, Tone(i)) for i in range(160)]
    toys = Corpus("toy", "f", {"train": clips}), [Statistician(), Stern()]
    for module in (samplesize_cells, samplesize_measure):
        monkeypatch.setattr(module, "open_sources", lambda how: toys)
    cells = expand(load_study("samplesize", ["train.seconds=0.25", "sweep={evaluation.prompts: [16, 64]}"]))
    assert cells[0].config["evaluation"]["judges"] == [{"name": "stern", "identity": "1"}]
    group = SampleSize().open(cells, Context("s", tmp_path, tmp_path))
    for cell in cells:
        found = group.measure(cell).metrics
        assert {name for name in found if name.endswith("stern")} == {"kad_stern", "fad_stern"}
        for name in ("kad", "fad"):  # the same embeddings as the tagger's, so the same values
            assert found[f"{name}_stern"].value == pytest.approx(found[f"{name}_stat"].value, rel=1e-9, abs=1e-9)
            assert found[f"{name}_stern"].low == pytest.approx(found[f"{name}_stat"].low, rel=1e-9, abs=1e-9)


class Stern(Statistician):
    """The statistician as a judge."""

    name, role = "stern", "judge"


def test_more_clips_than_a_half_holds_are_refused() -> None:
    study = load_study("samplesize", ["train.seconds=0.25", "sweep={evaluation.prompts: [80]}"])
    with pytest.raises(UserError, match=r"evaluation\.prompts is 80 but must be below 80"):
        expand(study)
    with pytest.raises(UserError, match="has none of real, noise"):
        expand(load_study("samplesize", ["train.seconds=0.25", "evaluation.references=[silence]", "sweep={}"]))


def save(folder: Path, system: str, n: int, **figures: tuple[float, float]) -> None:
    cell = {
        "axis": "samplesize", "version": 1, "corpus": {"name": "toy", "fingerprint": "f"}, "reference": system,
        "evaluation": {
            "n": n, "repeats": 6, "seconds": 4.0, "sample_rate": 16000, "evaluator": {"name": "b", "identity": "e"}
        },
    }  # fmt: skip
    metrics = {
        f"{name}_b": metric(v, low=v - half, high=v + half, n=n, better="lower") for name, (v, half) in figures.items()
    }
    record = Record(
        config_hash(cell), "s", "samplesize", system, "reference", 0, "ok", cell, "2026-01-01T00:00:00", metrics=metrics
    )
    save_record(folder, record)


def records_of(folder: Path) -> list[Record]:
    from paradigm_bench.benchmarks.analysis.records import load_records

    return load_records(folder)[0]


def test_enough_is_where_bias_and_luck_are_small_from_there_on(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    figures = {16: ((40.0, 3.0), (0.0, 9.0)), 64: ((14.0, 1.0), (0.0, 4.0)), 256: ((10.0, 0.5), (0.0, 2.0))}
    for n, (fad, kad) in figures.items():
        save(folder, "real", n, fad=fad, kad=kad, mad=(0.1, 0.1))
        save(folder, "noise", n, fad=(110.0, 1.0), kad=(100.0, 1.0), mad=(0.1, 0.1))
    curves = {curve.name: curve for curve in make_curves(records_of(folder))}
    assert {name: curve.enough for name, curve in curves.items()} == {"fad_b": 64, "kad_b": 64, "mad_b": None}
    assert recommended(list(curves.values())) == (64, ["mad_b"])
    out = tmp_path / "REPORT.md"
    told = write_report(tmp_path / "results", [], out)
    assert "64 clips of each set, the first n that is enough for every main metric; more for mad_b" in told
    for text in (out.read_text(), (folder / "README.md").read_text()):
        assert "**64 clips**" in text
        assert "| fad_b ↓ | 40.0 [37.0, 43.0] | 14.0 [13.0, 15.0] | 10.0 [9.5, 10.5] | 110.0" in text
    assert (folder / "figures" / "curves.png").stat().st_size < 300_000


def test_without_an_n_that_is_enough_the_report_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    for n in (16, 32):
        save(folder, "real", n, fad=(50.0, 40.0))
        save(folder, "noise", n, fad=(100.0, 1.0))
    assert recommended(make_curves(records_of(folder))) == (None, ["fad_b"])
    assert "no n of this study is enough for all main metrics: not yet fad_b" in write_report(
        tmp_path / "results", [], tmp_path / "REPORT.md"
    )
