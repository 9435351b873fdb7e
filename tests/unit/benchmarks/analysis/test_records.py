"""Records are whole or absent, never overwritten, checked when read, and documented field by field."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from record_toys import a_record

from paradigm_bench.benchmarks.analysis.records import (
    Record,
    latest,
    load_records,
    read_items,
    read_record,
    save_record,
)
from paradigm_bench.benchmarks.metrics.metric import Metric, metric
from paradigm_bench.benchmarks.study.cells import Preparation
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.budget import TrainingCost

ROOT = Path(__file__).parents[4]


def test_round_trip_with_items(tmp_path: Path) -> None:
    training = TrainingCost(10, 1.5, 2.0, 100, {"head": 3}, {"update": (1.0, 2.0), "loss": (2.0, 1.0)})
    record = a_record(metrics={"fad": metric(1.0, low=0.5, high=2.0, n=4, better="lower")}, training=training)
    rows = [{"item": "p0", "caption": 'a "b", c', "kl": 0.25}, {"item": "p1", "kl": float("nan")}]
    saved = save_record(tmp_path, record, rows)
    (read,), problems = load_records(tmp_path)
    assert not problems
    assert read == saved
    assert read.training == training
    first, second = read_items(tmp_path, read)
    assert first == {"item": "p0", "caption": 'a "b", c', "kl": 0.25}
    assert second["kl"] != second["kl"]


def test_attempts_are_added_never_overwritten_even_by_racing_writers(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda i: save_record(tmp_path, a_record(reason=str(i)), [{"item": str(i)}]), range(24)))
    records, problems = load_records(tmp_path)
    assert not problems
    assert sorted(r.attempt for r in records) == list(range(1, 25))
    assert {r.reason for r in records} == {str(i) for i in range(24)}
    for record in saved:
        assert read_items(tmp_path, record) == [{"item": record.reason}]


WRITER = """
import sys
from pathlib import Path
from record_toys import a_record
from paradigm_bench.benchmarks.analysis.records import save_record
folder, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for i in range(12):
    save_record(folder, a_record(seed=i % 3, reason=f"{name}-{i}"), [{"item": f"{name}-{i}"}])
"""


@pytest.mark.parametrize("links", [True, False])
def test_processes_on_a_shared_folder_lose_and_overwrite_nothing(tmp_path: Path, links: bool) -> None:
    without = "import os\ndef refuse(*_): raise OSError(errno.EPERM, 'no links')\nimport errno\nos.link = refuse\n"
    code = WRITER if links else without + WRITER
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        )
        for name in "abcd"
    ]  # fmt: skip
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 4  # type: ignore[union-attr]
    for writer in writers:
        writer.communicate("go\n", timeout=60)
    assert [writer.returncode for writer in writers] == [0] * 4
    records, problems = load_records(tmp_path)
    assert not problems
    assert {r.reason for r in records} == {f"{name}-{i}" for name in "abcd" for i in range(12)}
    for seed in range(3):
        assert sorted(r.attempt for r in records if r.seed == seed) == list(range(1, 17))
    assert all(read_items(tmp_path, r) == [{"item": r.reason}] for r in records)
    assert not list((tmp_path / "records").glob(".*.part*"))


@pytest.mark.parametrize("filled", [0, 1])  # the page that is missing: the scores', or the record's
def test_a_full_disk_loses_nothing_and_says_so(small_disk: Path, filled: int) -> None:
    (small_disk / "filler").write_bytes(b"0" * 4096 * filled)
    rows, saved = [{"item": "x"}], list[Record]()

    def fill() -> None:
        for seed in range(9):
            saved.append(save_record(small_disk, a_record(seed), rows))

    with pytest.raises(UserError, match=r"cannot write .*No space left on device; free space or choose another"):
        fill()
    records, problems = load_records(small_disk)
    assert (records, problems) == (saved, [])
    assert all(read_items(small_disk, record) == rows for record in records)
    assert {p.name.split(".")[0] for p in (small_disk / "records").iterdir()} == {record.stem for record in records}


def test_a_name_that_a_repeated_link_holds_already_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def answer_lost(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", answer_lost)
    assert save_record(tmp_path, a_record()).attempt == 1
    assert len(load_records(tmp_path)[0]) == 1


def test_newest_good_record_speaks_for_its_cell(tmp_path: Path) -> None:
    attempts = [a_record(status="failed", attempt=1), a_record(attempt=2), a_record(status="oom", attempt=3)]
    assert latest(attempts)[attempts[0].id].attempt == 2
    assert latest(attempts[:1])[attempts[0].id].status == "failed"


def test_nan_becomes_undefined_not_invalid_json() -> None:
    assert metric(float("nan"), low=float("inf"), n=3) == Metric(None, None, None, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot read"),
        (lambda text: '{"a": 1}', "not a record"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 0'), "schema version 0"),
        (
            lambda text: text.replace('"axis": "fake",\n  "seed": 0', '"axis": "fake",\n  "seed": 9'),
            "does not match its id",
        ),
        (lambda text: text.replace('"status": "ok"', '"status": "fine"'), "'fine' is not one of"),
    ],
)
def test_bad_files_are_named_and_left_out(tmp_path: Path, spoil: object, message: str) -> None:
    good = save_record(tmp_path, a_record(seed=1))
    bad = save_record(tmp_path, a_record())
    path = tmp_path / "records" / f"{bad.stem}.json"
    spoiled = spoil(path.read_text())  # type: ignore[operator]
    assert spoiled != path.read_text()
    path.write_text(spoiled)
    records, problems = load_records(tmp_path)
    assert [r.id for r in records] == [good.id]
    assert len(problems) == 1
    assert path.name in problems[0]
    assert message in problems[0]


def test_a_renamed_record_is_refused(tmp_path: Path) -> None:
    saved = save_record(tmp_path, a_record())
    path = tmp_path / "records" / f"{saved.stem}.json"
    moved = path.rename(path.with_name(f"{saved.id}-7.json"))
    with pytest.raises(UserError, match="does not match its id and attempt"):
        read_record(moved)


def test_unwritable_folder_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write"):
        save_record(tmp_path, a_record())


def test_every_field_is_documented() -> None:
    page = (ROOT / "docs" / "records.md").read_text()
    before, scoring, after = re.split(r"^(## Scoring\n(?:(?!^#).*\n)*)", page, flags=re.MULTILINE)
    documented = set(re.findall(r"^\| `(\w+)`", before + after, re.MULTILINE))
    assert "| `judges`" in scoring  # keys of environment.scoring, which are no fields
    fields = {f.name for cls in (Record, Metric, TrainingCost, Preparation) for f in dataclasses.fields(cls)}
    assert documented == fields


def test_the_documented_example_is_a_valid_record(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "records.md").read_text()
    data = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL).group(1))  # type: ignore[union-attr]
    path = tmp_path / f"{data['id']}-{data['attempt']}.json"
    path.write_text(json.dumps(data))
    assert read_record(path).metrics["key"].n == 64
