"""Records are whole or absent, never overwritten, checked when read, and documented field by field."""

from __future__ import annotations

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.records import (
    Metric,
    Record,
    Training,
    latest,
    load_records,
    metric,
    read_items,
    read_record,
    save_record,
)
from common.config import config_hash
from common.errors import UserError

ROOT = Path(__file__).parent.parent


def a_record(seed: int = 0, **changes: object) -> Record:
    cell = {"axis": "fake", "seed": seed}
    fields = {
        "id": config_hash(cell), "study": "s", "axis": "fake", "system": "ar", "kind": "paradigm", "seed": seed,
        "status": "ok", "cell": cell, "created": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }  # fmt: skip
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def test_round_trip_with_items(tmp_path: Path) -> None:
    training = Training(10, 1.5, 2.0, 100, {"head": 3}, {"update": (1.0, 2.0), "loss": (2.0, 1.0)})
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
    documented = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    fields = {f.name for cls in (Record, Metric, Training) for f in dataclasses.fields(cls)}
    assert documented == fields


def test_the_documented_example_is_a_valid_record(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "records.md").read_text()
    data = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL).group(1))  # type: ignore[union-attr]
    path = tmp_path / f"{data['id']}-{data['attempt']}.json"
    path.write_text(json.dumps(data))
    assert read_record(path).metrics["key"].n == 64
