"""``bench collect``: every cell once, every bad file named, the same table from one process and from several."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas
import pytest
from record_toys import a_record

from paradigm_bench.benchmarks.analysis import collect as collecting
from paradigm_bench.benchmarks.analysis.collect import collect
from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash

ROOT = Path(__file__).parents[4]
FIGURES = {"fad": metric(1.5, low=1.0, high=2.0, n=4, better="lower"), "kl": metric(None, n=4, unit="nats")}


def with_cell(seed: int, **cell: object) -> Record:
    made = {"axis": "fake", "seed": seed, **cell}
    return dataclasses.replace(a_record(seed, metrics=FIGURES), cell=made, id=config_hash(made))


def test_rows_are_cells_times_metrics_and_a_cell_without_figures_stays(tmp_path: Path) -> None:
    save_record(tmp_path / "a", a_record(0, status="failed", metrics=FIGURES, reason="broke"))
    save_record(tmp_path / "a", a_record(0, metrics=FIGURES))
    save_record(tmp_path / "a", a_record(1, status="oom"))
    found = collect(tmp_path)
    table = found.table.to_pandas()
    assert found.records == 3
    assert found.counts == {("a", "fake", "ok"): 1, ("a", "fake", "oom"): 1}
    rows = table[["seed", "attempt", "status", "metric", "value", "low", "high", "n", "unit", "better"]]
    assert rows.astype(object).where(rows.notna(), None).to_numpy().tolist() == [
        [0, 2, "ok", "fad", 1.5, 1.0, 2.0, 4, "", "lower"],
        [0, 2, "ok", "kl", None, None, None, 4, "nats", "neither"],
        [1, 1, "oom", None, None, None, None, None, None, None],
    ]
    assert list(table["path"]) == [f"a/records/{a_record(0).id}-2.json"] * 2 + [f"a/records/{a_record(1).id}-1.json"]


def test_a_shared_cell_counts_once_under_who_measured_it(tmp_path: Path) -> None:
    save_record(tmp_path / "copy", a_record(0, metrics=FIGURES, study="copy", origin="first/records/x.json"))
    save_record(tmp_path / "first", a_record(0, metrics=FIGURES, study="first", created="2025-01-01"))
    save_record(tmp_path / "later", a_record(0, study="later", status="failed"))
    table = collect(tmp_path).table.to_pandas()
    assert table[["study", "studies", "metric"]].to_numpy().tolist() == [
        ["first", "copy;first;later", "fad"], ["first", "copy;first;later", "kl"],
    ]  # fmt: skip
    assert list(collect(tmp_path, ["copy"]).table.to_pandas()["study"]) == ["copy", "copy"]


def test_settings_become_columns_of_one_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "CHUNK", 1)  # kinds then differ between parts
    for seed, warmup in enumerate((10, 0.5, None)):
        save_record(tmp_path / "a", with_cell(seed, train={"warmup": warmup, "lr": 1e-3}, sampler={"steps": seed}))
    save_record(tmp_path / "a", with_cell(3, train={"warmup": [1, 2]}, latent={"name": "x"}))
    table = collect(tmp_path, columns=["cell.train", "cell.train.warmup"]).table.to_pandas()[::2]
    assert table["cell.train.warmup"].dropna().to_dict() == {0: "10", 2: "0.5", 6: "[1, 2]"}
    assert json.loads(table["cell.train"].iloc[3]) == {"warmup": [1, 2]}
    assert table["lr"].dtype == float
    assert list(table["steps"])[:3] == [0, 1, 2]
    assert list(table["representation"].dropna()) == ["x"]


def test_processes_agree_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(8):
        save_record(tmp_path / "a", with_cell(seed, train={"lr": seed / 10}))
    alone = collect(tmp_path, processes=1).table.to_pandas()
    monkeypatch.setattr(collecting, "MANY", 1)
    monkeypatch.setattr(collecting, "CHUNK", 3)
    pandas.testing.assert_frame_equal(collect(tmp_path, processes=2).table.to_pandas(), alone)


def test_every_bad_file_is_named_and_nothing_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    names = [save_record(results / "a", a_record(seed, metrics=FIGURES)).stem for seed in range(5)]
    folder = results / "a" / "records"
    spoil = {
        names[1]: lambda text: text[:-40],
        names[2]: lambda text: text.replace('"seed": 2\n', '"seed": 7\n'),
        names[3]: lambda text: text.replace('"schema_version": 1', '"schema_version": 0'),
        names[4]: lambda text: text.replace('"better": "lower"', '"better": "lower", "bettr": 1'),
    }
    for name, change in spoil.items():
        text = (folder / f"{name}.json").read_text()
        assert change(text) != text
        (folder / f"{name}.json").write_text(change(text))
    (folder / "package.json").write_text('{"name": "x"}')
    (folder / "notes.txt").write_text("foreign")
    (folder / f"{names[0][:-2]}-9.items.csv").write_text("item\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert status(["collect", "--results", str(results), "--out", str(tmp_path / "all")]) == 0
    said = capsys.readouterr()
    told = {
        f"{names[1]}.json": "cannot read", f"{names[2]}.json": "does not match its id", "package.json": "not a record",
        f"{names[3]}.json": "schema version 0", f"{names[4]}.json": "unknown key 'bettr'", "notes.txt": "not a record",
        f"{names[0][:-2]}-9.items.csv": "scores without their record",
    }  # fmt: skip
    lines = said.err.splitlines()
    assert len(lines) == len(told)
    for name, why in told.items():
        assert any(name in line and why in line for line in lines), name
    assert "1 cell from 1 record, 7 files left out; 2 rows" in said.out
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    parquet, csv = pandas.read_parquet(tmp_path / "all.parquet"), pandas.read_csv(tmp_path / "all.csv")
    assert list(parquet["value"].dropna()) == list(csv["value"].dropna()) == [1.5]
    assert list(parquet.columns) == list(csv.columns)


def test_bad_wishes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["collect", "--results", str(tmp_path)]) == 2
    assert "no records in" in capsys.readouterr().err
    assert status(["collect", "quickstrt", "--results", str(ROOT / "results")]) == 2
    assert "did you mean 'quickstart'?" in capsys.readouterr().err
