"""``bench score``: pairing, bad files, content-keyed memory, and digits that no name, order or process changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators.folders.outputs import FileTask, evaluate_files
from paradigm_bench.benchmarks.evaluators.folders.score import FolderScores, ScoreRequest, score_folders
from paradigm_bench.common.errors import UserError

RATE, N = 16_000, 16


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


def metrics(found: FolderScores) -> dict[str, tuple[float | None, ...]]:
    return {name: (m.value, m.low, m.high) for name, m in found.metrics.items()}


def test_namesakes_are_pairs_whatever_their_format_and_others_are_two_sets(tmp_path: Path) -> None:
    real, made = fill(tmp_path / "real", 0), fill(tmp_path / "made", 0, name="clip{:02d}.flac")
    found = score_folders(ScoreRequest(real, made))
    assert found.policy["paired_by_name"]
    assert found.metrics["kl_builtin"].value == pytest.approx(0.0, abs=0.05)
    assert found.metrics["fad_builtin"].n == N
    other = fill(tmp_path / "other", 0, n=N // 2, name="song{:02d}.ogg")
    for i in range(N // 2, N):
        soundfile.write(other / f"song{i}.mp3", sound(i), RATE)
    unpaired = score_folders(ScoreRequest(real, other))
    assert not unpaired.policy["paired_by_name"]
    assert "kl_builtin" not in unpaired.metrics
    assert unpaired.policy["policy"]["peak_dbfs"] == -1.0


def test_no_digit_depends_on_names_order_batch_or_memory(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, made = folders
    first = score_folders(ScoreRequest(real, made))
    order = np.random.default_rng(0).permutation(N)
    for folder in folders:  # rename pairs alike: another order on disk
        renamed = tmp_path / f"{folder.name}_renamed"
        renamed.mkdir()
        for i, path in enumerate(sorted(folder.iterdir())):
            shutil.copy(path, renamed / f"x{order[i]:02d}.wav")
    again = score_folders(ScoreRequest(tmp_path / "real_renamed", tmp_path / "made_renamed"), at_once=5)
    assert metrics(again) == metrics(first)
    shutil.rmtree(tmp_path / "cache")
    fresh = score_folders(ScoreRequest(real, made), at_once=1)
    assert metrics(fresh) == metrics(first)


def test_processes_give_the_same_outputs(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [FileTask(path) for path in sorted(folders[0].iterdir())[:4]]
    alone = evaluate_files(tasks, "builtin", 1, lambda done: None)
    monkeypatch.setattr("paradigm_bench.benchmarks.evaluators.folders.outputs.WORTH_A_PROCESS", 2)
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(folders[0].parent / "other_cache"))
    together = evaluate_files(tasks, "builtin", 2, lambda done: None, at_once=1)
    assert [one.digest for one in together] == [one.digest for one in alone]
    for a, b in zip(alone, together):
        assert a.row is not None
        assert b.row is not None
        np.testing.assert_array_equal(a.row["embedding"], b.row["embedding"])


def test_regenerated_audio_is_never_scored_by_its_old_name(folders: tuple[Path, Path]) -> None:
    real, made = folders
    before = score_folders(ScoreRequest(real, made))
    shutil.copy(real / "clip00.wav", made / "clip00.wav")
    after = score_folders(ScoreRequest(real, made))
    assert metrics(after)["fad_builtin"] != metrics(before)["fad_builtin"]
    assert after.policy["content_generated"] != before.policy["content_generated"]
    assert sorted(path.name for path in made.iterdir()) == [f"clip{i:02d}.wav" for i in range(N)]  # nothing beside them


def test_bad_files_are_left_out_with_their_partners_and_named(folders: tuple[Path, Path]) -> None:
    real, made = folders
    (made / "clip01.wav").write_bytes(b"RIFF nonsense")
    soundfile.write(made / "clip02.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(real / "clip03.wav", sound(3)[:100], RATE)
    soundfile.write(made / "clip04.wav", np.zeros(RATE), RATE)
    found = score_folders(ScoreRequest(real, made))
    text = "\n".join(found.notes)
    assert "clip01.wav: cannot be decoded" in text
    assert "clip02.wav: holds NaN or infinity" in text
    assert "clip03.wav: lasts 0.006 s" in text
    assert f"scored {N - 3} of {N} clips of each set" in text
    assert f"generated: 1 of {N - 3} clips silent" in text
    assert found.policy["silent_clips_generated"] == 1
    assert found.metrics["fad_builtin"].n == found.policy["n_reference"] == N - 3
    with pytest.raises(UserError, match=r"clip0\d.wav: .*--strict"):
        score_folders(ScoreRequest(real, made, strict=True))


def test_unequal_sets_are_refused_or_drawn(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, _ = folders
    few = fill(tmp_path / "few", 200, n=8, name="other{:02d}.wav")
    with pytest.raises(UserError, match=r"16 reference files, 8 generated.* --n 8"):
        score_folders(ScoreRequest(real, few))
    drawn = score_folders(ScoreRequest(real, few, n=8))
    assert drawn.policy["n_reference"] == drawn.policy["n_generated"] == 8
    assert drawn.policy["not_scored"] == {"fad_inf": "8 clips, it needs 16"}
    for path in list(few.iterdir()):
        path.rename(few / path.name.replace("other", "clip"))
    paired = score_folders(ScoreRequest(real, few))
    assert any("8 files without a partner" in note for note in paired.notes)
    with pytest.raises(UserError, match="only 8 good clips"):
        score_folders(ScoreRequest(real, few, n=9))


def test_sets_of_other_rates_or_lengths_are_doubtful(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, _ = folders
    odd = tmp_path / "odd"
    odd.mkdir()
    for i in range(N):
        soundfile.write(odd / f"clip{i:02d}.wav", np.stack([sound(i)[: RATE // 2]] * 2, axis=1), 8000)
    text = "\n".join(score_folders(ScoreRequest(real, odd)).notes)
    assert "last 1 s, generated ones 1 s" not in text
    assert "16000 and 8000 Hz" in text
    short = fill(tmp_path / "short", 300, n=2)
    for path in short.iterdir():
        soundfile.write(path, sound(1)[: RATE // 4], RATE)
    text = "\n".join(score_folders(ScoreRequest(real, short)).notes)
    assert "reference clips last 1 s, generated ones 0.25 s" in text
    assert "1 exact copy of another clip" in text


def test_the_command_prints_a_table_and_writes_json(folders: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    real, made = folders
    captions = real.parent / "captions.csv"
    rows = "".join(f"clip{i:02d}.wav,a calm tune number {i}\n" for i in range(N))
    captions.write_text("path,caption\n" + rows)
    out = real.parent / "scores.json"
    command = ["score", "--reference", str(real), "--generated", str(made), "--jobs", "1"]
    assert status([*command, "--captions", str(captions), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "fad_builtin ↓" in printed
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
        (lambda real, made: [path.unlink() for path in made.iterdir()], "no .wav, .flac, .ogg, .mp3 files"),
        (lambda real, made: [path.write_bytes(b"") for path in made.iterdir()], "only 0 good clips"),
        (lambda real, made: shutil.copy(made / "clip00.wav", made / "clip00.mp3"), "share the name 'clip00'"),
    ],
)
def test_bad_folders_are_named(folders: tuple[Path, Path], change, message: str) -> None:
    change(*folders)
    with pytest.raises(UserError, match=message):
        score_folders(ScoreRequest(*folders))


def test_a_wrong_evaluator_or_checkpoint_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'builtin'"):
        score_folders(ScoreRequest(*folders, evaluator="bultin"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"evaluator.json"):
        score_folders(ScoreRequest(*folders, evaluator=str(tmp_path / "empty")))
