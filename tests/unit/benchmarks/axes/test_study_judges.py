"""Judges in studies: named, stated in cells, computed once for real audio, scored for every system, and declared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fidelity_toys import _own_cache, home, settings
from record_toys import a_record
from toy_evaluator import Roughness

from paradigm_bench.benchmarks.analysis.comparability import differences
from paradigm_bench.benchmarks.analysis.declared import trained_against
from paradigm_bench.benchmarks.axes.eval_set import load_evaluators, make_eval_set
from paradigm_bench.benchmarks.axes.fidelity.axis import Fidelity
from paradigm_bench.benchmarks.axes.fidelity.cells import data_of
from paradigm_bench.benchmarks.axes.fidelity.measure import FidelityGroup
from paradigm_bench.benchmarks.axes.scoring import score
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators.rewards import evaluator_in
from paradigm_bench.benchmarks.metrics.kad import kernel_distance
from paradigm_bench.benchmarks.run.estimate.timings import published
from paradigm_bench.benchmarks.run.verify import check_content
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.cells import Cell, CellConfig, read_config
from paradigm_bench.benchmarks.study.load import load_study, study_names
from paradigm_bench.benchmarks.study.study import EvaluationChoice
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.trained import training_folder

__all__ = ["_own_cache", "home"]  # fixtures

RESULTS = Path(__file__).parents[4] / "results"
ROUGH = "toy_evaluator:Roughness"


def cells(home: Path, judges: str, *extra: str) -> list[Cell]:
    study = load_study("smoke", [*settings(home), f"evaluation.judges={judges}", *extra], ("fm",))
    return Fidelity().expand(study)


def reference(home: Path, judges: str, name: str = "real") -> Cell:
    return next(cell for cell in cells(home, judges) if cell.system == name)


def test_judges_stand_in_a_cell_by_content_and_are_left_out_where_there_are_none(home: Path) -> None:
    with_one, without = reference(home, f'["{ROUGH}"]'), reference(home, "[]")
    assert with_one.config["evaluation"]["judges"] == [{"name": "rough", "identity": "r1"}]
    assert with_one.how["judges"] == [ROUGH]
    assert "judges" not in without.config["evaluation"]
    assert "judges" not in without.how
    assert with_one.id != without.id
    stripped = {key: value for key, value in with_one.config["evaluation"].items() if key != "judges"}
    assert {**with_one.config, "evaluation": stripped} == without.config
    assert without.read(CellConfig).evaluation.judges == ()
    assert with_one.read(CellConfig).evaluation.judges[0].identity == "r1"


def test_judges_and_declarations_do_not_decide_what_is_trained(home: Path) -> None:
    declared = "arms=[{paradigm: fm, sampler: {steps: 4}, trained_on: [rough]}]"
    sets = [cells(home, "[]"), cells(home, f'["{ROUGH}", musicnn]'), cells(home, f'["{ROUGH}"]', declared)]
    folders = {training_folder(cell.config) for each in sets for cell in each if cell.kind == "paradigm"}
    assert len(folders) == 1
    last = next(cell for cell in sets[2] if cell.kind == "paradigm")
    assert last.config["trained_on"] == ["rough"]
    assert all("trained_on" not in cell.config for each in sets[:2] for cell in each)


def test_every_system_is_scored_by_tagger_and_judges_and_real_audio_is_heard_once(home: Path, tmp_path: Path) -> None:
    chosen = cells(home, f'["{ROUGH}"]')
    arm = [cell for cell in chosen if cell.kind == "paradigm"]
    rest = [cell for cell in chosen if cell.kind == "reference"]
    Roughness.heard.clear()
    group = FidelityGroup(rest, Context("s", tmp_path / "results", tmp_path / "work"))
    assert Roughness.heard == [4, 4]  # prompts and reference set
    made = {cell.system: group.measure(cell) for cell in rest}
    assert Roughness.heard == [4, 4, *([4] * len(rest))]
    trained = FidelityGroup(arm, Context("s", tmp_path / "results", tmp_path / "work"))
    assert len(Roughness.heard) == 2 + len(rest)  # the second group finds real audio in the cache
    made["fm"] = trained.measure(arm[-1])
    for measured in made.values():
        assert {"fad_builtin", "kad_builtin", "fad_rough", "kad_rough", "peak", "loudness_lufs"} <= set(
            measured.metrics
        )
        assert {"kad_rough", "kad_builtin", "loudness_lufs", "peak"} <= set(measured.items[0])
        assert not any(name.startswith("adherence") and name.endswith("rough") for name in measured.metrics)
        details = measured.environment["scoring"]
        assert details["evaluator"] == "builtin"
        assert details["judges"]["rough"]["evaluator_identity"] == "r1"
        assert details["judges"]["rough"]["n_generated"] == 4
    audio, real = group.eval_set.prompt_audio_BN, group.eval_set.judges[0]
    wanted = kernel_distance(real.reference.embeddings, Roughness().embed(list(audio), 16_000))
    assert made["real"].metrics["kad_rough"].value == pytest.approx(wanted)
    assert made["real"].metrics["peak"].value == pytest.approx(np.abs(audio).max(1).mean(), rel=1e-5)
    assert made["silence"].metrics["loudness_lufs"].value == -70.0


def test_the_judges_of_the_default_panel_score_side_by_side(home: Path) -> None:
    cell = reference(home, "[musicnn, logmel]")
    data = data_of(cell)
    evaluators = load_evaluators(cell.how, data.corpus, data.representation)
    eval_set = make_eval_set(cell.read(CellConfig).evaluation, evaluators, data.corpus)
    metrics, rows, details = score(eval_set.prompt_audio_BN, eval_set)
    assert {"kad_musicnn", "fad_musicnn", "kl_musicnn", "kad_logmel", "fad_logmel", "band_level_logmel"} <= set(metrics)
    assert metrics["kl_musicnn"].value == pytest.approx(0.0, abs=1e-3)  # each clip beside itself
    assert list(details["judges"]) == ["musicnn", "logmel"]
    assert "musicnn 0.1.0" in details["judges"]["musicnn"]["evaluator_checkpoint"]
    assert "sha256" in details["judges"]["musicnn"]["evaluator_checkpoint"]
    assert {"kl_musicnn", "kad_logmel"} <= set(rows[0])


@pytest.mark.parametrize(
    ("judges", "said"),
    [
        ("[logmel, logmel]", "'logmel' is named twice"),
        ("[builtin]", "'builtin' is an attribute tagger"),
        ("[musican]", "did you mean 'musicnn'"),
        ("[aisfx]", "bench evaluators install aisfx"),
        ('["toy_evaluator:Roughness", "toy_evaluator:rough"]', "both give metrics called"),
    ],
)
def test_judges_that_cannot_be_used_end_the_command_before_anything_is_trained(
    home: Path, judges: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [part for setting in settings(home) for part in ("--set", setting)]
    out = ["--results", str(home / "bad"), "--work", str(home / "bad_work")]
    assert status(["run", "smoke", *options, "--set", f"evaluation.judges={judges}", *out]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (home / "bad_work").exists()


def test_a_judge_in_the_place_of_the_tagger_is_refused(home: Path) -> None:
    with pytest.raises(UserError, match="'logmel' is a judge, not an attribute tagger"):
        cells(home, "[]", "evaluation.evaluator=logmel")


def test_a_record_is_refused_where_its_judge_is_another_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = reference(home, f'["{ROUGH}"]'), reference(home, "[]")
    for cell in (new, old):
        check_content(cell, Path("record.json"))
    monkeypatch.setattr(Roughness, "identity", "r2")
    check_content(old, Path("record.json"))
    with pytest.raises(UserError, match=r"evaluation\.judges"):
        check_content(new, Path("record.json"))


def test_a_corpus_without_chords_has_no_row_of_sine_chords(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from paradigm_bench.benchmarks.axes.fidelity import cells as module

    assert "sine_chords" in {cell.system for cell in cells(home, "[]")}
    monkeypatch.setattr("paradigm_bench.benchmarks.study.baselines.have_chords", lambda clips: False)
    module._say_left_out.cache_clear()
    left = {cell.system for cell in cells(home, "[]")}
    cells(home, "[]")
    assert {"retrieved", "noise"} <= left
    assert "sine_chords" not in left
    assert capsys.readouterr().err.count("no row 'sine_chords': not every prompt has annotated chords") == 1


def test_reward_and_judge_at_once_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells(home, "[]", f"evaluation.reward=clap_builtin:{home / 'evaluator'}")
    assert "is reward and evaluator at once" in capsys.readouterr().err
    cells(home, f'["{ROUGH}"]', f"evaluation.reward=clap_{ROUGH}")
    assert "is reward and judge at once" in capsys.readouterr().err


def test_what_an_arm_was_trained_against_is_declared_or_follows_from_its_reward() -> None:
    def against(**keys: object) -> frozenset[str]:
        return trained_against(a_record(cell={"axis": "fidelity", **keys}))

    assert against() == frozenset()
    assert against(trained_on=["musicnn", "fadtk_vggish"]) == {"musicnn", "fadtk_vggish"}
    assert against(tune={"reward": {"name": "clap_builtin:7", "identity": "x"}}) == {"builtin"}
    assert against(tune={"reward": {"name": "aesthetics", "identity": "x"}}, trained_on=["logmel"]) == {
        "audiobox", "logmel",
    }  # fmt: skip
    assert against(tune={"reward": {"name": "mine.py:bright", "identity": "x"}}) == frozenset()
    assert [evaluator_in(name) for name in ("clap_laion_clap:FILE", "clap_builtin", "other")] == [
        "laion_clap", "builtin", "",
    ]  # fmt: skip


def test_a_name_that_no_evaluator_has_cannot_be_declared(home: Path) -> None:
    def declared(names: str) -> list[Cell]:
        return cells(home, f'["{ROUGH}"]', f"arms=[{{paradigm: fm, trained_on: [{names}]}}]")

    with pytest.raises(UserError, match="did you mean 'musicnn'"):
        declared("musicn")
    with pytest.raises(UserError, match="no evaluator 'Roughness'"):
        declared("Roughness")
    assert declared("musicnn, fadtk_vggish, rough")[-1].config["trained_on"] == ["musicnn", "fadtk_vggish", "rough"]


def test_a_declaration_sets_no_two_arms_apart_but_judges_do() -> None:
    cell = {"axis": "fidelity", "model": {"paradigm": "fm"}, "evaluation": {"judges": [{"name": "a", "identity": "1"}]}}
    plain, declared = a_record(cell=cell), a_record(cell={**cell, "trained_on": ["a"]})
    other = a_record(cell={**cell, "evaluation": {"judges": [{"name": "a", "identity": "2"}]}})
    assert differences(plain, declared) == []
    assert differences(plain, declared, same_row=True) == ["trained_on"]
    assert differences(plain, other) == ["evaluation.judges"]


def test_studies_have_judges_by_default_and_the_three_that_are_published_have_all() -> None:
    assert EvaluationChoice().judges == ("musicnn", "logmel")
    assert EvaluationChoice().references[3:5] == ("retrieved", "sine_chords")
    for name in ("small_cpu", "control", "inpainting"):
        assert load_study(name).evaluation.judges == ("musicnn", "aisfx", "logmel")
    replicated = {name for name in study_names() if load_study(name).evaluation.replication}
    assert replicated == {  # small_cpu, and the studies that share cells with it
        "small_cpu", "codec_vs_vae", "head_size", "latent_normalisation", "mae_split", "mask_schedules", "masked_fm",
        "masked_fm_spans", "mntp_vs_ntp", "pretraining", "reference_parts", "skips_all_arms",
    }  # fmt: skip


def test_more_judges_take_more_time(home: Path) -> None:
    seconds = [
        published().measuring_seconds("fidelity", reference(home, judges).config)
        for judges in ("[]", "[logmel]", "[logmel, musicnn]")
    ]
    assert seconds[0] < seconds[1] < seconds[2]  # type: ignore[operator]
    rates, usual = published().judging, published().scoring["fidelity"]
    clips = 4 * 1.0  # prompts, seconds
    assert seconds[2] == pytest.approx(clips * (usual + rates["logmel"] + rates["musicnn"]))
    slow = reference(home, f'["{ROUGH}"]').config  # never timed
    assert published().measuring_seconds("fidelity", slow) == pytest.approx(clips * (usual + max(rates.values())))


def test_an_old_cell_reads_as_one_without_judges() -> None:
    old = {"axis": "fidelity", "evaluation": {"prompts": 4, "evaluator": {"name": "builtin", "identity": "1"}}}
    config = read_config(old, CellConfig)
    assert (config.evaluation.judges, config.evaluation.replication, config.trained_on) == ((), False, ())
    assert dataclasses.asdict(config)["evaluation"]["evaluator"]["name"] == "builtin"
