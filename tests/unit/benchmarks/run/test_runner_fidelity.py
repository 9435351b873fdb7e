"""The fidelity axis end to end at the smallest size: an untrained codec, a hardly trained evaluator, two updates."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fidelity_toys import SECONDS, _own_cache, home, settings

from paradigm_bench.benchmarks.analysis.records import load_records, read_items
from paradigm_bench.benchmarks.axes.eval_set import eligible, load_evaluators, make_eval_set
from paradigm_bench.benchmarks.axes.fidelity.axis import Fidelity
from paradigm_bench.benchmarks.axes.fidelity.cells import data_of
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.cells import Cell, CellConfig, check_distinct
from paradigm_bench.benchmarks.study.load import STUDIES, load_study
from paradigm_bench.benchmarks.study.references import REFERENCES, ReferenceContext
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.common.errors import UserError
from paradigm_bench.paradigms.pipeline import generate, load_model
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig, save_codec
from paradigm_bench.training.trained import training_folder, untuned

__all__ = ["_own_cache", "home"]  # fixtures


def tiny_study(home: Path, *extra: str, paradigms: tuple[str, ...] = ("ar", "fm")) -> Study:
    return load_study("smoke", [*settings(home), *extra], paradigms)


def cells_of(study: Study, system: str) -> list[Cell]:
    return [cell for cell in Fidelity().expand(study) if cell.system == system]


def test_the_whole_job_by_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--results", str(home / "results"), "--work", str(home / "runs")]
    options = [part for setting in settings(home) for part in ("--set", setting)]
    command = ["run", "smoke", "-p", "ar", "-p", "fm", *options, *folders]
    assert status(command) == 0
    table = capsys.readouterr().out
    assert all(system in table for system in ("ar", "fm", *REFERENCES))
    records, problems = load_records(home / "results" / "smoke")
    assert not problems
    assert {record.status for record in records} == {"ok"}
    assert len(records) == len(REFERENCES) + 2 * 2
    arm = next(record for record in records if record.system == "fm")
    scoring, shares = arm.environment["scoring"], read_items(home / "results" / "smoke", arm)
    assert (scoring["seconds"], scoring["n_reference"], scoring["policy"]["peak_dbfs"]) == (SECONDS, 4, -1.0)
    assert scoring["not_scored"]["coverage"] == "4 clips, it needs 6"
    for name in ("fad_builtin", "kad_builtin", "mad_builtin", "is_builtin"):
        assert np.mean([share[name] for share in shares]) == pytest.approx(arm.metrics[name].value, rel=1e-4, abs=1e-4)
    text = (home / "results" / "smoke" / "README.md").read_text()
    assert str(home) not in json.dumps([record.cell for record in records])
    assert re.search(r"\| fm §? ?\| 4 \|", text)  # § where the sizes of the arms differ

    assert status(command) == 0  # everything is there: no record is added
    assert len(load_records(home / "results" / "smoke")[0]) == len(records)

    final = next((home / "runs").glob("fm-*/final"))
    clip = home / "clip.wav"
    assert (
        status(["sample", "--prompt", "a calm tune", "--checkpoint", str(final), "-o", str(clip), "--set", "steps=2"])
        == 0
    )
    import soundfile

    audio, rate = soundfile.read(clip)
    assert len(audio) == SECONDS * rate
    assert status(["sample", "--prompt", "x", "--checkpoint", str(final), "--set", "stps=2"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err


def test_a_second_study_takes_over_the_cells_it_shares_and_all_repeat_from_scratch(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, out = home / "shared", ["--work", str(home / "runs")]
    options = [part for setting in settings(home) for part in ("--set", setting)]
    command = ["run", "smoke", *options, "--results", str(results), *out]
    monkeypatch.setattr("sys.argv", ["bench", *command, "-p", "fm"])  # what the records will name as their command
    assert status([*command, "-p", "fm"]) == 0
    arm = "arms=[{paradigm: fm, label: flow, sampler: {steps: 4}}]"
    for setting in ("name=second", arm, "seeds=[0, 1]", "evaluation.references=[real]"):
        command += ["--set", setting]
    capsys.readouterr()
    assert status([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("in smoke") == 3
    monkeypatch.setattr("sys.argv", ["bench", *command])
    assert status(command) == 0
    assert (
        "2 cells to measure; 3 cells already measured, skipped; 3 records taken over from study smoke"
        in capsys.readouterr().err
    )
    records = load_records(results / "second")[0]
    assert {(r.system, r.seed, r.at_updates) for r in records if r.origin} == {
        ("real", 0, None), ("flow", 0, 1), ("flow", 0, 2),
    }  # fmt: skip
    final = next(r for r in records if r.origin and r.at_updates == 2)
    assert json.loads((results / final.origin).read_text())["system"] == "fm"
    assert final.artefacts["items"] == f"records/{final.stem}.items.csv"
    audio = [path for name, path in final.artefacts.items() if name.startswith("audio/")]
    assert audio
    assert all(path.startswith("../smoke/") and (results / "second" / path).is_file() for path in audio)
    assert "| flow |" in (results / "second" / "README.md").read_text()
    own = next(r for r in records if not r.origin and r.at_updates == 1)
    for record, options in ((own, ["--fresh"]), (final, ["--work", str(home / "runs")])):
        assert status(["verify", str(results / "second" / "records" / f"{record.stem}.json"), *options]) == 0
        assert re.search(r"(\d+) of \1 metrics repeat to the last digit", capsys.readouterr().out)


def test_a_record_verifies_without_its_study_and_command_but_not_with_another_codec(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results, codec = tmp_path / "mine.yaml", tmp_path / "results", tmp_path / "codec"
    study.write_text((STUDIES / "smoke.yaml").read_text().replace("name: smoke", "name: mine"))
    shutil.copytree(home / "codec", codec)
    options = [part for setting in settings(home) for part in ("--set", setting)]
    folders = ["--results", str(results), "--work", str(home / "runs")]
    monkeypatch.setattr("sys.argv", ["bench", "nonsense"])
    assert status(["run", str(study), "-p", "fm", *options, "--set", f"representation={codec}", *folders]) == 0
    study.unlink()
    records = load_records(results / "mine")[0]
    chosen = [next(r for r in records if r.system == "fm"), next(r for r in records if r.system == "codec_quantised")]
    capsys.readouterr()
    for record in chosen:
        path = results / "mine" / "records" / f"{record.stem}.json"
        assert status(["verify", str(path), "--work", str(home / "runs")]) == 0
        assert re.search(r"(\d+) of \1 metrics repeat to the last digit", capsys.readouterr().out)
    torch.manual_seed(1)
    shutil.rmtree(codec)
    save_codec(BuiltinCodec(dataclasses.replace(CodecConfig(), width=16, codebooks=2, cardinality=16)), codec, {})
    assert status(["verify", str(path), "--work", str(home / "runs")]) == 2
    told = capsys.readouterr().err
    assert "cannot be repeated here, for its content differs: data.representation.fingerprint" in told


def test_a_clip_depends_on_its_seed_and_prompt_not_on_its_batch(home: Path) -> None:
    from paradigm_bench.training.trained import train_system

    (cell,) = [c for c in cells_of(tiny_study(home, paradigms=("fm",)), "fm") if c.at_updates == 2]
    result, training = train_system(cell.config, data_of(cell), home / "runs", lambda done, text: None)
    assert training.updates == 2
    loaded = load_model(result.final)
    sampler = loaded.model.sampler({"steps": 2})
    captions, seeds = ["a calm tune", "a much longer caption of a fast tune in C major", "drums"], [1, 2, 3]
    made = [
        generate(loaded.model, loaded.representation, loaded.text, captions, seeds, sampler, SECONDS, batch).audio_BN
        for batch in (1, 2, 3)
    ]
    np.testing.assert_allclose(made[0], made[1], atol=1e-4)
    np.testing.assert_allclose(made[0], made[2], atol=1e-4)
    again = generate(loaded.model, loaded.representation, loaded.text, captions[:1], [4], sampler, SECONDS).audio_BN
    assert np.abs(again - made[0][:1]).max() > 1e-3


def test_identity_covers_what_decides_a_result_and_nothing_else(home: Path) -> None:
    base = cells_of(tiny_study(home), "fm")[-1]
    for change in ("train.lr=2e-3", "evaluation.prompts=3", "backbone.overrides.n_layers=2", "corpus.seed=1"):
        assert cells_of(tiny_study(home, change), "fm")[-1].id != base.id, change
    for same in ("evaluation.batch=2", "evaluation.keep_audio=0", "jobs=2", "title=Other"):
        assert cells_of(tiny_study(home, same), "fm")[-1].id == base.id, same
    sampler = tiny_study(home, "arms=[{paradigm: fm, sampler: {steps: 7}}]", paradigms=())
    other = cells_of(sampler, "fm")[-1]
    assert other.id != base.id
    assert other.group == base.group  # another sampler, the same weights


def test_the_same_arm_under_two_labels_is_refused(home: Path) -> None:
    study = tiny_study(home, "arms=[fm, {paradigm: fm, label: twin}]", paradigms=())
    with pytest.raises(UserError, match="the same measurement"):
        check_distinct(Fidelity().expand(study), study.name)


def test_prompts_and_reference_set_are_disjoint_and_equally_many(home: Path) -> None:
    cell = cells_of(tiny_study(home), "real")[0]
    data = data_of(cell)
    evaluators = load_evaluators(cell.how, data.corpus, data.representation)
    eval_set = make_eval_set(cell.read(CellConfig).evaluation, evaluators, data.corpus)
    ordered = [clip.id for clip in eligible(data.corpus, "test", SECONDS)]
    assert [clip.id for clip in eval_set.prompts] == ordered[:4]
    assert len(eval_set.tagger.reference.embeddings) == len(eval_set.prompts) == 4
    assert not np.allclose(eval_set.tagger.reference.embeddings, eval_set.tagger.prompts.embeddings)


def test_references_are_what_their_names_say(home: Path) -> None:
    data = data_of(cells_of(tiny_study(home), "real")[0])
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 1280)).astype(np.float32)
    prompts = eligible(data.corpus, "test", SECONDS)[:5]
    context = ReferenceContext(prompts, audio, (0.0,) * 5, data.corpus, data.representation, 16_000, 0)
    made = {name: make(context) for name, make in REFERENCES.items()}
    assert {name: wav.shape for name, wav in made.items()} == dict.fromkeys(REFERENCES, audio.shape)
    assert not made["silence"].any()
    np.testing.assert_allclose(np.square(made["noise"]).mean(1), np.square(audio).mean(1), rtol=0.2)
    shuffled = [next(j for j in range(5) if np.array_equal(row, audio[j])) for row in made["shuffled_captions"]]
    assert sorted(shuffled) == list(range(5))
    assert all(i != j for i, j in enumerate(shuffled))
    assert not np.allclose(made["codec_continuous"], made["codec_quantised"])


def test_too_few_clips_to_judge_by_is_a_clear_error(home: Path) -> None:
    with pytest.raises(UserError, match="add clips or lower"):
        Fidelity().expand(tiny_study(home, "train.seconds=30.0"))


def test_unknown_reference_gets_the_nearest_name(home: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'silence'\?"):
        Fidelity().expand(tiny_study(home, "evaluation.references=[silense]"))


def test_a_group_that_cannot_train_fails_alone(home: Path) -> None:
    study = tiny_study(home, "train.lr=1e30", "train.clip_norm=1e30", paradigms=("fm",))
    cells = cells_of(study, "fm")
    context = Context("s", home / "diverged", home / "runs")
    with pytest.raises(UserError, match="loss"):
        Fidelity().open(cells, context)


def test_a_tuned_arm_is_scored_beside_the_one_it_started_from(home: Path, tmp_path: Path) -> None:
    fm, short = "paradigm: fm, sampler: {steps: 2}", "{tau: 5.0, rounds: 1, clips: 4, watched: 2, updates: 1, batch: 2}"
    arms = f"arms=[{{{fm}}}, {{{fm}, label: tuned, tune: {short}}}]"
    study = load_study("smoke", [*settings(home), arms, f"evaluation.reward=clap_builtin:{home / 'evaluator'}"])
    *_, plain = cells_of(study, "fm")
    (tuned,) = cells_of(study, "tuned")
    assert training_folder(untuned(tuned.config)) == plain.group != tuned.group
    assert tuned.config["evaluation"]["reward"]["name"] == "clap_builtin:evaluator"
    group = Fidelity().open([tuned], Context("s", tmp_path / "results", tmp_path / "runs"))
    made = group.measure(tuned)
    assert {"reward", "clap_builtin"} <= set(made.metrics)
    # Reward and judge are one evaluator here, which expanding the study says.
    assert made.metrics["reward"].value == pytest.approx(made.metrics["clap_builtin"].value)
    assert made.environment["tuning"]["kept_round"] == 1
    assert made.environment["tuning"]["distance"][0] == 0 < made.environment["tuning"]["distance"][1]
    assert made.training is not None
    assert (made.training.updates, made.training.tokens) == (3, 2 * 2 * 25 + 1 * 2 * 25)
    assert (tmp_path / "runs" / tuned.group / "final" / "model.json").exists()


def test_pretraining_hears_a_corpus_without_captions_and_nothing_else_may(home: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    audio = tmp_path / "audio"
    audio.mkdir()
    for i in range(4):
        soundfile.write(audio / f"{i}.wav", 0.1 * np.sin(np.arange(24_000) * (i + 1) / 20), 16_000)
    (audio / "manifest.csv").write_text("path\n" + "".join(f"{i}.wav\n" for i in range(4)))
    base = ("train.updates=4", "train.snapshots=[2]")
    before = (*base, f"pretraining_corpus.spec={audio}")
    plain, unheard, heard, own = (
        cells_of(tiny_study(home, *extra, paradigms=("fm",)), "fm")
        for extra in (base, before, (*before, "train.pretraining=2"), (*base, "train.pretraining=2"))
    )
    assert [cell.id for cell in unheard] == [cell.id for cell in plain]
    assert len({plain[0].group, heard[0].group, own[0].group}) == 3
    assert heard[0].config["model"]["pretraining_corpus"]["name"] == "audio"
    assert str(tmp_path) not in str(heard[0].config)
    made = Fidelity().open(heard, Context("s", tmp_path / "results", tmp_path / "runs"))
    assert made.training.updates == 4
    with pytest.raises(UserError, match=r"manifest.csv: no column 'caption'; found: path; add it"):
        cells_of(load_study("smoke", [*settings(home), f"corpus={{spec: {audio}}}"], ("fm",)), "fm")
