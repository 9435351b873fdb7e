"""The built-in music played with a soundfont by the program ``fluidsynth``: the same notes, sampled instruments.

It needs the program on the PATH and a General MIDI soundfont (.sf2), named by the environment variable FLUIDSYNTH_SF2.
Samples depend on the soundfont and on fluidsynth's version; the soundfont's content is part of the fingerprint.

Compositions are passed on as standard MIDI files, format 0, one track (MIDI 1.0, "Standard MIDI Files 1.0", RP-001). At
500 000 microseconds and 480 ticks per quarter, one tick is 1/960 s; note times in seconds are rounded to that.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...common.config import config_hash
from ...common.errors import UserError
from ..audio import read_mono
from ..clip import Corpus
from ..folder import file_hashes
from .composition import Composition, Note
from .corpus import load_builtin

FLUIDSYNTH_GAIN = 0.7  # of fluidsynth; reverb and chorus are off, so that clips are as dry as the built-in ones
TICKS_PER_SECOND = 960
PROGRAMS = {  # General MIDI, counted from 0
    "piano": 0, "organ": 16, "guitar": 25, "strings": 48,
    "flute": 73, "square lead": 80, "vibraphone": 11, "violin": 40,
    "bass": 33,
}  # fmt: skip
_LOUDNESS = {"lead": 112, "comp": 66, "bass": 92, "drums": 92}  # velocity at full accent
_DRUM_CHANNEL, _DRUM_SECONDS = 9, 0.1


@dataclass(frozen=True)
class FluidSynth:
    """Renders compositions with one soundfont."""

    soundfont: Path

    def __call__(self, composition: Composition, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz; a UserError if fluidsynth fails."""
        n = round(composition.seconds * sample_rate)
        with tempfile.TemporaryDirectory() as folder:
            score, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
            score.write_bytes(midi_file(composition))
            options = ["-ni", "-q", *f"-R 0 -C 0 -g {FLUIDSYNTH_GAIN} -r {sample_rate} -F".split(), str(sound)]
            command = ["fluidsynth", *options, str(self.soundfont), str(score)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode or not sound.is_file():
                reason = " ".join(run.stderr.split())[-200:] or f"exit status {run.returncode}"
                raise UserError(f"fluidsynth cannot use {self.soundfont}: {reason}; try another soundfont")
            samples = read_mono(sound, sample_rate, "fluidsynth")[:n]
        return np.pad(samples, (0, n - len(samples)))


def load_fluidsynth(*, clips: int | None = None, seconds: float | None = None, seed: int = 0) -> Corpus:
    """The built-in corpus played with a soundfont; arguments as for ``corpus.load_builtin``.

    Raises:
        UserError: no fluidsynth program, or FLUIDSYNTH_SF2 names no soundfont.
    """
    if shutil.which("fluidsynth") is None:
        raise UserError("builtin:fluidsynth needs the fluidsynth program; install it, or use the corpus 'builtin'")
    named = os.environ.get("FLUIDSYNTH_SF2", "")
    soundfont = Path(named)
    if not soundfont.is_file():
        raise UserError(f"builtin:fluidsynth: no soundfont at FLUIDSYNTH_SF2={named!r}; set it to a .sf2 file")
    render = FluidSynth(soundfont)
    corpus = load_builtin(clips=clips, seconds=seconds, seed=seed, name="builtin-fluidsynth", render=render)
    content = [corpus.fingerprint, FLUIDSYNTH_GAIN, file_hashes([soundfont], soundfont)]
    return replace(corpus, fingerprint=config_hash(content))


def midi_file(composition: Composition) -> bytes:
    """A composition as the bytes of a MIDI file."""
    brief = composition.brief
    parts = (
        ("lead", brief.lead, composition.lead),
        ("comp", brief.comp, composition.comp),
        ("bass", "bass", composition.bass),
    )
    # (tick, order within a tick: programs, then note ends, then note starts, message)
    events: list[tuple[int, int, bytes]] = []
    for channel, (role, instrument, notes) in enumerate(parts):
        events.append((0, 0, bytes((0xC0 | channel, PROGRAMS[instrument]))))
        for note in notes:
            events += _note_events(channel, note, _LOUDNESS[role])
    for time, drum in composition.drum_hits:
        events += _note_events(_DRUM_CHANNEL, Note(time, time + _DRUM_SECONDS, drum), _LOUDNESS["drums"])
    track, now = b"", 0
    for tick, _, message in sorted(events):
        track += _variable_length(tick - now) + message
        now = tick
    track += _variable_length(TICKS_PER_SECOND) + b"\xff\x2f\x00"  # end of track, a second later
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_PER_SECOND // 2)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def _note_events(channel: int, note: Note, loudness: int) -> list[tuple[int, int, bytes]]:
    start, end = round(note.start * TICKS_PER_SECOND), round(note.end * TICKS_PER_SECOND)
    velocity = round(loudness * note.velocity)
    return [
        (start, 2, bytes((0x90 | channel, note.midi, velocity))),
        (end, 1, bytes((0x80 | channel, note.midi, 0))),
    ]


def _variable_length(value: int) -> bytes:
    """Seven bits per byte, most significant first, with the high bit set on all but the last."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
