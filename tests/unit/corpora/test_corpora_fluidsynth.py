"""The built-in music through MIDI and fluidsynth."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.corpora.procedural.composition import Composition, Note
from paradigm_bench.corpora.procedural.corpus import ProceduralReader
from paradigm_bench.corpora.procedural.soundfont import midi_file

SOUNDFONTS = (os.environ.get("FLUIDSYNTH_SF2", ""), *map(str, Path("/usr/share/sounds/sf2").glob("*.sf2")))


def first_composition() -> Composition:
    reader = load_corpus("builtin", clips=1).clips("train")[0].reader
    assert isinstance(reader, ProceduralReader)
    return reader.composition()


def test_midi_file_bytes_by_hand() -> None:
    piece = first_composition()
    brief = replace(piece.brief, lead="flute", comp="piano")
    one_note = replace(piece, brief=brief, lead=(Note(0.5, 1.0, 69),), comp=(), bass=(), drum_hits=())
    assert midi_file(one_note) == bytes.fromhex(
        "4d546864 00000006 0000 0001 01e0"  # header: format 0, one track, 480 ticks per quarter of half a second
        "4d54726b 00000018"
        "00 c049  00 c100  00 c221"  # flute, piano, finger bass
        "8360 904570  8360 804500"  # A4 after 480 ticks, off after 480 more
        "8740 ff2f00"  # end, 960 ticks later
    )


def test_missing_soundfont(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/true")
    monkeypatch.setenv("FLUIDSYNTH_SF2", "nowhere.sf2")
    with pytest.raises(UserError, match=r"no soundfont at FLUIDSYNTH_SF2='nowhere\.sf2'; set it"):
        load_corpus("builtin:fluidsynth")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs the fluidsynth program; install it"):
        load_corpus("builtin:fluidsynth")


def test_same_music_on_a_soundfont(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    soundfont = next((path for path in SOUNDFONTS if Path(path).is_file()), None)
    if shutil.which("fluidsynth") is None or soundfont is None:
        pytest.skip("no fluidsynth program, or no soundfont in FLUIDSYNTH_SF2")
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    monkeypatch.setenv("FLUIDSYNTH_SF2", soundfont)
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    sampled, synthetic = (load_corpus(spec, clips=2) for spec in ("builtin:fluidsynth", "builtin"))
    assert sampled.fingerprint != synthetic.fingerprint
    for ours, theirs in zip(sampled.clips("train"), synthetic.clips("train")):
        assert ours.caption == theirs.caption
        assert ours.annotation() == theirs.annotation()
        audio = ours.audio(16_000)
        assert audio.shape == (64_000,)
        assert 0.02 < np.abs(audio).max() < 1.0
        assert np.abs(audio - theirs.audio(16_000)).max() > 0.05
