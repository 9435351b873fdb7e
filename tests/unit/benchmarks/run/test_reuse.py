"""Studies that share cells share records (on the fake axis; test_runner_fidelity.py has two real studies)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis.packing import pack
from paradigm_bench.benchmarks.analysis.packs import PACK
from paradigm_bench.benchmarks.analysis.records import Record, load_records, read_items, save_record
from paradigm_bench.benchmarks.run.reuse import found_elsewhere, take_over
from paradigm_bench.benchmarks.run.runner import plan, run
from paradigm_bench.benchmarks.study.axis import AXES, Context
from paradigm_bench.benchmarks.study.study import ArmChoice, Study

ROOT = Path(__file__).parents[4]
AXIS = "fake_axis:FakeAxis"


@pytest.fixture(autouse=True)
def _workers_find_the_fake_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))


def cells_of(**arms: str) -> list:
    chosen = tuple(ArmChoice(label, options={"does": does}) for label, does in arms.items())
    return AXES.load(AXIS)().expand(Study("any", "T", AXIS, chosen))


def measured(folder: Path, name: str, **arms: str) -> list[Record]:
    results = folder / "results" / name
    take_over(cells_of(**arms), AXIS, results)
    return run(cells_of(**arms), AXIS, Context(name, results, folder / "runs"), command=f"bench run {name}")


def test_a_second_study_measures_only_what_is_new(tmp_path: Path) -> None:
    first = {record.system: record for record in measured(tmp_path, "first", old="work", no="unsupported", bad="raise")}
    assert first["bad"].status == "failed"
    second = {r.system: r for r in measured(tmp_path, "second", same="work", no="unsupported", bad="raise", new="x")}
    same = second["same"]
    assert same.origin == f"first/records/{first['old'].stem}.json"
    assert (same.study, same.id, same.metrics, same.timing) == (
        "second", first["old"].id, first["old"].metrics, first["old"].timing,
    )  # fmt: skip
    items = [tmp_path / "results" / name / f"records/{same.id}-1.items.csv" for name in ("first", "second")]
    assert items[0].read_bytes() == items[1].read_bytes()
    assert [second[name].origin != "" for name in ("no", "bad", "new")] == [True, False, False]
    assert not plan(cells_of(same="work", new="x"), tmp_path / "results" / "second").pending
    assert not take_over(cells_of(same="work", new="x"), AXIS, tmp_path / "results" / "second")
    assert len(load_records(tmp_path / "results" / "second")[0]) == 4


def test_a_third_study_names_who_measured_and_points_to_the_same_audio(tmp_path: Path) -> None:
    (first,) = measured(tmp_path, "first", a="work")
    results = tmp_path / "results"
    heard = save_record(results / "first", Record(**{**vars(first), "artefacts": {"audio/p": "audio/a.flac"}}))
    for name in ("second", "third"):
        measured(tmp_path, name, a="work")
        shutil.rmtree(results / "first" / "records", ignore_errors=True)  # the third has only the second's copy
    (third,) = load_records(results / "third")[0]
    assert third.origin == f"first/records/{heard.stem}.json"
    assert third.artefacts == {"audio/p": "../first/audio/a.flac"}


def test_packed_records_are_taken_over_and_stay_packed(tmp_path: Path) -> None:
    first = {r.system: r for r in measured(tmp_path, "first", old="work", bad="raise")}
    pack(tmp_path / "results" / "first")
    held = (tmp_path / "results" / "first" / PACK).read_bytes()
    second = {r.system: r for r in measured(tmp_path, "second", same="work", new="x")}
    assert second["same"].origin == f"first/records/{first['old'].stem}.json"
    copies = [
        read_items(tmp_path / "results" / name, r) for name, r in (("first", first["old"]), ("second", second["same"]))
    ]
    assert copies[0] == copies[1] != []
    again = {r.system: r for r in measured(tmp_path, "first", old="work", bad="raise")}
    assert (again["old"], again["bad"].attempt) == (first["old"], 2)  # only what failed is measured again
    assert (tmp_path / "results" / "first" / PACK).read_bytes() == held


def test_records_without_their_scores_and_spoilt_ones_are_not_taken(tmp_path: Path) -> None:
    one, two = measured(tmp_path, "first", a="work", b="x")
    records = tmp_path / "results" / "first" / "records"
    (records / f"{one.stem}.items.csv").unlink()
    (records / f"{two.stem}.json").write_text('{"cut')
    assert not take_over(cells_of(a="work", b="x"), AXIS, tmp_path / "results" / "second")
    assert len(plan(cells_of(a="work", b="x"), tmp_path / "results" / "second").pending) == 2


def test_times_are_never_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(tmp_path, "first", a="work")
    assert found_elsewhere(cells_of(a="work"), AXIS, tmp_path / "results" / "second")
    monkeypatch.setattr(AXES.load(AXIS), "exclusive", True)
    assert not found_elsewhere(cells_of(a="work"), AXIS, tmp_path / "results" / "second")
