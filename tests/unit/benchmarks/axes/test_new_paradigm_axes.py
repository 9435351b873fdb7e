"""The documented paradigm, from outside the tree, by the command line: trained, judged, and a row of the report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fidelity_toys import home, settings  # noqa: F401  (a fixture)

from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.cli.main import status

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "docs" / "examples" / "maskgit"


def test_an_arm_from_outside_is_trained_and_judged(
    home: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(home / "cache"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{EXAMPLE}")  # for the workers
    monkeypatch.syspath_prepend(str(EXAMPLE))
    small = [*settings(home), "evaluation.references=[real]", "train.snapshots=[]"]
    options = [part for setting in small for part in ("--set", setting)]
    folders = ["--results", str(home / "out"), "--work", str(home / "runs")]
    sampler = "arms=[{paradigm: maskgit:MaskGIT, sampler: {iterations: 3, refinements: 1}}]"
    assert status(["run", "smoke", "--set", sampler, *options, *folders]) == 0, capsys.readouterr().err
    records, problems = load_records(home / "out" / "smoke")
    assert not problems
    (arm,) = [record for record in records if record.kind == "paradigm"]
    assert (arm.system, arm.status, arm.cell["model"]["paradigm"]) == ("MaskGIT", "ok", "maskgit:MaskGIT")
    assert arm.metrics["fad_builtin"].n == 4
    assert "MaskGIT" in (home / "out" / "smoke" / "README.md").read_text()
