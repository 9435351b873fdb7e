"""``bench score``: bad files, what is said of the sets, and digits that no name, order, batch or process changes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.analysis import validation
from paradigm_bench.benchmarks.analysis.validation import Validation
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.cli.score import evaluators_asked, validation_notes
from paradigm_bench.benchmarks.evaluators import builtin
from paradigm_bench.benchmarks.evaluators.cache import CachedEvaluator
from paradigm_bench.benchmarks.evaluators.folders import decode, outputs, score
from paradigm_bench.benchmarks.evaluators.folders.outputs import FileTask, evaluate_files
from paradigm_bench.benchmarks.evaluators.folders.score import FolderScores, ScoreRequest, score_folders
from paradigm_bench.benchmarks.study.cells import Content, Identity
from paradigm_bench.common.errors import UserError

RATE, N = 16_000, 16
PANEL = ("builtin", "logmel")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))


def sound(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.arange(RATE) / RATE
    return 0.4 * np.sin(2 * np.pi * rng.uniform(100, 1000) * times) + rng.normal(0, 0.02, RATE)


def fill(folder: Path, first: int, n: int = N, name: str = "clip{:02d}.wav") -> Path:
    folder.mkdir(parents=True)
    for i in range(n):
        soundfile.write(
            folder / name.format(i), sound(first + i), RATE, subtype="FLOAT" if name.endswith(".wav") else None
        )
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return fill(tmp_path / "real", 0), fill(tmp_path / "made", 100)


def scored(*folders: Path, evaluators: tuple[str, ...] = PANEL, **settings: Any) -> FolderScores:
    """Scores by two fast evaluators."""
    at_once = {"at_once": settings.pop("at_once")} if "at_once" in settings else {}
    return score_folders(ScoreRequest(*folders, evaluators=evaluators, **settings), **at_once)


def metrics(found: FolderScores) -> dict[str, tuple[float | None, ...]]:
    return {name: (m.value, m.low, m.high) for name, m in found.metrics.items()}


def test_namesakes_are_pairs_whatever_their_format_and_others_are_two_sets(tmp_path: Path) -> None:
    real, made = fill(tmp_path / "real", 0), fill(tmp_path / "made", 0, name="clip{:02d}.flac")
    found = scored(real, made)
    assert found.policy["paired_by_name"]
    assert found.metrics["kl_builtin"].value == pytest.approx(0.0, abs=0.05)
    assert found.metrics["fad_builtin"].n == N
    other = fill(tmp_path / "other", 0, n=N // 2, name="song{:02d}.ogg")
    for i in range(N // 2, N):
        soundfile.write(other / f"song{i}.mp3", sound(i), RATE)
    unpaired = scored(real, other)
    assert not unpaired.policy["paired_by_name"]
    assert "kl_builtin" not in unpaired.metrics
    assert unpaired.policy["policy"]["peak_dbfs"] == -1.0


def test_no_digit_depends_on_names_order_batch_or_memory(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, made = folders
    panel = ("builtin", "musicnn", "logmel")
    first = scored(real, made, evaluators=panel)
    order = np.random.default_rng(0).permutation(N)
    for folder in folders:  # rename pairs alike: another order on disk
        renamed = tmp_path / f"{folder.name}_renamed"
        renamed.mkdir()
        for i, path in enumerate(sorted(folder.iterdir())):
            shutil.copy(path, renamed / f"x{order[i]:02d}.wav")
    again = scored(tmp_path / "real_renamed", tmp_path / "made_renamed", evaluators=panel, at_once=5)
    assert metrics(again) == metrics(first)
    shutil.rmtree(tmp_path / "cache")
    fresh = scored(real, made, evaluators=panel, at_once=1)
    assert metrics(fresh) == metrics(first)


def test_processes_give_the_same_outputs(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [FileTask(path) for path in sorted(folders[0].iterdir())[:4]]
    alone = evaluate_files(tasks, PANEL, 1, lambda done: None)
    monkeypatch.setattr("paradigm_bench.benchmarks.evaluators.folders.outputs.WORTH_A_PROCESS", 2)
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(folders[0].parent / "other_cache"))
    together = evaluate_files(tasks, PANEL, 2, lambda done: None, at_once=1)
    assert [one.digest for one in together] == [one.digest for one in alone]
    for a, b in zip(alone, together):
        assert set(a.rows) == set(b.rows) == set(PANEL)
        for name in PANEL:
            np.testing.assert_array_equal(a.rows[name]["embedding"], b.rows[name]["embedding"])


def test_regenerated_audio_is_never_scored_by_its_old_name(folders: tuple[Path, Path]) -> None:
    real, made = folders
    before = scored(real, made)
    shutil.copy(real / "clip00.wav", made / "clip00.wav")
    after = scored(real, made)
    assert metrics(after)["fad_builtin"] != metrics(before)["fad_builtin"]
    assert after.policy["content_generated"] != before.policy["content_generated"]
    assert sorted(path.name for path in made.iterdir()) == [f"clip{i:02d}.wav" for i in range(N)]  # nothing beside them


def test_bad_files_are_left_out_with_their_partners_and_named(folders: tuple[Path, Path]) -> None:
    real, made = folders
    (made / "clip01.wav").write_bytes(b"RIFF nonsense")
    soundfile.write(made / "clip02.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(real / "clip03.wav", sound(3)[:100], RATE)
    soundfile.write(made / "clip04.wav", np.zeros(RATE), RATE)
    found = scored(real, made)
    text = "\n".join(found.notes)
    assert "clip01.wav: cannot be decoded" in text
    assert "clip02.wav: holds NaN or infinity" in text
    assert "clip03.wav: lasts 0.006 s" in text
    assert f"scored {N - 3} of {N} clips of each set" in text
    assert f"generated: 1 of {N - 3} clips silent" in text
    assert found.policy["silent_clips_generated"] == 1
    assert found.metrics["fad_builtin"].n == found.policy["n_reference"] == N - 3
    with pytest.raises(UserError, match=r"clip0\d.wav: .*--strict"):
        scored(real, made, strict=True)


def test_a_reference_of_copies_leaves_every_metric_but_the_kernel_distance(folders: tuple[Path, Path]) -> None:
    real, made = folders
    for i in range(1, N - 2):
        shutil.copy(real / "clip00.wav", real / f"clip{i:02d}.wav")
    found = scored(real, made)
    assert "most items are identical" in found.policy["not_scored"]["kad_logmel"]
    assert "kad_logmel" not in found.metrics
    assert {"fad_logmel", "mad_logmel", "precision_logmel", "band_level_logmel", "kl_builtin"} <= set(found.metrics)
    assert all(np.isfinite(m.value) for m in found.metrics.values() if m.value is not None)
    assert any(note.startswith("reference: 13 exact copies of another clip: clip01 of clip00") for note in found.notes)


def test_what_two_sets_share_and_how_they_differ_is_said(folders: tuple[Path, Path]) -> None:
    real, made = folders
    shutil.copy(real / "clip03.wav", made / "clip08.wav")
    for path in made.glob("clip1*.wav"):
        soundfile.write(path, 0.2 * soundfile.read(path)[0], RATE, subtype="FLOAT")
    (made / "clip05.wav").write_bytes((made / "clip05.wav").read_bytes()[: RATE * 4 // 2])
    text = "\n".join(scored(real, made).notes)
    assert "doubtful: 1 generated clip also in the reference, sample by sample: clip08 is clip03" in text
    assert "generated: 1 file truncated, scored as far as they go: clip05 (its header declares 1.00 s" in text
    assert "doubtful: generated clips last between" in text
    assert "levels of the mono clips, medians: reference -" in text
    with pytest.raises(UserError, match=r"clip05.wav: its header declares 1.00 s, .* --strict"):
        scored(real, made, strict=True)
    for path in made.glob("*.wav"):
        soundfile.write(path, 0.2 * soundfile.read(path)[0], RATE, subtype="FLOAT")
    text = "\n".join(scored(real, made).notes)
    assert "doubtful: the loudness of generated clips is " in text
    assert " dB lower than of reference ones" in text


def test_each_file_is_decoded_once_for_all_evaluators(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = Counter[Path]()

    def read(path: Path) -> decode.Waveform:
        decoded[path] += 1
        return decode.read_audio(path)

    monkeypatch.setattr(outputs, "read_audio", read)
    scored(*folders)
    assert set(decoded.values()) == {1}
    assert len(decoded) == 2 * N


def test_unequal_sets_are_seen_before_a_file_is_decoded(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = folders
    for path in list(made.iterdir()):
        path.rename(made / f"other{path.name}")
    (real / "clip00.wav").unlink()
    monkeypatch.setattr(outputs, "read_audio", pytest.fail)
    monkeypatch.setattr(score, "open_evaluators", pytest.fail)
    with pytest.raises(UserError, match=r"15 reference files, 16 generated: .* --n 15"):
        scored(real, made)


def test_only_the_clips_that_are_drawn_are_evaluated(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    evaluate = CachedEvaluator.evaluate

    def counted(self: CachedEvaluator, audio: Any, *rest: Any) -> Any:
        heard.append(len(audio))
        return evaluate(self, audio, *rest)

    monkeypatch.setattr(CachedEvaluator, "evaluate", counted)
    few = scored(*folders, evaluators=("logmel",), n=6)
    assert sum(heard) == 12
    assert few.metrics["kad_logmel"].n == 6


def test_unequal_sets_are_refused_or_drawn(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, _ = folders
    few = fill(tmp_path / "few", 200, n=8, name="other{:02d}.wav")
    with pytest.raises(UserError, match=r"16 reference files, 8 generated.* --n 8"):
        scored(real, few)
    drawn = scored(real, few, n=8)
    assert drawn.policy["n_reference"] == drawn.policy["n_generated"] == 8
    assert drawn.policy["not_scored"]["fad_inf_builtin"] == "8 clips, it needs 16"
    for path in list(few.iterdir()):
        path.rename(few / path.name.replace("other", "clip"))
    paired = scored(real, few)
    assert any("8 reference and 0 generated files" in note for note in paired.notes)
    with pytest.raises(UserError, match="only 8 files of each set"):
        scored(real, few, n=9)


def test_sets_of_other_rates_or_lengths_are_doubtful(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, _ = folders
    odd = tmp_path / "odd"
    odd.mkdir()
    for i in range(N):
        soundfile.write(odd / f"clip{i:02d}.wav", np.stack([sound(i)[: RATE // 2]] * 2, axis=1), 8000)
    text = "\n".join(scored(real, odd).notes)
    assert "last 1 s, generated ones 1 s" not in text
    assert "16000 and 8000 Hz" in text
    short = fill(tmp_path / "short", 300, n=2)
    for path in short.iterdir():
        soundfile.write(path, sound(1)[: RATE // 4], RATE)
    text = "\n".join(scored(real, short).notes)
    assert "reference clips last 1 s, generated ones 0.25 s" in text
    assert "1 exact copy of another clip" in text


def test_the_command_prints_a_table_and_writes_json(folders: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    real, made = folders
    captions = real.parent / "captions.csv"
    rows = "".join(f"clip{i:02d}.wav,a calm tune number {i}\n" for i in range(N))
    captions.write_text("path,caption\n" + rows)
    out = real.parent / "scores.json"
    command = ["score", "--reference", str(real), "--generated", str(made), "--jobs", "1", "--judges", "logmel"]
    assert status([*command, "--captions", str(captions), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "kad_logmel ↓" in printed
    assert "clap_builtin ↑" in printed
    assert "fad_builtin" not in printed
    assert "builtin is an attribute tagger: its distances measure no fidelity" in printed
    assert "not validated on this audio: " in printed
    assert "of the words are unknown to builtin" in printed
    assert "peak -1 dBFS" in printed
    data = json.loads(out.read_text())
    assert set(data) == {"metrics", "policy", "notes"}
    assert {"clap_builtin", "kl_builtin", "mad_builtin", "fad_inf_builtin", "is_builtin"} <= set(data["metrics"])
    assert data["metrics"]["clap_builtin"]["n"] == N
    captions.write_text("path,caption\n" + rows.replace("clip03.wav", "clip99.wav"))
    assert status([*command, "--captions", str(captions)]) == 2
    assert "no caption for clip03" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda real, made: shutil.rmtree(made), "no such folder"),
        (lambda real, made: [path.unlink() for path in made.iterdir()], "no .wav, .flac, .ogg, .* files"),
        (lambda real, made: [path.write_bytes(b"") for path in made.iterdir()], "only 0 good clips"),
        (lambda real, made: shutil.copy(made / "clip00.wav", made / "clip00.mp3"), "share the name 'clip00'"),
    ],
)
def test_bad_folders_are_named(folders: tuple[Path, Path], change, message: str) -> None:
    change(*folders)
    with pytest.raises(UserError, match=message):
        scored(*folders)


def test_the_panel_is_the_tagger_and_the_judges_that_were_asked_for() -> None:
    assert evaluators_asked([], "") == ("builtin", "musicnn", "logmel")
    assert evaluators_asked([], "aisfx, logmel") == ("builtin", "aisfx", "logmel")
    assert evaluators_asked(["clap:music"], "") == ("clap:music",)
    assert evaluators_asked(["clap:music", "logmel"], "logmel") == ("clap:music", "logmel")
    with pytest.raises(UserError, match=r"--judges ',': no name in it"):
        evaluators_asked([], ",")


@pytest.mark.parametrize("spec", ["builtin", "builtin:7", "FOLDER"])
def test_a_tagger_among_the_judges_is_refused(spec: str, tmp_path: Path) -> None:
    spec = str(tmp_path) if spec == "FOLDER" else spec  # a folder holds a trained tagger
    with pytest.raises(UserError, match=f"--judges {spec}: an attribute tagger.* give --evaluator {spec}$"):
        evaluators_asked([], f"logmel,{spec}")


def test_every_evaluator_of_the_panel_has_its_metrics_and_two_of_one_name_are_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = scored(*folders, evaluators=("logmel",))
    together = scored(*folders, evaluators=("logmel", "builtin"))
    mine = {name: value for name, value in metrics(together).items() if name.endswith("_logmel")}
    assert mine == metrics(alone)
    assert together.policy["evaluators"]["builtin"]["role"] == "tagger"
    assert together.policy["evaluators"]["logmel"]["role"] == "judge"
    shutil.copytree(Path(builtin.__file__).parents[1] / "weights" / "builtin", tmp_path / "mine")
    with pytest.raises(UserError, match="2 evaluators whose metrics end in _builtin"):
        scored(*folders, evaluators=("builtin", str(tmp_path / "mine")))


def test_where_judges_were_validated_is_told(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = scored(*folders)
    identity = found.policy["evaluators"]["logmel"]["evaluator_identity"]
    held = Validation(Content("tunes", "abc"), "test", 4.0, 16_000, 64, (Identity("logmel", identity),), {}, {})
    monkeypatch.setattr(validation, "load_validations", lambda folder: [held])
    lines = validation_notes(found)
    assert any("this audio: logmel; validated on tunes (4 s, 16,000 Hz)." in line for line in lines)
    assert any("this audio: builtin; validated on no corpus." in line for line in lines)


def test_a_wrong_evaluator_or_checkpoint_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'builtin'"):
        scored(*folders, evaluators=("bultin",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"evaluator.json"):
        scored(*folders, evaluators=(str(tmp_path / "empty"),))


def test_a_judge_that_reads_no_captions_is_not_asked_again_for_other_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = outputs.open_evaluators(["logmel"])[0]
    first = judge.evaluate([sound(0).astype("f4")], RATE, ["a tune"])
    monkeypatch.setattr(judge.inner, "evaluate", pytest.fail)
    again = judge.evaluate([sound(0).astype("f4")], RATE, ["another tune"])
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    assert again.similarity is None
