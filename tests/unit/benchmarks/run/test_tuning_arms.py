"""The search for settings of arms, end to end at the smallest size: an untrained codec, two arms, two updates."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from fidelity_toys import _own_cache, home, settings

from paradigm_bench.benchmarks.analysis.records import latest, load_records
from paradigm_bench.benchmarks.axes.fidelity.axis import Fidelity
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.run import runner, worker
from paradigm_bench.benchmarks.run.tuning.search import Search
from paradigm_bench.benchmarks.run.worker import Job
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.chosen import read_chosen, write_chosen
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.common.config import to_dict
from paradigm_bench.common.files import write_json
from paradigm_bench.common.strict_yaml import parse_yaml
from paradigm_bench.corpora.clip import Clip, Corpus

__all__ = ["_own_cache", "home"]  # fixtures

OWN = "{ar: {sampler.top_k: [5, 10]}, fm: {options.time_weight: [false, true]}}"
ALL = "{train.lr: [1e-3, 1e-2], train.optimiser: [adamw, muon], sampler.guidance: [1.0, 2.0]}"
SEARCH = (
    "tuning.score=kad_logmel", "tuning.share=0.5", "tuning.prompts=4", "tuning.trainings=2", "tuning.samplings=2",
    f"tuning.all={ALL}", f"tuning.own={OWN}", "train.updates=4",
)  # fmt: skip


def given(home: Path, *extra: str) -> list[str]:
    return [*settings(home), *SEARCH, *extra]


def command(home: Path, *extra: str, arms: tuple[str, ...] = ("ar", "fm"), do: str = "tune-arms") -> list[str]:
    options = [part for setting in given(home, *extra) for part in ("--set", setting)]
    return [do, "smoke", *(part for arm in arms for part in ("-p", arm)), *options]


@pytest.fixture(name="here")
def _run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in this process, which saves loading torch for each of them."""
    monkeypatch.setattr(worker, "when_orphaned", lambda parent, act: None)
    monkeypatch.setattr(worker.signal, "signal", lambda number, act: None)

    def run(cells: Sequence[Cell], axis: str, context: Context, **options: Any) -> None:
        for own in map(tuple, runner.plan(cells, context.results).groups):
            path = context.work / "jobs" / f"{own[0].id}.json"
            here = str(context.results)
            write_json(path, to_dict(Job(axis, "smoke", here, here, "bench", str(path.with_suffix(".s")), 0, own)))
            assert worker.main(str(path)) == 0

    monkeypatch.setattr(runner, "run", run)


def folders(home: Path, name: str) -> list[str]:
    return ["--results", str(home / name), "--work", str(home / f"{name}-runs")]


def test_arms_are_tuned_alike_and_the_study_takes_what_was_chosen(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = [*command(home), *folders(home, "tuned")]
    assert status(tune) == 0
    printed = capsys.readouterr()
    assert "kad_logmel" in printed.err  # the line of a trial has its score
    here, held = home / "tuned" / "smoke", load_records(home / "tuned-runs" / "smoke" / "tuning")[0]
    trials = list(csv.DictReader((here / "tuning.csv").open()))
    for arm in ("ar", "fm"):
        own = [trial for trial in trials if trial["arm"] == arm]
        assert [len(own), len({trial["training"] for trial in own})] == [4, 2]  # equal trials and equal trainings
        scores = [float(trial["kad_logmel"]) for trial in own]
        assert scores == sorted(scores)
        assert {trial["updates"] for trial in own} == {"2"}  # half of the study's four
    weights = {path.parent.name for path in (home / "tuned-runs" / "smoke" / "tuning").glob("*/result.json")}
    assert len(weights) == 4  # a model serves all samplings of it
    assert {(r.config.evaluation.split, r.config.evaluation.reference_split) for r in held} == {("valid", "train")}
    assert {r.config.train.seed for r in held if r.config.train} == {1000}

    written = yaml.safe_load((here / "tuned.yaml").read_text())
    chosen = written["arms"]["fm"]["settings"]
    best = next(trial for trial in trials if trial["arm"] == "fm")
    assert written["arms"]["fm"]["cells"] == best["cells"].split()
    assert written["arms"]["fm"]["score"] == pytest.approx(float(best["kad_logmel"]), rel=1e-5)
    page = (here / "tuning.md").read_text()
    assert all(part in page for part in ("`train.lr`: 0.001, 0.01", "top_k", "Real audio of the same prompts scores"))

    assert status(tune) == 0  # everything has ended: nothing is measured again
    assert "0 cells to measure; 8 cells measured already" in capsys.readouterr().err
    assert len(load_records(home / "tuned-runs" / "smoke" / "tuning")[0]) == len(held)

    file = f"tuned={here / 'tuned.yaml'}"
    assert (
        status(
            [
                *command(home, file, "evaluation.references=[real]", "evaluation.snapshots=false", do="run"),
                *folders(home, "tuned"),
            ]
        )
        == 0
    )
    records = [r for r in load_records(here)[0] if r.kind == "paradigm" and r.ended]
    for record in records:
        wanted = written["arms"][record.system]["settings"]
        assert record.config.train is not None
        assert record.config.train.lr == wanted["train.lr"]
        assert record.config.train.optimiser == wanted["train.optimiser"]
        assert record.config.sampler["guidance"] == wanted["sampler.guidance"]
        assert record.config.evaluation.split == "test"
    assert (
        next(r for r in records if r.system == "fm").config.model.options["time_weight"]
        == chosen["options.time_weight"]
    )  # type: ignore[union-attr]
    text = (here / "README.md").read_text()
    assert "## Tuning of the arms" in text
    assert "[tuning.md](tuning.md)" in text
    assert all(f"\n| {arm}" in text for arm in ("ar", "fm"))  # arms with settings of their own share the table
    assert "not shown" not in text


def test_no_clip_of_the_test_split_is_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every read of a clip and of a split is watched while trials are made, trained, sampled and scored."""
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))  # so that nothing comes from a cache
    heard: list[str] = []
    audio, clips = Clip.audio, Corpus.clips
    monkeypatch.setattr(Clip, "audio", lambda clip, rate: heard.append(clip.split) or audio(clip, rate))
    monkeypatch.setattr(Corpus, "clips", lambda corpus, split: heard.append(split) or clips(corpus, split))
    search = Search.of(load_study("smoke", given(home), ("fm",)), tmp_path)
    axis, context = Fidelity(), Context("smoke", tmp_path / "results", tmp_path / "work")
    group = [cell for cell in search.cells if cell.group == search.cells[0].group]
    for cells in (search.real, group):
        axis.prepare(cells, context)
        opened = axis.open(cells, context)
        assert [opened.measure(cell).status for cell in cells] == ["ok"] * len(cells)
    assert {"train", "valid"} == set(heard)


@pytest.mark.usefixtures("here")
def test_a_trial_that_diverges_is_a_result_and_an_interrupted_search_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate of 1e30 diverges in its second update; a record that is lost is measured again."""
    wild = "tuning.all={train.lr: [1e-3, 1e30], train.optimiser: [adamw, muon], sampler.guidance: [1.0, 2.0]}"
    tune = [*command(home, wild, "train.warmup=0", arms=("fm",)), *folders(home, "wild")]
    assert status(tune) == 0
    capsys.readouterr()
    trials = list(csv.DictReader((home / "wild" / "smoke" / "tuning.csv").open()))
    assert [bool(trial["reason"]) for trial in trials] == [False, False, True, True]
    assert "lr 0.001" in trials[0]["settings"]
    assert "loss" in trials[-1]["reason"]
    assert yaml.safe_load((home / "wild" / "smoke" / "tuned.yaml").read_text())["arms"]["fm"]["failed"] == 2

    folder = home / "wild-runs" / "smoke" / "tuning"
    kept = latest(load_records(folder)[0])
    for path in (folder / "records").glob(f"{trials[0]['cells']}-*"):
        path.unlink()
    assert status(tune) == 0
    assert "1 cell to measure; 3 cells measured already" in capsys.readouterr().err
    again = latest(load_records(folder)[0])
    assert {key for key in kept if kept[key].created != again[key].created} == {trials[0]["cells"]}
    score = again[trials[0]["cells"]].metrics["kad_logmel"].value
    assert score == pytest.approx(kept[trials[0]["cells"]].metrics["kad_logmel"].value)


@pytest.mark.usefixtures("here")
def test_an_arm_without_any_score_is_named_and_the_others_are_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "tuning.own={ar: {sampler.top_k: [5, 10]}, fm: {options.sigma: [1e30, 1e31]}}"  # the loss overflows
    assert status([*command(home, wrong), *folders(home, "some")]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("bench: no trial of fm has a score")
    assert list(yaml.safe_load((home / "some" / "smoke" / "tuned.yaml").read_text())["arms"]) == ["ar"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("tuning.own={ar: {sampler.top_k: [5]}}", "arm 'fm': it has no setting of its own"),
        ("tuning.own={ar: {sampler.topk: [5]}, fm: {options.time_weight: [true]}}", "did you mean 'top_k'"),
        (
            "tuning.own={ar: {sampler.top_k: [5]}, fn: {options.time_weight: [true]}}",
            "no arm 'fn' (did you mean 'fm'?)",
        ),
        ("tuning.all={train.batch: [1, 2]}", "train.batch is common to all arms"),
        ("tuning.all={train.lr: []}", "train.lr has no values"),
        ("tuning.all={}", "tuning.trainings is 2, but"),
        ("tuning.all={train.lr: [1e-3, 1e-3], sampler.guidance: [1, 2]}", "lists a value twice"),
        (
            "tuning.all={train.lr: [fast, slow], sampler.guidance: [1.0, 2.0]}",
            "ar lr slow guidance 2.0 top_k 10: train.lr: expected float, got 'slow'",
        ),
        ("tuning.trainings=9", "tuning.trainings is 9"),
        ("tuning.trainings=0", "tuning.trainings is 0 but must be 1 or more"),
        ("tuning.seeds=[0]", "tuning.seeds has 0, which is a seed of the study"),
        ("tuning.share=0", "tuning.share is 0"),
        ("tuning.score=kda_logmel", "did you mean 'kad'"),
        ("tuning.score=kad_logmle", "no evaluator 'logmle' (did you mean 'logmel'?)"),
        ("tuning.score=peak", "no metric with a better end"),
        ("tuning.score=kl_logmel", "no evaluator gives 'kl_logmel'"),
        ("axis=samplesize", "arms are tuned on axis fidelity"),
        ("tuning.sahre=1", "did you mean 'share'"),
    ],
)
def test_bad_input_is_one_line(home: Path, capsys: pytest.CaptureFixture[str], extra: str, told: str) -> None:
    assert status([*command(home, extra), *folders(home, "bad")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert told in lines[-1]
    assert lines[-1].startswith("bench: error: ")
    assert not list((home / "bad-runs").glob("smoke/tuning/*/log.jsonl"))  # before anything is trained


def test_a_corpus_without_validation_clips_is_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Corpus.clips
    monkeypatch.setattr(Corpus, "clips", lambda corpus, split: [] if split == "valid" else load(corpus, split))
    assert status([*command(home), *folders(home, "no-valid")]) == 2
    assert "0 valid clips" in capsys.readouterr().err


def test_a_settings_file_reaches_the_arms_of_a_study_and_of_those_that_extend_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    effort = {"score": "kad_musicnn", "trainings": 2, "samplings": 1}
    arms = {"fm": {"settings": {"train.lr": 0.004, "sampler.guidance": 3.5}, "score": 1.0}}
    (tmp_path / "tuned.yaml").write_text(json.dumps({"effort": effort, "arms": arms}))
    base = "{axis: fidelity, title: x, tuned: tuned.yaml, arms: [ar, {paradigm: fm, sampler: {steps: 4}}]}"
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "more.yaml").write_text(
        "{extends: base.yaml, title: y, arms: [fm, {arm: fm, label: fm-1, sampler: {guidance: 1.0}}]}"
    )
    ar, fm = load_study(str(tmp_path / "base.yaml")).arms
    assert (ar.train, ar.chosen_by) == ({}, {})
    assert (fm.train, fm.sampler) == ({"lr": 0.004}, {"steps": 4, "guidance": 3.5})
    assert fm.chosen_by["effort"] == effort
    same, other = load_study(str(tmp_path / "more.yaml")).arms
    assert same == fm
    assert (other.train, other.sampler["guidance"]) == ({"lr": 0.004}, 1.0)  # a study's own change comes last

    ids = ["9e97cd224107", "123456e78901"]  # the second is a number in YAML unless it is quoted
    write_chosen(tmp_path / "again.yaml", "bench", "tuning.md", effort, {"fm": {**arms["fm"], "cells": ids}})
    write_chosen(tmp_path / "again.yaml", "bench", "tuning.md", effort, {"a-b": arms["fm"]})
    assert read_chosen(tmp_path / "again.yaml")["arms"] == {"fm": {**arms["fm"], "cells": ids}, "a-b": arms["fm"]}
    assert parse_yaml("id: 9e97cd224107", "it") == {"id": "9e97cd224107"}

    wrong = tmp_path / "wrong.yaml"
    for text, told in (
        (base.replace("steps: 4", "guidance: 2"), "sets sampler.guidance of arm 'fm' to 3.5, and the study to 2"),
        (base.replace("tuned.yaml", "gone.yaml"), "no file 'gone.yaml'"),
        (base.replace("tuned: tuned.yaml", "tuned: wrong.yaml"), "no file of tuned settings"),
        (base.replace("steps: 4}", "steps: 4}, train: {updates: 9}"), "train.updates is common to all arms"),
    ):
        wrong.write_text(text)
        assert status(["run", str(wrong), *folders(home, "wrong"), "--set", f"representation={home / 'codec'}"]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(Exception, match=r"train\.lr does not reach arm 'fm', which has 0\.004 of its own"):
        load_study(str(tmp_path / "base.yaml"), ["train.lr=1e-3"])
