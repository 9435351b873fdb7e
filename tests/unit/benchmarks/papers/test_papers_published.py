"""Published data: complete, traceable, and one source for every chapter."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.analysis import published
from paradigm_bench.common.errors import UserError


def test_everything_that_was_collected_is_there() -> None:
    stated, claims = published.results(), published.claims()
    assert (len(stated), len(published.hyperparameters())) == (1076, 329)
    collected = {(claim.paper, claim.id.rstrip("abc")) for claim in claims}  # some are split: T23a, T23b
    assert Counter(paper for paper, _ in collected) == {
        "tal2025": 26, "maskaudioflow2025": 13, "mntp2025": 20, "impact2025": 17, "joint": 4
    }  # fmt: skip
    assert len({claim.id for claim in claims}) == len(claims) > len(collected)
    errors = published.inconsistencies()
    assert [one.id for one in errors] == [f"X{i}" for i in range(1, 86)]
    assert all(one.statement and (one.source or one.paper == "joint") for one in claims)
    assert {one.paper for one in [*stated, *claims, *errors]} == set(published.NAMES)


def test_a_row_keeps_its_numbers_and_where_they_are_printed() -> None:
    stated = published.results()
    found = [o for o in stated if o.table == "Table 8" and o.setting.get("steps") == "10" and o.metric == "fad"]
    assert [(o.setting["frame_rate_hz"], o.number) for o in found] == [("25", 4.16), ("50", 4.92), ("100", 12.3)]
    lost = [o for o in stated if o.paper == "mntp2025" and o.setting.get("row") == "f" and o.table == "Table 6"]
    assert {o.number for o in lost} == {None}
    assert all("lost in the conversion" in o.note for o in lost)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("results.csv", "paper,setting,value\nx,,1\n", r"results\.csv, line 2"),
        ("claims.yaml", "- {id: T1, paper: p, statment: s}\n", "did you mean 'statement'"),
        ("claims.yaml", "- {id: T1", "not valid YAML"),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, name: str, text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(published.FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=told):
        published.results(), published.claims()
