"""Sizes of a study's arms before training: against models that are built, by hand, and in ``bench models``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paradigm_bench import paradigms
from paradigm_bench.benchmarks.analysis.costs import TOLERANCE, unequal
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.run.estimate.arm_sizes import ArmSize, arm_sizes
from paradigm_bench.benchmarks.run.estimate.plan import model_inputs
from paradigm_bench.benchmarks.study.load import load_study


@pytest.fixture(scope="module")
def sizes() -> dict[str, ArmSize]:
    return {size.arm: size for size in arm_sizes(load_study("small_cpu"))}


def test_the_arms_of_the_main_comparison_are_of_one_size(sizes: dict[str, ArmSize]) -> None:
    counts = {arm: size.parameters for arm, size in sizes.items()}
    assert set(counts) == {"ar", "fm", "mar", "mntp", "masked_fm"}
    assert max(counts.values()) <= min(counts.values()) * (1 + TOLERANCE), counts
    assert unequal(counts) == frozenset()


def test_sizes_are_those_of_the_models(sizes: dict[str, ArmSize]) -> None:
    """Of fm a real model; of ar by hand: 384 instead of 512 hidden units in four blocks are 4 x 2 x 128 x 128 fewer."""
    study = load_study("small_cpu")
    inputs, fm = model_inputs(study), sizes["fm"]
    model = paradigms.build("fm", {}, fm.backbone, inputs.latent, inputs.text)
    assert fm.parameters == sum(p.numel() for p in model.parameters())
    assert fm.flops_per_update == model.training_cost(study.train.batch, 100, inputs.text_tokens)
    (plain,) = (size for size in arm_sizes(load_study("small_cpu", ["arms=[ar]"])) if size.arm == "ar")
    assert plain.parameters - sizes["ar"].parameters == 4 * 2 * 128 * 128


def test_models_marks_arms_of_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = "[fm, {paradigm: fm, label: wide, backbone: {d_ff: 1024}}, {paradigm: fm, label: twin, sampler: {steps: 3}}]"
    (tmp_path / "own.yaml").write_text(f"title: T\naxis: fidelity\narms: {arms}\n")
    assert status(["models", str(tmp_path / "own.yaml")]) == 0
    out = capsys.readouterr().out
    assert [line.split()[3] for line in out.splitlines()[2:5]] == ["no", "yes", "no"]
    assert "The largest arm, wide, has" in out
    assert "more than 5%" in out
    assert status(["models", str(tmp_path / "own.yaml"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["apart"] for row in rows] == [False, True, False]
    assert sum(row["of mean"] for row in rows) == pytest.approx(3, abs=0.002)
    assert all(row["time"] == "add" for row in rows)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("models small_cpu --preset tiny", "--preset has no effect on a study"),
        ("models --set train.lr=1", "--set changes a study; name one"),
        ("models latency", "trains nothing"),
    ],
)
def test_models_refuses_what_has_no_effect(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(line.split()) != 0
    assert told in capsys.readouterr().err
