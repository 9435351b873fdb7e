"""Folder corpora: what a manifest may hold, what each mistake says, and the real data beside the repository."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Corpus, load_corpus

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")

RATE = 16_000
SHARED = Path(os.environ.get("PB_SHARED") or Path(__file__).resolve().parents[2] / "shared")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))


def tone(hertz: float = 440.0, rate: int = RATE, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def make(folder: Path, rows: list[dict[str, Any]], kind: str = "csv") -> Path:
    """A folder with the manifest; every ``*.wav`` path that does not exist yet becomes a short tone."""
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(rows):
        path = folder / str(row.get("path", ""))
        if path.suffix == ".wav" and not path.exists() and "missing" not in path.name:
            soundfile.write(path, tone(300 + 50 * i), RATE)
    if kind == "jsonl":
        (folder / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        return folder
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def rows(n: int, **columns: Any) -> list[dict[str, Any]]:
    return [{"path": f"{i}.wav", "caption": f"tone number {i}, a steady one", **columns} for i in range(n)]


# ---- what works --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_csv_and_jsonl_say_the_same(tmp_path: Path, kind: str) -> None:
    table = [
        {"path": "0.wav", "caption": 'a "quoted", long\ntone', "split": "train", "key": "Gb:minor", "tempo": 90},
        {"path": "1.wav", "caption": "a tone", "split": "valid", "key": "", "tempo": ""},
        {"path": "2.wav", "caption": "an à tone", "split": "test", "key": "C:major", "tempo": 143.5},
    ]
    corpus = load_corpus(str(make(tmp_path / "set", table, kind)))
    train, valid, test = (corpus.clips(split)[0] for split in ("train", "valid", "test"))
    assert (train.id, train.caption, train.attributes) == (
        "0",
        'a "quoted", long\ntone',
        {"key": "F#:minor", "tempo": "90-110"},
    )
    assert (valid.attributes, valid.annotation(), valid.seconds) == ({}, None, 0.5)
    assert corpus.attribute_values() == {"key": ["C:major", "F#:minor"], "tempo": ["90-110", "over 130"]}
    assert test.caption == "an à tone"


@pytest.mark.parametrize(("ending", "rate", "channels"), [("flac", 44_100, 2), ("ogg", 22_050, 1), ("mp3", 48_000, 2)])
def test_any_format_rate_and_channels(tmp_path: Path, ending: str, rate: int, channels: int) -> None:
    folder = make(tmp_path, [{"path": f"a.{ending}", "caption": "a tone", "seconds": 1.0}, *rows(1)])
    left = tone(440, rate, 1.0)
    soundfile.write(folder / f"a.{ending}", np.stack([left, 0 * left][:channels], axis=1), rate)
    corpus = load_corpus(str(folder))
    clip = next(c for s in ("train", "valid") for c in corpus.clips(s) if c.id == "a")
    audio = clip.audio(RATE)
    assert audio.dtype == np.float32
    assert abs(len(audio) - RATE) < 0.1 * RATE  # MP3 pads
    spectrum = np.abs(np.fft.rfft(audio))
    assert abs(spectrum.argmax() * RATE / len(audio) - 440) < 2
    middle = audio[RATE // 4 : RATE // 2]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2) / channels, rel=0.05)


def test_annotation_json(tmp_path: Path) -> None:
    folder = make(tmp_path, rows(2, annotation="facts.json"))
    facts = {"chords": [[0, 1.5, "C:maj"]], "beats": [0, 0.5], "melody": [[0, 1, 60]], "drum_hits": [[0.5, 36]]}
    (folder / "facts.json").write_text(json.dumps({**facts, "key": "Db:major", "tempo": 120, "lead": "oboe", "x": 1}))
    annotation = load_corpus(str(folder)).clips("train")[0].annotation()
    assert annotation
    assert annotation.chords == ((0.0, 1.5, "C:maj"),)
    assert annotation.melody == ((0.0, 1.0, 60),)
    assert annotation.drum_hits == ((0.5, 36),)
    assert (annotation.key, annotation.tempo, annotation.instruments) == ("C#:major", 120.0, {"lead": "oboe"})


def test_valid_is_carved_from_train_by_group(tmp_path: Path) -> None:
    table = [
        {**row, "group": f"song{i // 3}", "split": "test" if i >= 54 else "train"} for i, row in enumerate(rows(60))
    ]
    folder = make(tmp_path, table)
    corpus, again, other = (load_corpus(str(folder), seed=seed) for seed in (0, 0, 1))
    ids = {split: [c.id for c in corpus.clips(split)] for split in ("train", "valid", "test")}
    assert ids["valid"] == [c.id for c in again.clips("valid")] != [c.id for c in other.clips("valid")]
    assert len(ids["valid"]) == 3
    assert len(ids["train"]) == 51
    assert ids["test"] == [str(i) for i in range(54, 60)]
    assert not {int(i) // 3 for i in ids["train"]} & {int(i) // 3 for i in ids["valid"]}
    assert all(c.split == "valid" for c in corpus.clips("valid"))


def test_clips_limits_train_only(tmp_path: Path) -> None:
    folder = make(tmp_path, [*rows(20, split="train"), {**rows(1)[0], "id": "t", "split": "test"}])
    small, full = load_corpus(str(folder), clips=4), load_corpus(str(folder))
    assert [len(small.clips(s)) for s in ("train", "valid", "test")] == [4, 2, 1]
    assert {c.id for c in small.clips("train")} < {c.id for c in full.clips("train")}


def test_fingerprint_follows_content_only(tmp_path: Path) -> None:
    def fingerprint(name: str, table: list[dict[str, Any]]) -> str:
        return load_corpus(str(make(tmp_path / name, table))).fingerprint

    first = fingerprint("one", rows(3))
    assert fingerprint("two", rows(3)) == first  # another place, other times of change
    assert fingerprint("three", rows(3, label="x")) != first
    soundfile.write(tmp_path / "two" / "1.wav", tone(999), RATE)  # same size, another sound
    assert fingerprint("two", rows(3)) != first
    for memory in (tmp_path / "cache").rglob("*.json"):
        memory.write_text("{damaged")
    assert fingerprint("one", rows(3)) == first


# ---- what fails, and how it says so --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": " "}, r"manifest\.csv row 2, column caption: empty; fill it in"),
        ({"path": ""}, r"row 2, column path: empty"),
        ({"path": "missing.wav"}, r"row 2, column path: no such file: .*missing\.wav; correct"),
        ({"split": "training"}, r"row 2, column split: unknown split 'training' \(did you mean 'train'\?\); use train"),
        ({"tempo": "fast"}, r"row 2, column tempo: 'fast' is not a positive number"),
        ({"tempo": "nan"}, r"row 2, column tempo: 'nan' is not a positive number"),
        ({"key": "Am"}, r"row 2, column key: .*write it like 'C:major'"),
        ({"id": "0"}, r"row 2, column id: '0' is used by .*row 1 too; make ids unique"),
        ({"annotation": "missing.json"}, r"row 2, column annotation: no such file"),
    ],
)
def test_bad_row(tmp_path: Path, change: dict[str, str], message: str) -> None:
    table = rows(3)
    table[1] |= change
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(str(make(tmp_path, table)))
    assert "\n" not in str(caught.value)


def test_bad_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no manifest\.csv or manifest\.jsonl in it; write one with columns path, caption"
    ):
        load_corpus(str(tmp_path))
    manifest = tmp_path / "manifest.csv"
    for text, message in (
        ("path,captoin\na.wav,x\n", r"no column 'caption' \(did you mean 'captoin'\?\); found: path, captoin"),
        ("", r"no column 'path'; found: none"),
        ("path,caption\n", r"no rows"),
        ("path,caption\na.wav,one, two\n", r"row 1: more cells than columns; quote captions"),
        ('path,caption\na.wav,"open\n', r"not CSV .*check the quotes"),
    ):
        manifest.write_text(text)
        with pytest.raises(UserError, match=message):
            load_corpus(str(tmp_path))
    manifest.write_bytes(b"path,caption\n\xff\xfe,x\n")
    with pytest.raises(UserError, match="save it as UTF-8"):
        load_corpus(str(manifest))
    (tmp_path / "list.jsonl").write_text('{"path": "a.wav", "caption": "x"}\nnope\n')
    with pytest.raises(UserError, match=r"list\.jsonl row 2: not JSON"):
        load_corpus(str(tmp_path / "list.jsonl"))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), r"holds no samples; replace"),
        (np.array([0.0, np.nan, 0.1]), r"holds NaN or infinite samples; export"),
        (b"this is no sound", r"cannot decode .*a\.wav: .*; replace the file"),
        (b"", r"cannot decode .*a\.wav"),
    ],
)
def test_bad_audio_names_row_and_file(tmp_path: Path, samples: np.ndarray | bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(samples) if isinstance(samples, bytes) else soundfile.write(path, samples, RATE, subtype="FLOAT")
    corpus = load_corpus(str(make(tmp_path, [{"path": "a.wav", "caption": "x", "seconds": 1}])))
    with pytest.raises(UserError, match="row 1: " + ".*" + message) as caught:
        corpus.check()
    assert "\n" not in str(caught.value)


def test_bad_annotation_names_field(tmp_path: Path) -> None:
    folder = make(tmp_path, rows(1, annotation="facts.json"))
    for text, message in (
        ('{"chords": [[0, 1]]}', r"row 1: field 'chords' of .*facts\.json is malformed"),
        ('{"key": "H:major"}', r"field 'key'"),
        ("[]", r"must hold one JSON object"),
        ("{", r"row 1, column annotation: cannot read"),
    ):
        (folder / "facts.json").write_text(text)
        with pytest.raises(UserError, match=message):
            load_corpus(str(folder)).check()


def test_empty_splits(tmp_path: Path) -> None:
    only_test = make(tmp_path / "test", rows(2, split="test"))
    with pytest.raises(UserError, match="no train clips; give some rows split=train"):
        load_corpus(str(only_test))
    only_train = load_corpus(str(make(tmp_path / "train", rows(2))))
    with pytest.raises(UserError, match="has no test clips; add rows with split=test"):
        only_train.clips("test")


def test_options_without_effect(tmp_path: Path) -> None:
    folder = make(tmp_path, rows(2))
    with pytest.raises(UserError, match=r"seconds=2\.0 has no effect"):
        load_corpus(str(folder), seconds=2.0)
    with pytest.raises(UserError, match="at least 1"):
        load_corpus(str(folder), clips=0)


# ---- real data beside the repository -----------------------------------------------------------------------------


def real(name: str) -> Corpus:
    folder = SHARED / "realdata" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set PB_SHARED to the folder that holds realdata/")
    return load_corpus(str(folder))


def test_real_sound_events() -> None:
    corpus = real("esc")
    assert sum(len(corpus.clips(s)) for s in ("train", "valid", "test")) == 398
    assert len(corpus.clips("test")) == 80
    assert len(corpus.attribute_values()["label"]) == 10
    clip = corpus.clips("test")[0]
    assert clip.audio(RATE).shape == (5 * RATE,)
    assert clip.annotation() is None


def test_real_music() -> None:
    corpus = real("music")
    assert [len(corpus.clips(s)) for s in ("train", "valid", "test")] == [517, 56, 155]
    songs = [{c.id.rpartition("_")[0] for c in corpus.clips(s)} for s in ("train", "valid", "test")]
    assert not songs[0] & songs[1]
    assert not songs[1] & songs[2]
    clip = corpus.clips("test")[0]
    annotation = clip.annotation()
    assert annotation
    assert annotation.key == clip.attributes["key"]
    assert annotation.chords
    assert annotation.melody[0][2] in range(30, 110)
    assert len(clip.audio(24_000)) == 240_000
