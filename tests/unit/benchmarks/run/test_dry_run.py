"""Dry runs: nothing is trained, what would be trained first is a row, and times are known without own records."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.analysis.records import all_records
from paradigm_bench.benchmarks.axes.latency import estimate as latency
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators.builtin import training
from paradigm_bench.benchmarks.run.estimate import timings
from paradigm_bench.benchmarks.run.estimate.dry_run import elapsed
from paradigm_bench.benchmarks.study.axis import AXES
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.sweep import expand
from paradigm_bench.common.config import from_dict, to_dict
from paradigm_bench.common.device_rates import Rates
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.needs import Need, may_train, only_listed
from paradigm_bench.corpora import load_corpus

SMALL = ["corpus.clips=64", "corpus.seconds=1.0", "train.seconds=1.0", "evaluation.prompts=4"]
SMALL += ["evaluation.judges=[musicnn, logmel]"]  # those that need no installation


@pytest.fixture
def my_audio(tmp_path: Path) -> Path:
    """A folder corpus with captions and an attribute, for which no evaluator exists."""
    folder = tmp_path / "my_audio"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = [["path", "caption", "split", "mood"]]
    for i in range(24):
        split = ("train", "valid", "test")[i % 3]
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
        rows.append([f"{i}.wav", f"a {('calm', 'wild')[i % 2]} tune", split, ("calm", "wild")[i % 2]])
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(autouse=True)
def _nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, a folder of one's own, and training that fails the test."""
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a dry run trained something")

    monkeypatch.setattr(training, "train_evaluator", refuse)
    monkeypatch.setattr("paradigm_bench.representations.codecs.recipes.train_codec", refuse)


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return list(json.loads(capsys.readouterr().out))


def options(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("quickstart --corpus my_audio", ["an evaluator for my_audio and its reconstructions by codec_builtin"]),
        ("control --corpus my_audio", ["an evaluator for my_audio and its reconstructions by codec_builtin"]),
        ("reconstruction --corpus my_audio", ["an evaluator for my_audio"]),
        (
            "quickstart --set evaluation.evaluator=builtin:7",
            ["an evaluator with its own settings (seed 7) for builtin and its reconstructions by codec_builtin"],
        ),
        (
            "quickstart --set representation=codec_trained:50@30",
            ["codec codec_trained:50@30"],
        ),
        (
            "quickstart --set representation=codec_trained:50@30 --corpus my_audio",
            [
                "codec codec_trained:50@30",
                "an evaluator for my_audio and its reconstructions by codec_trained:50@30",
            ],
        ),
    ],
)
@pytest.mark.usefixtures("my_audio")
def test_what_must_be_trained_first_is_a_row_and_ids_that_depend_on_it_are_open(
    line: str, needs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *line.split(), *options(SMALL[2:] if "my_audio" in line else SMALL), "--dry-run", "--json"]
    assert status(command) == 0
    rows = rows_of(capsys)
    first = [row for row in rows if row["state"] == "to train"]
    assert [row["system"] for row in first] == needs
    assert all(row["time"] != "?" for row in first)
    assert {row["cell"] for row in rows} == {"-"}
    assert not Path("my_results").exists()
    assert not Path("runs").exists()


def test_a_frame_rate_study_lists_its_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["corpus.clips=64", "frame_rate.frames=[]", "evaluation.prompts=4", "evaluation.judges=[logmel]"]
    assert status(["run", "frame_rate", "-p", "fm", *options(small), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert all(f"codec codec_trained:{rate}@400" in printed for rate in ("12.5", "25", "50", "100"))
    assert "To do: 4 things to train first and " in printed


@pytest.mark.usefixtures("my_audio")
def test_submitting_and_planning_train_nothing_either(capsys: pytest.CaptureFixture[str]) -> None:
    dry = ["submit", "quickstart", "--corpus", "my_audio", *options(SMALL[2:]), "--dry-run"]
    assert status(dry) == 0
    assert "before submitting: an evaluator for my_audio" in capsys.readouterr().out
    assert status(["plan", "frame_rate", "-p", "fm", "--device", "a100"]) == 0


def test_a_real_run_says_what_it_trains_why_and_how_long(
    my_audio: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train_evaluator", lambda *args: None)
    training.builtin_evaluator(load_corpus(str(my_audio)), None)
    said = capsys.readouterr().err
    assert said.startswith("training an evaluator for my_audio first, about ")
    assert " min on one core: it learns what clips of my_audio sound like" in said
    assert said.count("\n") == 1


def test_a_corpus_from_which_no_evaluator_can_learn_is_named_by_the_dry_run_too(
    my_audio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = my_audio / "manifest.csv"
    lines = manifest.read_text().splitlines()
    kept = [line.split(",") for line in lines[1:]]
    manifest.write_text("path,caption,split\n" + "".join(f"{row[0]},w{i},{row[2]}\n" for i, row in enumerate(kept)))
    assert status(["run", "quickstart", "--corpus", "my_audio", *options(SMALL[2:]), "--dry-run"]) == 2
    assert "an evaluator cannot be trained on it" in capsys.readouterr().err


def test_needs_are_listed_once_and_only_inside() -> None:
    need = Need("a thing", "it is missing", 30.0)
    with only_listed() as needs:
        assert not may_train(need)
        assert not may_train(dataclasses.replace(need))
    assert needs == [need]
    assert may_train(need)


def test_workers_share_the_groups() -> None:
    assert elapsed([30.0, 20.0, 10.0], 2) == pytest.approx(30.0)
    assert elapsed([30.0, 20.0, 10.0], 1) == pytest.approx(60.0)


@pytest.mark.parametrize("name", ["quickstart", "control", "inpainting", "reconstruction"])
def test_every_cell_has_a_time_in_a_fresh_results_folder(name: str, tmp_path: Path) -> None:
    study = load_study(name, SMALL)
    cells = expand(study)
    found, basis = AXES.load(study.axis)().estimate(cells, tmp_path / "none")
    assert all(found[cell.id].seconds for cell in cells)
    assert timings.published().machine in basis


def test_times_of_training_and_sampling_grow_with_the_work() -> None:
    (small,) = [
        c for c in expand(load_study("quickstart", [*SMALL, "train.snapshots=[]"], ["fm"])) if c.kind != "reference"
    ]
    usual = timings.published()
    wide = {
        **small.config,
        "model": {**small.config["model"], "backbone": {**small.config["model"]["backbone"], "n_layers": 8}},
    }
    slow = {**small.config, "sampler": {**small.config["sampler"], "steps": 160}}
    training_s = [usual.training_seconds(config) for config in (small.config, wide)]
    sampling_s = [usual.measuring_seconds("fidelity", config) for config in (small.config, slow)]
    assert None not in (*training_s, *sampling_s)
    assert 1.5 < training_s[1] / training_s[0] < 2.5  # type: ignore[operator]
    assert 4 < sampling_s[1] / sampling_s[0] < 11  # type: ignore[operator]
    other = {**small.config, "data": {**small.config["data"], "representation": {"name": "encodec:x"}}}
    assert usual.training_seconds(other) is None


def test_the_file_of_timings_can_be_made_again_from_records() -> None:
    records = all_records(Path(__file__).parents[4] / "results")
    made = timings.timings_of(records)
    assert from_dict(timings.Timings, to_dict(made), "timings") == made
    for held, again in ((timings.published().training, made.training), (timings.published().sampling, made.sampling)):
        assert held.keys() <= again.keys()


@pytest.mark.parametrize("own", [False, True])
def test_latency_is_planned_for_as_long_as_published_runs_took(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each published cell by the rates of its own record: within a factor, and right on the whole."""
    results = Path(__file__).parents[4] / "results"
    records = [r for r in all_records(results) if r.axis == "latency" and r.status == "ok"]
    assert len(records) > 20
    monkeypatch.setattr(latency, "all_records", lambda folder: records if folder == results else [])
    ratios, planned, taken = [], 0.0, 0.0
    for record in records:
        held = record.environment["speed"]["rates"]
        rates = Rates(held["copy_bytes_per_s"], held["flops_per_s"], held["working_set_bytes"])
        monkeypatch.setattr(latency, "measure_rates", lambda *args, rates=rates: rates)
        cell = Cell("latency", record.system, record.kind, record.seed, None, "g", record.cell)
        seconds = latency.estimate([cell], results if own else tmp_path)[0][cell.id].seconds
        took = sum(record.timing.values()) + latency.STARTING
        assert seconds is not None
        ratios.append(seconds / took)
        planned, taken = planned + seconds, taken + took
    assert all(0.5 < ratio < 2.5 for ratio in ratios)
    assert 0.8 < planned / taken < 1.3


def test_a_stand_in_judges_nothing() -> None:
    with pytest.raises(UserError, match="not trained yet"):
        training.UntrainedEvaluator("x").evaluate([], 16_000)
