"""``bench compare`` on made-up records: the table's verdicts, its reasons for none, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.pooling import differences
from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.cli.compare import comparison_text, load_table
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError

N = 40
SHIFT = {"ar": 0.0, "fm": 0.3, "mar": 0.01, "real": 2.0, "shuffled_captions": -1.0, "noise": -4.0}
REFERENCES = ("real", "shuffled_captions", "noise")
NAMES = ("adherence_b", "adherence_key_b", "kad_builtin")  # one that may decide, a detail, and a tagger's distance


def save(folder: Path, system: str, seed: int = 0, n: int = N, kept: bool = True, **model: Any) -> None:
    reference = system in REFERENCES
    cell: dict[str, Any] = {
        "axis": "fidelity", "version": 1, "data": {}, "evaluation": {"prompts": N}, "seed": seed,
        "model": {"paradigm": "" if reference else system, "options": {}, "backbone": {}},
        "train": {"updates": 10, "warmup": 0, "seed": seed}, **model,
    }  # fmt: skip
    cell |= {"reference": system} if reference else {"at_updates": 10, "sampler": {}}
    base = np.random.default_rng(9).normal(10, 1, N) + np.random.default_rng(seed).normal(0, 0.02, N)
    scores = base + SHIFT[system] + np.random.default_rng([seed, *map(ord, system)]).normal(0, 0.01, N)
    items = [
        {"item": f"p{i}", "caption": "c", **({name: scores[i] for name in NAMES} if kept else {})} for i in range(N)
    ]
    value = float(scores.mean())
    record = Record(
        id=config_hash(cell), study="s", axis="fidelity", system=system, kind="reference" if reference else "paradigm",
        seed=seed, status="ok", cell=cell, created=f"2026-01-01T00:0{len(model)}:{seed:02d}",
        at_updates=None if reference else 10,
        metrics={name: metric(value, low=value - 0.1, high=value + 0.1, n=n, better="higher") for name in NAMES},
    )  # fmt: skip
    save_record(folder, record, items)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in (0, 1):
        for arm in ("ar", "fm", "mar"):
            save(tmp_path / "s", arm, seed)
    for system in REFERENCES:
        save(tmp_path / "s", system)
    return tmp_path


def told(results: Path, a: str, b: str, name: str = "adherence_b") -> str:
    return comparison_text(load_table("s", results), a, b, name)


def test_one_comparison_with_effect_interval_p_and_n(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["compare", "fm", "ar", "--metric", "adherence_b", "--study", "s", "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert "higher is better" in text
    assert "80 pairs, 40 prompts, 2 seeds" in text
    assert "difference +0.3" in text
    assert "effect size d_z +" in text
    assert "margin 0.15" in text  # 5% of the way from real audio to shuffled captions
    assert "these 2 runs of fm is better than these 2 runs of ar" in text
    assert "corrected for the 6 comparisons of the study's table" in text
    assert "at least 3 are needed" in text


def test_the_verdict_is_that_of_the_table_in_both_directions(results: Path) -> None:
    table = load_table("s", results)
    turned = {"better": "worse", "worse": "better", "same": "same", "undecided": "undecided"}
    found = differences(table)
    assert {own.judgement.verdict for own in found} == {"better", "worse", "same"}
    for own in found:
        data = json.loads(comparison_text(table, own.a, own.b, own.metric, as_json=True))
        assert (data["verdict"], data["p_adjusted"]) == (own.judgement.verdict, own.judgement.p_adjusted)
        assert data["comparisons"] == len(found)
        if own.b not in REFERENCES:
            data = json.loads(comparison_text(table, own.b, own.a, own.metric, as_json=True))
            assert data["verdict"] == turned[own.judgement.verdict]
            assert data["difference"]["low"] == pytest.approx(-own.comparison.difference.high)


def test_a_difference_inside_the_margin_is_the_same(results: Path) -> None:
    assert "the same within 0.15" in told(results, "ar", "mar")


def test_where_the_table_has_no_verdict_the_reason_stands(results: Path) -> None:
    assert "no verdict: the study's table does not compare ar with real" in told(results, "ar", "real")
    assert "no verdict: adherence_key_b stands in a table of details" in told(results, "ar", "fm", "adherence_key_b")
    assert "no verdict: kad_builtin: a distance by the attribute tagger" in told(results, "ar", "fm", "kad_builtin")


def test_no_verdict_on_an_arm_that_was_trained_against_the_evaluator(results: Path) -> None:
    for seed in (0, 1):
        save(results / "s", "fm", seed, trained_on=["b"])  # newer than the record without
    assert "no verdict: fm was trained against the evaluator of adherence_b" in told(results, "fm", "ar")
    assert "the same within 0.15" in told(results, "ar", "mar")


@pytest.mark.parametrize(
    ("a", "b", "metric_name", "message"),
    [
        ("rr", "fm", "adherence_b", "no system 'rr'"),
        ("ar", "fm", "adherenc_b", "did you mean 'adherence_b'"),
        ("real", "fm", "adherence_b", "name the arm first"),
        ("fm", "fm", "adherence_b", "fm cannot be compared with itself"),
    ],
)
def test_bad_names_are_named(results: Path, a: str, b: str, metric_name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        comparison_text(load_table("s", results), a, b, metric_name)


def test_a_system_against_itself_ends_with_status_2(results: Path) -> None:
    command = ["compare", "fm", "fm", "--metric", "adherence_b", "--study", "s", "--results", str(results)]
    assert status(command) == 2


def test_unequal_n_and_missing_contributions_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "s", "ar")
    save(tmp_path / "s", "fm", n=39)
    save(tmp_path / "s", "mar", kept=False)
    with pytest.raises(UserError, match="n is 40 for ar and 39 for fm"):
        told(tmp_path, "ar", "fm")
    with pytest.raises(UserError, match="contributions are not kept"):
        told(tmp_path, "ar", "mar")
    with pytest.raises(UserError, match="did you mean 's'"):
        load_table("sx", tmp_path)
