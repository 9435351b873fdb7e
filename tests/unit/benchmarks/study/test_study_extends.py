"""A study takes over what it does not state, arms are named by their labels, and all tiny studies have one base."""

from __future__ import annotations

from pathlib import Path

import pytest

from paradigm_bench.benchmarks.study.axis import find_axis
from paradigm_bench.benchmarks.study.extends import merged
from paradigm_bench.benchmarks.study.load import STUDIES, load_study, study_names
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.common.errors import UserError

BASE = """
title: Base
axis: fidelity
arms: [ar, {paradigm: fm, label: flow, options: {skips: true}, sampler: {guidance: 2.5, steps: 16}}]
seeds: [0, 1]
train: {updates: 400, lr: 5e-3, snapshots: [200]}
evaluation: {prompts: 16, judges: [logmel]}
sweep: {train.lr: [1e-3, 2e-3]}
"""
MAIN = "small_cpu"
OF_MAIN = (  # the studies of the findings; equal_wall's budget leaves no room for snapshots
    "codec_vs_vae", "control", "decoding_iterations", "equal_flops", "equal_wall", "fm_steps", "frame_rate",
    "guidance_cosine", "guidance_scale", "guidance_schedule", "head_size", "impact_grid", "inpainting",
    "latent_normalisation", "mae_split", "mask_schedules", "masked_fm", "masked_fm_iterations", "masked_fm_spans",
    "mntp_vs_ntp", "pretraining", "reference_parts", "reward", "skips_all_arms", "tal_batch_duration", "tal_durations",
)  # fmt: skip


def extending(folder: Path, text: str, base: str = BASE) -> Study:
    """The study of ``text``, which may extend ``base``."""
    (folder / "base.yaml").write_text(base)
    (folder / "mine.yaml").write_text(text)
    return load_study(str(folder / "mine.yaml"))


def test_what_a_study_does_not_state_is_the_other_ones(tmp_path: Path) -> None:
    study = extending(tmp_path, "extends: base.yaml\ntitle: Mine\ntrain: {lr: 1e-3}\n")
    assert (study.name, study.title, study.seeds) == ("mine", "Mine", (0, 1))
    assert (study.train.lr, study.train.updates, study.train.snapshots) == (1e-3, 400, (200,))
    assert (study.evaluation.prompts, study.evaluation.judges) == (16, ("logmel",))
    assert [arm.name for arm in study.arms] == ["ar", "flow"]
    assert study.sweep == {"train.lr": (1e-3, 2e-3)}


def test_arms_are_taken_by_label_and_changed(tmp_path: Path) -> None:
    arms = (
        "[ar, {arm: flow, label: flow-4, sampler: {steps: 4}}, {arm: flow, paradigm: mar, label: x}, {paradigm: ntp}]"
    )
    study = extending(tmp_path, f"extends: base.yaml\ntitle: T\narms: {arms}\nsweep: {{train.batch: [1, 2]}}\n")
    ar, four, mar, ntp = study.arms
    assert (ar.name, ar.sampler) == ("ar", {})
    assert (four.name, four.paradigm, four.sampler) == ("flow-4", "fm", {"guidance": 2.5, "steps": 4})
    assert four.options == {"skips": True}
    assert (mar.name, mar.paradigm, mar.sampler) == ("x", "mar", {"guidance": 2.5, "steps": 16})
    assert (ntp.name, ntp.sampler) == ("ntp", {})
    assert study.sweep == {"train.batch": (1, 2)}  # a sweep replaces the other one


def test_a_chain_of_studies_and_options_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "last.yaml").write_text("extends: mine.yaml\ntitle: Last\narms: [flow]\nseeds: [7]\n")
    extending(tmp_path, "extends: base.yaml\ntitle: Mine\ntrain: {batch: 3}\n")
    study = load_study(str(tmp_path / "last.yaml"), ["train.lr=4e-3"], updates=800)
    assert (study.seeds, study.train.batch, study.train.lr) == ((7,), 3, 4e-3)
    assert (study.train.updates, study.train.snapshots) == (800, (400,))
    assert [arm.name for arm in study.arms] == ["flow"]


def test_a_budget_replaces_the_other_one(tmp_path: Path) -> None:
    budget = "train: {budget: {unit: convergence, amount: 0.02, over: 0.4}}\n"
    base = BASE.replace("train: {updates: 400, lr: 5e-3, snapshots: [200]}\n", budget)
    study = extending(tmp_path, "extends: base.yaml\ntitle: T\ntrain: {budget: {unit: flops, amount: 1e12}}\n", base)
    assert (study.train.budget.unit, study.train.budget.amount) == ("flops", 1e12)


def test_the_other_mapping_is_left_as_it_is() -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert merged(base, {"a": {"c": [2]}, "e": {}}) == {"a": {"b": 1, "c": [2]}, "d": 2, "e": {}}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: bose.yaml\ntitle: T\n", "no study 'bose.yaml'"),
        ("extends: small_cup\ntitle: T\n", "did you mean 'small_cpu'?"),
        ("extends: [a, b]\ntitle: T\n", "extends must name one study, got ['a', 'b']"),
        ("extends: mine.yaml\ntitle: T\n", "extends 'mine.yaml', which extends 'mine'"),
        ("extends: base.yaml\n", "missing key 'title'"),
        ("extends: base.yaml\ntitle: T\narms: [flaw]\n", "base.yaml has no arm 'flaw' (did you mean 'flow'?)"),
        ("extends: base.yaml\ntitle: T\narms: [ntp]\n", "write {paradigm: ntp}"),
        ("extends: base.yaml\ntitle: T\narms: [{arm: flow}, flow]\n", "two arms are called 'flow'"),
        ("extends: base.yaml\ntitle: T\ntrain: {lrr: 1}\n", "unknown key 'lrr'"),
    ],
)
def test_bad_extensions_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        extending(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OF_MAIN)
def test_tiny_studies_have_the_base_of_the_main_comparison(name: str) -> None:
    """What makes arms comparable across studies is stated in one file: training, evaluation, judges, noise."""
    main, study = load_study(MAIN), load_study(name)
    assert study.seeds == (0, 1, 2)
    assert (study.noise, study.backbone.preset, study.jobs) in {
        (main.noise, main.backbone.preset, jobs) for jobs in (main.jobs, 1)
    }
    assert study.evaluation.judges == main.evaluation.judges
    assert study.evaluation.prompts == main.evaluation.prompts
    shared = ("updates", "lr", "optimiser", "muon_momentum", "weight_decay", "warmup", "schedule", "batch", "ema_decay")
    assert {key: getattr(study.train, key) for key in shared} == {key: getattr(main.train, key) for key in shared}
    if name != "equal_wall":
        assert study.train.snapshots == main.train.snapshots


def test_no_file_repeats_what_the_main_comparison_states() -> None:
    assert set(OF_MAIN) < set(study_names())
    for name in OF_MAIN:
        text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
        for word in ("lr:", "optimiser:", "noise:", "prompts:", "judges:", "updates:", "batch:"):
            assert not any(line.startswith(word) or f"{{{word}" in line for line in text.splitlines()), (name, word)


@pytest.mark.parametrize("name", ["fm_steps", "decoding_iterations", "guidance_scale", "masked_fm_iterations"])
def test_studies_of_samplers_train_nothing_of_their_own(name: str) -> None:
    main = {(arm.paradigm, repr(arm.options)) for arm in load_study(MAIN).arms}
    assert {(arm.paradigm, repr(arm.options)) for arm in load_study(name).arms} <= main


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("mntp_vs_ntp", {"mntp", "ar", "fm", "mar"}), ("masked_fm", {"masked_fm", "fm", "mar"}), ("mae_split", {"mar"}),
        ("reference_parts", {"mar", "fm"}), ("head_size", {"mntp"}), ("mask_schedules", {"mntp"}),
        ("codec_vs_vae", {"fm", "mar"}), ("latent_normalisation", {"fm", "mntp"}), ("pretraining", {"fm", "mar"}),
        ("masked_fm_spans", {"span-4"}), ("skips_all_arms", {"ar", "fm", "masked_fm", "mntp"}),
    ],
)  # fmt: skip
def test_arms_of_the_main_comparison_are_found_measured(name: str, shared: set[str]) -> None:
    """Their cells are the main comparison's own, whose records a study takes over."""
    ids = {cell.id for cell in find_axis("fidelity").expand(load_study(MAIN))}
    arms = {cell.system for cell in find_axis("fidelity").expand(load_study(name)) if cell.id in ids}
    assert shared <= arms


@pytest.mark.parametrize(
    ("asked", "updates", "measured"),
    [("true", 800, (200, 400, 700)), ("false", 800, ()), ("half", 800, (400,)), ("half", 1300, (700,))],
)
def test_snapshots_are_measured_as_the_study_asks(
    tmp_path: Path, asked: str, updates: int, measured: tuple[int, ...]
) -> None:
    train = f"train: {{updates: {updates}, snapshots: [700, 200, 400]}}\nevaluation: {{snapshots: {asked}}}\n"
    study = extending(tmp_path, f"extends: base.yaml\ntitle: T\n{train}")
    assert study.measured_snapshots == measured


def test_the_quickstarts_judges_need_no_installation() -> None:
    assert set(load_study("quickstart").evaluation.judges) <= {"musicnn", "logmel"}
