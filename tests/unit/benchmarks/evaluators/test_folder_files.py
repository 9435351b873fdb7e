"""Files of a folder for ``bench score``: formats, links, hidden files, and files that end early."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.evaluators.folders import decode
from paradigm_bench.benchmarks.evaluators.folders.decode import BadAudioError, read_audio
from paradigm_bench.benchmarks.evaluators.folders.files import find_audio
from paradigm_bench.common.errors import UserError

RATE = 32_000
SOUND = (0.3 * np.sin(np.arange(2 * RATE) * 0.05) + np.random.default_rng(0).normal(0, 0.05, 2 * RATE)).astype("f4")
ENDINGS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "aif")


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        soundfile.write(path, SOUND, 48_000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, SOUND, RATE, format="AIFF" if path.suffix == ".aif" else None)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_files_are_read_without_a_remark(tmp_path: Path, ending: str) -> None:
    found = read_audio(written(tmp_path / f"a.{ending}"))
    assert found.truncated == ""
    assert len(found.samples) / found.rate == pytest.approx(len(SOUND) / (48_000 if ending == "opus" else RATE))


@pytest.mark.parametrize("share", [0.8, 0.95])
@pytest.mark.parametrize("ending", [one for one in ENDINGS if one != "flac"])
def test_a_file_that_ends_early_is_said_to(tmp_path: Path, ending: str, share: float) -> None:
    found = read_audio(cut(written(tmp_path / f"a.{ending}"), share))
    assert "are there" in found.truncated or "no end of stream" in found.truncated
    assert len(found.samples) < len(SOUND)


def test_the_declared_length_of_a_truncated_wav_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    cut(path, (44 + 2 * RATE) / path.stat().st_size)  # a header of 44 bytes, then one second of 16 bits
    assert read_audio(path).truncated == "its header declares 2.00 s, 1.00 s are there"


def test_a_flac_that_ends_early_cannot_be_decoded(tmp_path: Path) -> None:
    with pytest.raises(BadAudioError, match=r"cannot be decoded \(.+\)"):
        read_audio(cut(written(tmp_path / "a.flac"), 0.5))


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_wav_written_to_a_pipe_is_not_taken_for_truncated(tmp_path: Path, length: int) -> None:
    path = written(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = struct.pack("<I", length)
    path.write_bytes(data)
    assert read_audio(path).truncated == ""


def test_a_chunk_after_the_sound_of_a_wav_is_not_missed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert read_audio(path).truncated == ""


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([SOUND, 0 * SOUND], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, SOUND / 2, atol=1e-7)


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``ffmpeg`` of our own, alone on the PATH."""
    folder.mkdir()
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


def test_m4a_is_decoded_by_ffmpeg_with_its_complaints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = tmp_path / "song.m4a"
    song.write_bytes(b"aac")
    soundfile.write(tmp_path / "decoded.wav", SOUND, RATE, subtype="FLOAT")
    script = f'for word; do echo "$word"; done > {tmp_path}/arguments; cat {tmp_path}/decoded.wav'
    program(tmp_path / "good", script, monkeypatch)
    found = read_audio(song)
    np.testing.assert_array_equal(found.samples, SOUND)
    assert (found.rate, found.truncated) == (RATE, "")
    assert f"file:{song}" in (tmp_path / "arguments").read_text().splitlines()
    complaint = 'echo "[mov @ 0x7f] stream 0: partial file" >&2'
    program(tmp_path / "cut", f"{complaint}; cat {tmp_path}/decoded.wav", monkeypatch)
    assert read_audio(song).truncated == "ffmpeg says: stream 0: partial file"
    program(tmp_path / "bad", 'echo "moov atom not found" >&2; exit 1', monkeypatch)
    with pytest.raises(BadAudioError, match=r"by ffmpeg .moov atom not found"):
        read_audio(song)


def test_ffmpeg_that_hangs_or_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = tmp_path / "song.m4a"
    song.write_bytes(b"aac")
    program(tmp_path / "slow", "exec sleep 30", monkeypatch)
    monkeypatch.setattr(decode, "FFMPEG_SECONDS", 0.2)
    with pytest.raises(BadAudioError, match=r"took more than 0.2 s; convert it"):
        read_audio(song)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadAudioError, match=r"needs ffmpeg, .*; install it, or convert to WAV"):
        read_audio(song)


def test_links_are_followed_and_circles_and_dead_ends_are_named(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    written(folder / "a.wav")
    written(elsewhere / "b.wav")
    (folder / "more").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)  # two ways to one folder are no circle
    (folder / "c.wav").symlink_to(elsewhere / "b.wav")
    (elsewhere / "back").symlink_to(folder)
    (folder / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (folder / "self").symlink_to(folder / "self")
    found = find_audio(folder)
    assert list(found.files) == ["a", "again/b", "c", "more/b"]
    text = "\n".join(found.notes)
    assert f"{folder / 'more' / 'back'}: a link to a folder that holds it" in text
    assert f"{folder / 'gone.wav'}: a link to nothing" in text
    assert f"{folder / 'self'}: a link to nothing" in text
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert list(find_audio(linked).files) == list(found.files)


def test_hidden_files_are_skipped_and_other_sound_is_named(tmp_path: Path) -> None:
    written(tmp_path / "a.WAV")
    written(tmp_path / ".hidden" / "b.wav")
    (tmp_path / "._a.wav").write_bytes(b"resource fork")
    (tmp_path / "c.wma").write_bytes(b"")
    (tmp_path / "d.webm").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("text")
    found = find_audio(tmp_path)
    assert list(found.files) == ["a"]
    assert found.notes == [f"left out: 2 sound files of {tmp_path} with the endings .webm, .wma; convert them to WAV"]
    (tmp_path / "a.WAV").unlink()
    with pytest.raises(UserError, match=r"no \.wav, .* files in it; left out: 2 sound files"):
        find_audio(tmp_path)


def test_a_point_in_a_name_is_kept(tmp_path: Path) -> None:
    written(tmp_path / "song.v2.wav")
    written(tmp_path / "song.v3.flac")
    assert list(find_audio(tmp_path).files) == ["song.v2", "song.v3"]
