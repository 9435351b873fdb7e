"""The axes "control" and "inpainting" end to end at the smallest size, with the training that they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fidelity_toys import _own_cache, home, settings

from paradigm_bench.benchmarks.axes.control.axis import Control
from paradigm_bench.benchmarks.axes.control.measure import ControlGroup
from paradigm_bench.benchmarks.axes.fidelity.axis import Fidelity
from paradigm_bench.benchmarks.axes.fidelity.cells import data_of
from paradigm_bench.benchmarks.axes.inpainting.axis import Inpainting
from paradigm_bench.benchmarks.axes.inpainting.fill import EDITS, Span, drawn_spans, encode, fill, span_between
from paradigm_bench.benchmarks.axes.inpainting.measure import ContextSimilarity, InpaintingGroup
from paradigm_bench.benchmarks.evaluators.judges.logmel import LogMel
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import read_json
from paradigm_bench.corpora import load_corpus
from paradigm_bench.corpora.procedural.composition import TEMPI
from paradigm_bench.paradigms.pipeline import check_controls, load_model
from paradigm_bench.representations.latents.controls import timed_tokens
from paradigm_bench.representations.spec import LatentSpec

__all__ = ["_own_cache", "home"]  # fixtures
LATENT = LatentSpec("toy", 16_000, 25.0, 4)


def study(name: str, home: Path, *extra: str, paradigms: tuple[str, ...] = ()) -> Study:
    small = [*settings(home), "train.snapshots=[]", "controls.names=[chords_majmin, melody, drums]"]
    return load_study(name, [*small, *extra], paradigms)


@pytest.fixture(scope="module")
def measured(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Both axes measured for one arm, the references beside it; trained once."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(home / "cache"))
    context = Context("s", tmp_path_factory.mktemp("results"), home / "runs")
    found: dict[str, dict] = {}
    for axis, name in ((Control(), "control"), (Inpainting(), "inpainting")):
        extra = ["evaluation.judges=[logmel]", "evaluation.replication=true"] if name == "inpainting" else []
        cells = axis.expand(study(name, home, *extra, paradigms=("fm",)))
        axis.prepare(cells, context)
        for group in dict.fromkeys(cell.group for cell in cells):
            chosen = [cell for cell in cells if cell.group == group]
            opened = axis.open(chosen, context)
            found[f"{name} {group}"] = {
                "group": opened,
                "cells": chosen,
                "measured": {cell.title: opened.measure(cell) for cell in chosen},
            }
    monkeypatch.undo()
    return found


def of(measured: dict[str, dict], axis: str, kind: str) -> dict:
    return next(v for k, v in measured.items() if k.startswith(f"{axis} ") and v["cells"][0].kind == kind)


def test_scenarios_and_references_are_scored_by_the_same_code(measured: dict[str, dict]) -> None:
    arm, references = of(measured, "control", "paradigm"), of(measured, "control", "reference")
    labels = [cell.label for cell in arm["cells"]]
    assert labels == ["all", "chords_majmin only", "melody only", "drums only", "none", "wrong"]
    assert len({cell.id for cell in arm["cells"]}) == len(labels)
    wanted = {"chord_iou", "melody_chroma", "pitch_accuracy", "fad_builtin"}
    for part in (arm, references):
        for title, made in part["measured"].items():
            assert wanted <= set(made.metrics), title
            assert all(0 <= made.metrics[name].value <= 1 for name in wanted - {"fad_builtin"})
            rows = [row["chord_iou"] for row in made.items]
            assert np.nanmean(rows) == pytest.approx(made.metrics["chord_iou"].value)
    real, chance = (references["measured"][f"{name} seed 0"].metrics for name in ("real", "shuffled_captions"))
    assert real["chord_iou"].value > chance["chord_iou"].value + 0.3
    assert real["melody_chroma"].value == 1.0


def test_what_the_pictures_need_is_kept(measured: dict[str, dict]) -> None:
    arm = of(measured, "control", "paradigm")
    prompts, folder = [clip.id for clip in arm["group"].eval_set.prompts], arm["group"].context.results
    told = {
        cell.label: read_json(folder / arm["measured"][cell.title].artefacts["chords"])[prompts[0]]
        for cell in arm["cells"]
    }
    asked = told["all"]["prompt"]
    assert asked[-1][1] == pytest.approx(1.0)
    assert told["all"]["given"] == told["chords_majmin only"]["given"] == asked
    assert told["none"]["given"] is told["melody only"]["given"] is None
    others = [list(map(list, request.chords)) for request in arm["group"].scorer.targets[1:]]
    assert told["wrong"]["given"] in others
    assert told["wrong"]["prompt"] == asked
    spans = next(iter(of(measured, "inpainting", "paradigm")["measured"].values())).artefacts["spans"]
    group: InpaintingGroup = of(measured, "inpainting", "paradigm")["group"]
    assert read_json(folder / spans)[prompts[0]] == list(group.spans[0].boundaries)


def test_ar_tells_how_uncertain_it_is(home: Path, tmp_path: Path) -> None:
    cells = [c for c in Control().expand(study("control", home, paradigms=("ar",))) if c.kind == "paradigm"]
    group = Control().open(cells, Context("s", tmp_path, home / "runs"))
    made = group.measure(next(cell for cell in cells if cell.label == "none"))
    steps = (tmp_path / made.artefacts["entropy"]).read_text().splitlines()
    assert len(steps) == 1 + 25
    assert steps[0].startswith("step,n,sampled,")
    sampled, whole = (made.metrics[f"entropy_early{suffix}"].value for suffix in ("", "_whole"))
    assert sampled == pytest.approx(whole)  # top_k leaves out none of 16 codes
    assert 0 < sampled <= np.log(16) + 1e-6
    assert len(made.items) == made.metrics["entropy_early"].n == 4
    assert "entropy_late" not in made.metrics  # a second has but 25 steps


def test_wrong_controls_are_another_prompts(measured: dict[str, dict]) -> None:
    part = of(measured, "control", "paradigm")
    group: ControlGroup = part["group"]
    given = {cell.label: group.given_controls(cell) for cell in part["cells"]}
    assert given["none"] == {}
    assert list(given["melody only"]) == ["melody"]
    right, wrong = given["all"]["melody"], given["wrong"]["melody"]
    rows = [next(j for j in range(len(right)) if torch.equal(row, right[j])) for row in wrong]
    assert sorted(rows) == list(range(len(right)))
    assert all(i != j for i, j in enumerate(rows))


def test_what_is_known_comes_back_bit_for_bit(measured: dict[str, dict]) -> None:
    group: InpaintingGroup = of(measured, "inpainting", "paradigm")["group"]
    model = load_model(group.result.final).model
    target = encode(group.eval_set.prompt_audio_BN, model, group.data.representation, group.spans[0].frames)
    captions, seeds = [clip.caption for clip in group.eval_set.prompts], [1, 2, 3, 4]
    made = fill(model, group.data.text, captions, seeds, model.sampler({"steps": 2}), target, group.spans)
    for row, span in enumerate(group.spans):
        assert torch.equal(made[row][span.known], target[row][span.known])
        assert not torch.equal(made[row][~span.known], target[row][~span.known])


def test_inpainting_is_scored_in_whole_in_span_and_at_the_seams(measured: dict[str, dict]) -> None:
    references = of(measured, "inpainting", "reference")
    scores = {title.split()[0]: made.metrics for title, made in references["measured"].items()}
    arm = next(iter(of(measured, "inpainting", "paradigm")["measured"].values())).metrics
    wanted = {"fad_builtin", "kad_builtin_span", "kad_logmel", "kad_logmel_span", "band_level_logmel_span", "seam"}
    wanted |= {"seam_rank", "context_similarity_builtin", "context_similarity_logmel"}
    assert all(wanted <= set(metrics) for metrics in (*scores.values(), arm))
    assert set(scores) == {"real", "codec_continuous", "codec_quantised", "splice", "silence", "frozen"}
    for fault in ("splice", "silence", "frozen"):
        assert scores[fault]["seam_rank"].value > 0.9
        assert scores[fault]["seam"].value > scores["real"]["seam"].value + 0.2
    assert scores["real"]["kad_logmel_span"].better == scores["real"]["seam"].better == "lower"
    assert len(references["measured"]["real seed 0"].items) == 4
    rows = references["measured"]["splice seed 0"].items
    assert np.mean([row["seam"] for row in rows]) == pytest.approx(scores["splice"]["seam"].value)


def test_distances_of_spans_hear_the_span_with_equal_context_on_both_sides(measured: dict[str, dict]) -> None:
    group: InpaintingGroup = of(measured, "inpainting", "reference")["group"]
    held = group.span_eval_set
    assert held.context == pytest.approx(0.1)  # the margin, which is less than half of the span of 0.5 s
    clips = group.eval_set.prompt_audio_BN
    for clip, crop, span in zip(clips, held.crops.prompt_audio_BN, group.spans):
        inside = span.samples(16_000)
        assert len(crop) == inside.stop - inside.start + 2 * 1_600  # 12 frames, and the margin twice
        begin = min(max(span.samples(16_000).start - 1_600, 0), 16_000 - len(crop))
        assert np.array_equal(crop, clip[begin : begin + len(crop)])


def test_similarity_to_the_context_is_that_of_the_clip_not_of_the_system(measured: dict[str, dict]) -> None:
    """Spans with their own surroundings are alike, with another clip's they are not, whatever all clips share."""
    references = of(measured, "inpainting", "reference")["measured"]
    own, other = (references[f"{name} seed 0"].metrics["context_similarity_logmel"] for name in ("real", "splice"))
    assert own.value > other.value + 0.3
    group: InpaintingGroup = of(measured, "inpainting", "reference")["group"]
    similarity = ContextSimilarity(Offset(), 16_000)
    audio = group.eval_set.prompt_audio_BN
    expected = similarity.of(audio, group.spans)
    Offset.shared = 1e3  # as a codec might add to all embeddings
    assert similarity.of(audio, group.spans) == pytest.approx(expected, abs=1e-6)
    assert similarity.of(np.zeros_like(audio), group.spans).tolist() == [0.0] * 4


class Offset(LogMel):
    """Log-mel embeddings with something that all clips share."""

    shared = 0.0

    def embed(self, audio: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        return super().embed(audio, sample_rate) + self.shared


def test_copies_of_training_clips_are_looked_for(measured: dict[str, dict]) -> None:
    references = of(measured, "inpainting", "reference")
    real = references["measured"]["real seed 0"]
    assert 0 < real.metrics["replication_alignment"].value < 1
    told = real.environment["scoring"]["replication"]
    assert told["training_clips"] == 12
    assert len(told["closest"]) == 3
    assert {row["replication_share_musicnn"] for row in real.items} <= {0.0, 1.0}
    assert "replication/1/training" not in real.artefacts
    arms = of(measured, "inpainting", "paradigm")
    (fm,) = [found for name, found in arms["measured"].items() if name.startswith("fm seed")]
    assert (arms["group"].context.results / fm.artefacts["replication/1/training"]).is_file()
    assert "replication_alignment" not in of(measured, "control", "reference")["measured"]["real seed 0"].metrics


def test_edits_touch_the_span_alone() -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 16_000)).astype(np.float32)
    spans = drawn_spans(list("abcd"), 1.0, 0.5, 0.1, LATENT, "test")
    for name, edit in EDITS.items():
        edited = edit(audio, spans, 16_000, 0)
        for row, span in enumerate(spans):
            inside = np.zeros(16_000, bool)
            inside[span.samples(16_000)] = True
            assert np.array_equal(edited[row][~inside], audio[row][~inside]), name
            assert not np.array_equal(edited[row][inside], audio[row][inside]), name


def test_one_training_run_serves_both_axes(home: Path, measured: dict[str, dict]) -> None:
    groups = {of(measured, axis, "paradigm")["cells"][0].group for axis in ("control", "inpainting")}
    assert len(groups) == 1
    plain = Fidelity().expand(load_study("smoke", settings(home), ("fm",)))
    assert "controls" not in plain[-1].config["model"]  # cells of other studies keep their identity


def test_spans_lie_inside_and_keep_their_margins() -> None:
    spans = drawn_spans([f"clip{i}" for i in range(300)], 10.0, 5.0, 1.0, LATENT, "test")
    assert {span.end - span.start for span in spans} == {125}
    assert min(span.start for span in spans) == 25
    assert max(span.end for span in spans) == 225
    assert np.std([span.start for span in spans]) > 0.9 * 75 / np.sqrt(12)  # uniform over 25..100


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (3, 11, "--to is 11 s but the file lasts 10 s"),
        (-1, 2, "--from is -1 s"),
        (4, 4, "must come before --to"),
        (4, 4.01, "shorter than a latent frame"),
        (0, 10, "the whole clip"),
    ],
)
def test_a_mask_outside_the_clip_is_refused(start: float, end: float, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        span_between(start, end, 10.0, LATENT, "in.wav")
    assert span_between(3, 8, 10.0, LATENT, "in.wav") == Span(75, 200, 250, 25.0)


def test_a_span_that_does_not_fit_names_the_study(home: Path) -> None:
    with pytest.raises(UserError, match=r"study inpainting: inpainting: a span of 0.9 s and 0.1 s on both sides"):
        Inpainting().expand(study("inpainting", home, "inpainting.seconds=0.9", paradigms=("fm",)))


def test_controls_that_a_model_cannot_read_are_named(measured: dict[str, dict]) -> None:
    group: ControlGroup = of(measured, "control", "paradigm")["group"]
    model = load_model(group.result.final).model
    good = torch.zeros(2, 25, dtype=torch.int64)
    check_controls(model, {"melody": good}, 2, 25)
    with pytest.raises(
        UserError, match=r"control 'chords': this fm model was not trained with it; it has chords_majmin"
    ):
        check_controls(model, {"chords": good}, 2, 25)
    with pytest.raises(UserError, match=r"control 'melody': tokens of shape 2 x 25; expected 2 clips x 24 frames"):
        check_controls(model, {"melody": good}, 2, 24)
    with pytest.raises(UserError, match="token 54 is not below 54"):
        check_controls(model, {"melody": good + 54}, 2, 25)


def test_bad_control_studies_are_refused(home: Path) -> None:
    with pytest.raises(UserError, match=r"controls.names is empty"):
        Control().expand(study("control", home, "controls.names=[]"))
    with pytest.raises(UserError, match=r"unknown control 'melodie' \(did you mean 'melody'"):
        Control().expand(study("control", home, "controls.names=[melodie]"))
    with pytest.raises(UserError, match="'singel' is not one of"):
        study("control", home, "controls.scenarios=[singel]")
    with pytest.raises(UserError, match=r"unknown chord extractor 'template'"):
        Control().expand(study("control", home, "controls.chords=template"))


@pytest.mark.parametrize("name", ["control", "inpainting"])
def test_the_caption_does_not_give_the_drums_away(name: str) -> None:
    """A crop may begin anywhere in a bar of the slowest tempo, so one caption has as many drum controls as frames."""
    asked = load_study(name)
    room = asked.corpus.seconds - asked.train.seconds
    assert room >= 4 * 60 / min(TEMPI)
    clips = load_corpus("builtin", clips=40, seconds=asked.corpus.seconds).clips("train")
    clip = next(c for c in clips if (c.attributes["drums"], c.attributes["tempo"]) == ("rock", "under 90"))
    tokens_T = timed_tokens(clip, "drums_kit", LATENT, 200)
    crops = {tuple(tokens_T[start : start + 100].tolist()) for start in range(round(25 * room) + 1)}
    assert len(crops) == 75  # frames in a bar of four beats at 80 BPM


def test_latents_are_encoded_with_the_controls(home: Path) -> None:
    cell = next(c for c in Control().expand(study("control", home, paradigms=("fm",))) if c.kind == "paradigm")
    data = data_of(cell)
    assert data.store is not None
    split = data.store.split("train")
    assert set(split.controls) == {"chords_majmin", "melody", "drums"}
    assert [len(row) for row in split.controls["drums"]] == [len(z) for z in split.z]


def test_one_file_is_filled_and_chords_are_asked_for_by_the_command_line(
    home: Path, measured: dict[str, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    from paradigm_bench.benchmarks.cli.main import status

    group: ControlGroup = of(measured, "control", "paradigm")["group"]
    source, out, final = tmp_path / "in.wav", tmp_path / "out.wav", str(group.result.final)
    stereo = np.stack([group.eval_set.prompt_audio_BN[0]] * 2, axis=1).repeat(2, axis=0)  # 32 kHz, two channels
    soundfile.write(source, stereo, 32_000)
    command = ["inpaint", str(source), "--prompt", "a calm tune", "--checkpoint", final, "-o", str(out)]
    command += ["--set", "steps=2"]
    assert status([*command, "--from", "0.2", "--to", "0.6"]) == 0
    told = capsys.readouterr().out
    assert "0.2 to 0.6 s of 1 s filled" in told
    assert "mono, 16000 Hz (resampled from 32000 Hz, mixed down from 2 channels)" in told
    assert soundfile.info(out).frames == 16_000
    out.unlink()
    assert status([*command, "--from", "0.2", "--to", "1.6"]) == 2
    assert f"{source}: --to is 1.6 s but the file lasts 1 s" in capsys.readouterr().err
    for samples, problem in ((0, "holds no samples"), (32_000, "the file is silent")):
        soundfile.write(source, np.zeros((samples, 1)), 32_000)
        assert status([*command, "--from", "0.2", "--to", "0.6"]) == 2
        error = capsys.readouterr().err
        assert str(source) in error
        assert problem in error
        assert "row" not in error  # of no manifest
    assert not out.exists()

    sample = ["sample", "--prompt", "a calm tune", "--checkpoint", final, "-o", str(out), "--set", "steps=2"]
    assert status([*sample, "--chords", "C:2 Am:2"]) == 0
    assert soundfile.info(out).frames == 16_000
    out.unlink()
    assert status([*sample, "--chords", "C:2 Hm:2"]) == 2
    assert "unknown chord label 'Hm'" in capsys.readouterr().err
    for extra, problem in (
        (["--chords", " "], "nothing given"), (["--chords", "C:1", "--tempo", "1e9"], "--tempo is 1e+09"),
        (["--chords", "C:1", "--seconds", "0.001"], "a clip of 0.001 s is shorter than a latent frame, 0.04 s"),
        (["--seconds", "nan"], "--seconds"),
    ):  # fmt: skip
        assert status([*sample, *extra]) == 2
        assert problem in capsys.readouterr().err
    assert not out.exists()
