"""`bench data`: prepare, check and plan, as a user types them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.representations.latents.encode import fill_store

ROWS = 5


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of five clips of one second; its store has two clips a shard."""
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "my songs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,caption,split"]
    for i in range(ROWS):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
        lines.append(f"{i}.wav,noise number {i},{'valid' if i == 4 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def bench(line: str) -> int:
    return status(["data", *shlex.split(line)])


def prepare(songs: Path, options: str = "") -> int:
    return bench(f"prepare '{songs}' --clips-per-shard 2 {options}")


def shards(songs: Path) -> list[Path]:
    return sorted((songs.parent / "cache" / "latents").rglob("*0000[0-9].safetensors"))


def test_prepare_then_again_then_check(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(songs, "--controls melody") == 0
    out = capsys.readouterr().out
    assert "latents: 5 s of audio in" in out
    assert "melody: 5 s of audio in" in out
    assert [path.stem for path in shards(songs)] == ["train-00000", "train-00001", "valid-00000"]
    assert prepare(songs, "--controls melody") == 0
    out = capsys.readouterr().out
    assert "6 files stored before, with the right checksum" in out
    assert "s of audio" not in out
    assert bench(f"check '{songs}'") == 0
    assert "6 files, all as they were written" in capsys.readouterr().out


def test_array_tasks_fill_the_store_together(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(songs, "--shard 1/2") == 0
    assert [path.stem for path in shards(songs)] == ["train-00001"]
    assert prepare(songs, "--shard 0/2") == 0
    assert "3 files, all as" not in capsys.readouterr().out
    assert bench(f"check '{songs}'") == 0


def test_several_processes_write_what_one_does(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(songs, "--split valid") == 0
    one = shards(songs)[0].read_bytes()
    shards(songs)[0].unlink()
    assert prepare(songs, "--jobs 2") == 0
    assert shards(songs)[2].read_bytes() == one
    assert "latents: 5 s of audio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "why"), [("cut", "has "), ("flip", "differs from its checksum"), ("gone", "is missing")]
)
def test_check_names_the_bad_shard_and_its_command_mends_it(
    songs: Path, capsys: pytest.CaptureFixture[str], damage: str, why: str
) -> None:
    prepare(songs)
    path = shards(songs)[1]
    content, changed = path.read_bytes(), path.stat().st_mtime_ns
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-8] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(path, ns=(changed, changed))  # even where the time of change tells nothing
    capsys.readouterr()
    assert bench(f"check '{songs}'") == 2
    told = capsys.readouterr()
    assert "1 of 3 files" in told.err
    assert f"{path} {why}" in told.out
    command = told.out.strip().partition("make it again: bench ")[2]
    assert status(shlex.split(command)) == 0
    assert path.read_bytes() == content
    assert bench(f"check '{songs}'") == 0


def test_a_clip_that_cannot_be_read_is_named_and_what_is_done_stays(
    songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (songs / "3.wav").read_bytes()
    (songs / "3.wav").write_bytes(content[:44])
    assert prepare(songs) == 2
    assert "manifest.csv row 4" in capsys.readouterr().err


def test_ctrl_c_keeps_finished_shards(songs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process to be told of a third batch is interrupted."""
    told = []

    def impatient(request, todo, controls, jobs, advance):  # type: ignore[no-untyped-def]
        def count(what: str, clips: int) -> None:
            told.append(clips)
            if len(told) == 2:
                raise KeyboardInterrupt

        return fill_store(request, todo, controls, jobs, count)

    with monkeypatch.context() as patch:
        patch.setattr("paradigm_bench.representations.latents.encode.fill_store", impatient)
        assert prepare(songs) == 130
    assert [path.stem for path in shards(songs)] == ["train-00000"]
    assert prepare(songs) == 0
    assert len(shards(songs)) == 3


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("prepare {tmp}", "no manifest.csv or manifest.jsonl in it"),
        ("prepare builtin --shard 3/3", "--shard '3/3': expected I/N"),
        ("prepare builtin --jobs 0", "Invalid value for '--jobs' / '-j'"),
        ("prepare builtin --hours 5", "--hours and --encodec belong to a plan"),
        ("prepare builtin --clips 2 --controls melodie", "unknown control 'melodie' (did you mean 'melody'?)"),
        ("prepare builtin --clips 2 --dtype fp16", "latents of 'fp16'"),
        ("check builtin --clips 2 --split dev", "unknown split 'dev'"),
    ],
)
def test_bad_input_is_one_line(
    line: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    assert bench(line.format(tmp=tmp_path)) == 2
    told = capsys.readouterr().err.strip()
    assert complaint in told
    assert "\n" not in told


def test_a_plan_stores_nothing_and_adds_up(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(f"prepare '{songs}' --dry-run --sample 2 --hours 1000") == 0
    out = capsys.readouterr().out
    assert not shards(songs)
    assert "1,000.0 h of audio in clips of 1 s" in out
    row = next(line for line in out.splitlines() if line.startswith("codec_builtin")).replace(",", "").split()
    # 3.6e6 s x 25 frames: 4 codes of 2 bytes, 32 channels of 4 or 2; 640 clips of 1 s a shard
    assert [float(cell) for cell in row[1:6]] == [25.0, 0.7, 11.5, 5.8, 5625.0]
    assert float(row[6]) == pytest.approx(100 * float(row[7]), rel=0.2)
