"""``bench compare`` on made-up records: verdicts, margins, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.cli.compare import comparison_text, load_table
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError

N = 40
SHIFT = {"ar": 0.0, "fm": -0.3, "mar": 0.01, "real": -2.0}


def save(folder: Path, system: str, seed: int = 0, n: int = N, kept: bool = True) -> None:
    reference = system == "real"
    cell: dict[str, Any] = {
        "axis": "fidelity", "version": 1, "data": {}, "evaluation": {"prompts": N}, "seed": seed,
        "model": {"paradigm": "" if reference else system, "options": {}, "backbone": {}},
        "train": {"updates": 10, "warmup": 0, "seed": seed},
    }  # fmt: skip
    cell |= {"reference": system} if reference else {"at_updates": 10, "sampler": {}}
    base = np.random.default_rng(9).normal(10, 1, N) + np.random.default_rng(seed).normal(0, 0.02, N)
    scores = base + SHIFT[system] + np.random.default_rng(sum(map(ord, system))).normal(0, 0.01, N)
    items = [{"item": f"p{i}", "caption": "c", **({"fad_b": scores[i]} if kept else {})} for i in range(N)]
    record = Record(
        id=config_hash(cell), study="s", axis="fidelity", system=system, kind="reference" if reference else "paradigm",
        seed=seed, status="ok", cell=cell, created=f"2026-01-01T00:00:{seed:02d}", at_updates=None if reference else 10,
        metrics={"fad_b": metric(float(scores.mean()), low=0.0, high=20.0, n=n, better="lower")},
    )  # fmt: skip
    save_record(folder, record, items)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in (0, 1):
        for arm in ("ar", "fm", "mar"):
            save(tmp_path / "s", arm, seed)
    save(tmp_path / "s", "real")
    return tmp_path


def told(results: Path, a: str, b: str, margin: float | None = None) -> str:
    return comparison_text(load_table("s", results), a, b, "fad_b", margin)


def test_one_comparison_with_effect_interval_p_and_n(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["compare", "fm", "ar", "--metric", "fad_b", "--study", "s", "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert "lower is better" in text
    assert "fm is better than ar" in text
    assert "80 pairs, 40 prompts, 2 seeds, 10,000 draws" in text
    assert "difference -0." in text
    assert "effect size d_z -" in text
    assert "ar is worse than fm" in told(results, "ar", "fm")


def test_same_needs_a_margin(results: Path) -> None:
    assert "the same within 0.1" in told(results, "ar", "mar", margin=0.1)
    assert "the same" not in told(results, "ar", "mar")
    assert "ar is worse than real" in told(results, "ar", "real")


@pytest.mark.parametrize(
    ("a", "b", "metric_name", "message"),
    [
        ("rr", "fm", "fad_b", "no system 'rr'"),
        ("ar", "fm", "fd_b", "did you mean 'fad_b'"),
        ("real", "fm", "fad_b", "name the arm first"),
    ],
)
def test_bad_names_are_named(results: Path, a: str, b: str, metric_name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        comparison_text(load_table("s", results), a, b, metric_name, None)


def test_unequal_n_and_missing_contributions_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "s", "ar")
    save(tmp_path / "s", "fm", n=39)
    save(tmp_path / "s", "mar", kept=False)
    with pytest.raises(UserError, match="n is 40 for ar and 39 for fm"):
        told(tmp_path, "ar", "fm")
    with pytest.raises(UserError, match="contributions are not kept"):
        told(tmp_path, "ar", "mar")
    with pytest.raises(UserError, match="positive size"):
        told(tmp_path, "ar", "fm", margin=0.0)
    with pytest.raises(UserError, match="did you mean 's'"):
        load_table("sx", tmp_path)
