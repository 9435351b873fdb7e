"""What may share a table: in every chapter, a record of another setting joins no row, and the page says that it is out.

The reproducer of the audit: a copy of a measured study with one more record that differs from the others in one
setting. Older than they are, it must be left out; newer, it is the table's setting and they are left out.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
from papers_toys import quality

from paradigm_bench.benchmarks.analysis.comparability import PER_ARM, differences, partition, select
from paradigm_bench.benchmarks.analysis.records import Record, load_records, save_record
from paradigm_bench.benchmarks.axes.control.report import chapter as control
from paradigm_bench.benchmarks.axes.fidelity.report import figures as fidelity
from paradigm_bench.benchmarks.axes.fidelity.report.tables import all_settings
from paradigm_bench.benchmarks.axes.frame_rate.report import chapter as frame_rate
from paradigm_bench.benchmarks.axes.inpainting.report import chapter as inpainting
from paradigm_bench.benchmarks.axes.latency.report.sweeps import make_sweeps
from paradigm_bench.benchmarks.axes.samplesize.report import chapter as samplesize
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.papers.record_index import RecordIndex, why_apart
from paradigm_bench.benchmarks.report.chapter import StudyPage, StudyRecords, find_chapter
from paradigm_bench.common.config import config_hash

OLDER, NEWER = "2000-01-01T00:00:00", "2100-01-01T00:00:00"
REPOSITORY = Path(__file__).parents[4]
RESULTS = REPOSITORY / "results"
KEPT = (
    REPOSITORY / "tests" / "golden" / "records"
)  # of studies that the repository has published, one seed and two arms
MARK = 9876.5  # the score of the record that is added; wherever it shows, it must stand alone
STUDIES = {
    "fidelity": "quickstart", "control": "control", "inpainting": "inpainting", "frame_rate": "frame_rate",
    "reconstruction": "reconstruction", "samplesize": "samplesize",
}  # fmt: skip
# setting -> (dotted key, another value); the key as the page names it lacks "model."
CHANGES: dict[str, tuple[str, Any]] = {
    "backbone": ("model.backbone.n_layers", 24),
    "sampler": ("sampler.guidance", 1.0),
    "options": ("model.options.text_layers", 3),
    "budget": ("train.updates", 9000),
    "corpus": ("data.corpus.fingerprint", "another"),
    "representation": ("data.representation.fingerprint", "another"),
    "evaluator": ("evaluation.evaluator.identity", "another"),
    "precision": ("precision", "bf16"),
    "device": ("device", "NVIDIA H100"),
}
OF_REFERENCES = {
    "reconstruction": {
        "corpus": CHANGES["corpus"], "evaluator": CHANGES["evaluator"], "device": CHANGES["device"],
        "representation": ("representation.fingerprint", "another"),
    },
    "samplesize": {
        "corpus": ("corpus.fingerprint", "another"), "evaluator": CHANGES["evaluator"], "device": CHANGES["device"],
        "repeats": ("evaluation.repeats", 99),
    },
}  # fmt: skip
CASES = [(axis, what) for axis in STUDIES for what in OF_REFERENCES.get(axis, CHANGES)]


def changed(record: Record, key: str, value: Any, created: str) -> Record:
    """``record`` with another value at ``key``, and scores that cannot be overlooked."""
    cell = copy.deepcopy(record.cell)
    environment, at, seed = record.environment, record.at_updates, record.seed
    if key == "device":  # the same cell on another device would replace its record, so it is of another seed
        environment, seed = {**environment, "device": value}, 7
        cell["seed"] = seed
    else:
        *path, last = key.split(".")
        place = functools.reduce(lambda tree, name: tree[name], path, cell)
        place[last] = value
    if key == "train.updates":
        cell["at_updates"] = at = value
    metrics = {name: dataclasses.replace(m, value=MARK, low=MARK, high=MARK) for name, m in record.metrics.items()}
    return dataclasses.replace(
        record, id=config_hash(cell), cell=cell, created=created, metrics=metrics, artefacts={}, at_updates=at,
        environment=environment, seed=seed,
    )  # fmt: skip


def one_of(axis: str, records: list[Record]) -> Record:
    """The record that is changed: an arm's where the axis has arms, with all controls where it has scenarios."""
    arms = [r for r in records if r.kind == "paradigm"] or [r for r in records if "representation" in r.cell] or records
    return next(r for r in arms if r.status == "ok" and r.ended and r.cell.get("scenario", "all") == "all")


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (control, fidelity, frame_rate, inpainting, samplesize):
        monkeypatch.setattr(module, "drawn", lambda *_: None)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the published studies without their figures, as pages are written beside them."""
    results = tmp_path_factory.mktemp("results")
    for study in STUDIES.values():
        held = KEPT if (KEPT / study).is_dir() else RESULTS
        shutil.copytree(held / study, results / study, ignore=shutil.ignore_patterns("figures", "*.md"))
    return results


@functools.cache
def page_of(results: Path, axis: str) -> tuple[list[Record], StudyPage]:
    """The records of a published study and its page."""
    records, problems = load_records(results / STUDIES[axis])
    assert not problems
    own = [record for record in records if record.axis == axis]
    return own, describe(results, axis, own)


def describe(results: Path, axis: str, records: list[Record]) -> StudyPage:
    chapter = find_chapter(axis)
    assert chapter is not None
    ordered = sorted(records, key=lambda r: r.created)
    return chapter.describe(StudyRecords(STUDIES[axis], results / STUDIES[axis], ordered))


def text_of(page: StudyPage) -> str:
    return "\n".join([*page.details, *page.notes, *page.left_out_note])


@pytest.mark.parametrize(("axis", "what"), CASES)
def test_an_older_record_of_another_setting_changes_no_row_and_is_counted(copies: Path, axis: str, what: str) -> None:
    records, before = page_of(copies, axis)
    key, value = OF_REFERENCES.get(axis, CHANGES)[what]
    added = changed(one_of(axis, records), key, value, OLDER)
    after = describe(copies, axis, [*records, added])
    assert after.table == before.table
    assert after.row == before.row
    assert [answer.answer for answer in after.answers] == [answer.answer for answer in before.answers]
    name = key.removeprefix("model.")
    assert f"1 that differs in {name}" in text_of(after) or f"They differ in {name} (1)" in text_of(after)


@pytest.mark.parametrize(("axis", "what"), CASES)
def test_a_newer_record_that_failed_decides_no_table(copies: Path, axis: str, what: str) -> None:
    records, before = page_of(copies, axis)
    key, value = OF_REFERENCES.get(axis, CHANGES)[what]
    added = changed(one_of(axis, records), key, value, NEWER)
    after = describe(copies, axis, [*records, dataclasses.replace(added, status="oom", metrics={}, reason="memory")])
    assert after.table.body == before.table.body


@pytest.mark.parametrize(("axis", "what"), CASES)
def test_a_newer_record_of_another_setting_stands_alone_and_the_others_are_counted(
    copies: Path, axis: str, what: str
) -> None:
    records, before = page_of(copies, axis)
    key, value = OF_REFERENCES.get(axis, CHANGES)[what]
    after = describe(copies, axis, [*records, changed(one_of(axis, records), key, value, NEWER)])
    told = text_of(after)
    assert "differ in" in told or "differs in" in told
    assert key.removeprefix("model.") in told.partition("ot")[2]
    if axis == "samplesize":  # a row is a metric; what stands at the other numbers of clips are dashes
        assert all(f"{MARK}" in " ".join(cells) for cells in after.table.body)
        return
    for name, row in rows(after):
        assert (name, row) in rows(before) or only_the_mark(row), (name, row)
    assert any(only_the_mark(row) for _, row in rows(after))


def rows(page: StudyPage) -> list[tuple[str, tuple[str, ...]]]:
    """What the main table states: the row's name, and its scores with their intervals."""
    lines = [[cell for cell in cells[1:] if "[" in cell] for cells in page.table.body]
    return [(cells[0], tuple(line)) for cells, line in zip(page.table.body, lines)]


def only_the_mark(row: tuple[str, ...]) -> bool:
    scores = [cell for cell in row if cell]
    return bool(scores) and all(cell.startswith(f"{MARK} [{MARK}, {MARK}]") for cell in scores)


LATENCY = {  # setting -> whether the record stands in a row or a table of its own, instead of being left out
    ("model.backbone.n_layers", 99): True,
    ("sampler.guidance", 1.5): True,
    ("model.options.text_layers", 3): True,
    ("setting.batch", 99): True,
    ("setting.hardware", "another"): True,
    ("setting.dtype", "bf16"): True,
    ("model.backbone.d_ff", 99): False,
    ("latent.dim", 99): False,
    ("protocol.warm_ups", 99): False,
    ("version", 99): False,
}


@pytest.mark.parametrize("created", [OLDER, NEWER])
@pytest.mark.parametrize(("key", "value"), LATENCY)
def test_latency_of_another_setting_has_a_row_of_its_own_or_is_left_out(key: str, value: Any, created: str) -> None:
    records, _ = load_records(RESULTS / "latency_layers")
    added = changed(next(r for r in records if r.status == "ok"), key, value, created)
    before, after = (latencies(found) for found in (records, [*records, added]))
    if LATENCY[key, value]:
        assert before.items() < after.items()
        assert [one for place, one in after.items() if place not in before] == [MARK]
        return
    told = [sweep.left_out for sweep in make_sweeps(StudyRecords("s", RESULTS, [*records, added]))]
    assert told == [{key.removeprefix("model."): 1 if created == OLDER else len(records)}]
    assert after == (before if created == OLDER else {place: MARK for place in after})


def latencies(records: list[Record]) -> dict[Any, float | None]:
    """Latency by platform, system and settings."""
    ordered = sorted(records, key=lambda r: r.created)
    return {
        (sweep.platform, point.system, str(point.settings)): point.record.metrics["latency_s"].value
        for sweep in make_sweeps(StudyRecords("s", RESULTS, ordered))
        for point in sweep.points
    }


OF_TOYS = {
    "backbone": ("model.backbone.n_layers", 24),
    "sampler": ("sampler.guidance", 1.0),
    "options": ("model.options.text_layers", 3),
    "budget": ("train.updates", 9000),
    "corpus": ("data.corpus.name", "another"),
    "representation": ("data.representation", {"name": "another"}),
    "evaluator": ("evaluation.evaluator.identity", "another"),
    "device": ("device", "NVIDIA H100"),
}


def toys(results: Path, system: str, seeds: int, *change: Any) -> list[Record]:
    """An arm measured on a CPU with several seeds, the first ones' records unchanged."""
    made = []
    for seed in range(seeds):
        one = quality(results / "unused", "s", system, {"clap_b": [0.1, 0.2, 0.3]}, seed)
        one = dataclasses.replace(one, environment={"device": "cpu"}, artefacts={})
        one = changed(one, *change, one.created) if change else one
        made.append(save_record(results / "s", one))
    return made


@pytest.mark.parametrize("what", OF_TOYS)
def test_papers_pool_no_seed_of_another_setting_and_name_it(tmp_path: Path, what: str) -> None:
    first = toys(tmp_path, "fm", 2)[0]
    key, value = OF_TOYS[what]
    added = changed(first, key, value, OLDER)
    cell = {**added.cell, "seed": 7}
    save_record(tmp_path / "s", dataclasses.replace(added, id=config_hash(cell), seed=7, cell=cell))
    index = RecordIndex(tmp_path)
    assert [record.seed for record in index.find("s", "fm").records] == [0, 1]
    assert len(index.problems) == 1
    assert key.removeprefix("model.") in index.problems[0]


@pytest.mark.parametrize("what", OF_TOYS)
def test_claims_compare_no_arms_of_different_settings(tmp_path: Path, what: str) -> None:
    toys(tmp_path, "fm", 1)
    key, value = OF_TOYS[what]
    toys(tmp_path, "ar", 1, key, value)
    why = why_apart(RecordIndex(tmp_path).find("s", arm) for arm in ("fm", "ar"))
    assert (why == "") == (what in ("sampler", "options"))  # which every arm may choose
    assert not why or key.removeprefix("model.") in why
    assert why_apart((RecordIndex(tmp_path).find("s", arm) for arm in ("fm", "ar")), [key]) == ""


def test_papers_name_a_record_that_takes_the_place_of_another_of_its_seed(tmp_path: Path) -> None:
    first = toys(tmp_path, "fm", 1)[0]
    save_record(tmp_path / "s", changed(first, "sampler.guidance", 1.0, NEWER))
    index = RecordIndex(tmp_path)
    assert [record.created for record in index.find("s", "fm").records] == [NEWER]
    assert len(index.problems) == 1
    assert "fm of seed 0 differs from the arm's newest record in sampler.guidance" in index.problems[0]


def test_a_record_without_a_device_brings_no_two_devices_into_one_table(tmp_path: Path) -> None:
    (fm,), (mar,), (ar,) = (toys(tmp_path, arm, 1) for arm in ("fm", "mar", "ar"))
    on_gpu = changed(mar, "device", "NVIDIA H100", "2050-01-01T00:00:00")
    silent = dataclasses.replace(ar, environment={}, created=NEWER)
    found = select([fm, silent, on_gpu])
    assert {record.environment.get("device") for record in found.kept} == {None, "NVIDIA H100"}
    assert found.left_out == {"device": 1}
    assert select([silent]).kept == [silent]


def test_what_a_training_writes_is_no_setting(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    for key, value in (("log_every", 20), ("checkpoint_every", 5), ("snapshots", [5])):
        assert differences(fm, changed(fm, f"train.{key}", value, NEWER), same_row=True) == []


def test_other_seeds_of_a_time_are_counted() -> None:
    records, _ = load_records(RESULTS / "latency_layers")
    added = changed(next(r for r in records if r.status == "ok"), "seed", 99, OLDER)
    (sweep,) = make_sweeps(StudyRecords("s", RESULTS, [*records, added]))
    assert sweep.left_out == {"replaced by a newer measurement": 1}


def test_bench_compare_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arm, scores in {"fm": [0.1, 0.5, 0.3], "ar": [0.4, 0.9, 0.7]}.items():
        one = quality(tmp_path, "s", arm, {"clap_b": scores})
    other = changed(one, "model.backbone.n_layers", 24, OLDER)
    save_record(tmp_path / "s", other)
    assert status(["compare", "ar", "fm", "--metric", "clap_b", "--study", "s", "--results", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "ar 0.6667 and fm 0.3" in out
    assert "1 that differs in backbone.n_layers" in err


def test_the_audits_record_stands_in_a_table_of_its_own_setting(copies: Path) -> None:
    records, _ = page_of(copies, "fidelity")
    deep = changed(one_of("fidelity", records), "model.backbone.n_layers", 24, OLDER)
    deep = changed(deep, "sampler.guidance", 1.0, OLDER)
    found = all_settings("quickstart", copies / "quickstart", [deep, *records])
    assert [values["backbone.n_layers"] for values, _ in found] == [4, 24]
    assert [[row.system for row in table.arms] for _, table in found][1] == [deep.system]
    assert not any(table.left_out for _, table in found)


def test_what_differs_by_nature_between_arms_may_not_differ_within_one(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    causal = changed(fm, "model.backbone.causal", True, NEWER)
    assert differences(fm, causal) == []
    assert differences(fm, causal, same_row=True) == ["backbone.causal"]
    assert differences(fm, changed(fm, "noise", "philox", NEWER)) == []
    assert {"sampler", "options", "noise"} <= set(PER_ARM)


def test_a_key_that_nobody_has_declared_counts(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    other = changed(fm, "invented", 1, NEWER)
    assert differences(fm, other) == ["invented"]
    assert differences(fm, other, free=["invented"]) == []
    assert [len(group) for group in partition([fm, other, fm])] == [2, 1]


def test_devices_count_where_both_records_state_them(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    stated = ({}, {"device": "NVIDIA A100"}, {"device": "NVIDIA H100"})
    unknown, gpu, faster = (dataclasses.replace(fm, environment=environment) for environment in stated)
    assert differences(fm, unknown) == differences(gpu, unknown) == differences(gpu, faster) == []
    assert differences(fm, gpu) == ["device"]
    real = dataclasses.replace(fm, system="real", kind="reference", cell={**fm.cell, "reference": "real"})
    assert differences(real, gpu) == []  # nothing is generated; scores depend on the device by rounding alone
    assert differences(real, dataclasses.replace(real, environment=gpu.environment)) == ["device"]


def test_updates_that_a_budget_buys_may_differ_but_not_the_budget(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    flops = changed(fm, "train.budget", {"unit": "flops", "amount": 1e12}, NEWER)
    longer = changed(flops, "train.updates", 50, NEWER)
    assert differences(flops, longer) == []
    assert differences(fm, longer) == ["train.updates", "train.budget.unit", "train.budget.amount"]


def test_of_a_seed_that_was_measured_twice_the_newer_stands_and_the_other_is_counted(tmp_path: Path) -> None:
    (fm,) = toys(tmp_path, "fm", 1)
    again = changed(fm, "protocol", {"samples": 3}, NEWER)  # may differ, so both records would make the same row
    chosen = select([fm, again])
    assert chosen.kept == [again]
    assert chosen.left_out == {"replaced by a newer measurement": 1}
    assert select([]).kept == []
