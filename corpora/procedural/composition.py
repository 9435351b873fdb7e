"""A piece of music from one seed: notes of lead, comping, bass and drums, with times in seconds.

Rhythms are written in beats of a 4/4 bar (0 is the downbeat) with straight eighth notes; a shuffle delays the off-beats
when beats are converted to seconds.

The order of random draws is part of the corpus: change it only together with ``corpus.GENERATOR_VERSION``. Draws use
PCG64 and only integers decide, so that a composition is the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ...common.seeds import seed_for
from ..clip import Annotation
from . import harmony
from .harmony import Chord

KICK, SNARE, CLOSED_HAT, OPEN_HAT, RIDE = 36, 38, 42, 46, 51  # General MIDI drum notes

_EIGHTHS = tuple(i / 2 for i in range(8))
_QUARTERS = (0.0, 1.0, 2.0, 3.0)

DRUM_PATTERNS: dict[str, tuple[tuple[int, tuple[float, ...]], ...]] = {
    "none": (),
    "rock": ((KICK, (0.0, 2.0, 2.5)), (SNARE, (1.0, 3.0)), (CLOSED_HAT, _EIGHTHS)),
    "four_on_the_floor": ((KICK, _QUARTERS), (OPEN_HAT, (0.5, 1.5, 2.5, 3.5))),
    "half_time": ((KICK, (0.0, 1.5)), (SNARE, (2.0,)), (CLOSED_HAT, _QUARTERS)),
    "shuffle": ((RIDE, (0.0, 1.0, 1.5, 2.0, 3.0, 3.5)), (KICK, (0.0, 2.0)), (SNARE, (1.0, 3.0))),
}
SWUNG = frozenset({"shuffle"})

# Two beats of comping: (onset, length, chord tones: None for all, else the index of one).
Comping = tuple[tuple[float, float, int | None], ...]
_HELD: Comping = ((0.0, 2.0, None),)
_PULSE: Comping = ((0.0, 1.0, None), (1.0, 1.0, None))
_PUSHED: Comping = ((0.0, 1.5, None), (1.5, 0.5, None))
_STRUM: Comping = ((0.0, 1.0, None), (1.0, 0.5, None), (1.5, 0.5, None))
_ARPEGGIO: Comping = tuple((i / 2, 1.0 if i < 3 else 0.5, i) for i in range(4))
COMPING_PATTERNS: dict[str, tuple[Comping, ...]] = {
    "piano": (_PULSE, _PUSHED),
    "organ": (_HELD, _PUSHED),
    "strings": (_HELD,),
    "guitar": (_STRUM, _ARPEGGIO),
}

# Two beats of bass: (onset, length, interval above the chord's root in semitones).
BASS_PATTERNS: tuple[tuple[tuple[float, float, int], ...], ...] = (
    ((0.0, 2.0, 0),),
    ((0.0, 1.0, 0), (1.0, 1.0, 0)),
    ((0.0, 1.0, 0), (1.0, 1.0, 7)),
    ((0.0, 1.5, 0), (1.5, 0.5, 0)),
)

# Two beats of melody: lengths of successive notes.
MELODY_RHYTHMS: tuple[tuple[float, ...], ...] = (
    (1.0, 1.0),
    (2.0,),
    (1.0, 0.5, 0.5),
    (0.5, 0.5, 1.0),
    (1.5, 0.5),
    (0.5,) * 4,
)

LEADS = ("flute", "square lead", "vibraphone", "violin")
COMPS = ("guitar", "organ", "piano", "strings")
DRUMS = tuple(sorted(DRUM_PATTERNS))
TEMPI = (80, 100, 120, 140)
T = TypeVar("T")
COMP_LOWEST, BASS_LOWEST = 52, 33  # E3 and A1: comping lies between bass and lead


@dataclass(frozen=True)
class Brief:
    """The categorical facts of a clip, from which it is composed: key, instruments, drum pattern, tempo."""

    key: str
    lead: str
    comp: str
    drums: str
    tempo: int


@dataclass(frozen=True)
class Note:
    """One note of one part: times in seconds, MIDI pitch, velocity in (0, 1]."""

    start: float
    end: float
    midi: int
    velocity: float = 1.0


@dataclass(frozen=True)
class Composition:
    """All notes of a clip. ``chords``: (start, end, chord); ``drum_hits``: (time, General MIDI drum note); seconds."""

    brief: Brief
    seconds: float
    chords: tuple[tuple[float, float, Chord], ...]
    lead: tuple[Note, ...]
    comp: tuple[Note, ...]
    bass: tuple[Note, ...]
    drum_hits: tuple[tuple[float, int], ...]

    def annotation(self) -> Annotation:
        """The composition as an ``Annotation``."""
        beat = 60.0 / self.brief.tempo
        beats = tuple(i * beat for i in range(math.ceil(self.seconds / beat)) if i * beat < self.seconds)
        return Annotation(
            chords=tuple((start, end, chord.label) for start, end, chord in self.chords),
            beats=beats,
            downbeats=beats[::4],
            melody=tuple((note.start, note.end, note.midi) for note in self.lead),
            drum_hits=self.drum_hits,
            key=self.brief.key,
            tempo=float(self.brief.tempo),
            meter="4/4",
            instruments={"lead": self.brief.lead, "comp": self.brief.comp, "bass": "bass"},
            drums=self.brief.drums,
        )


def compose(brief: Brief, seconds: float, seed: int) -> Composition:
    """Compose the music for ``brief``: whole bars from beat 1, cut at ``seconds``."""
    rng = _stream(seed, "parts")
    clock = _Clock(brief.tempo, brief.drums in SWUNG, seconds)
    halves = harmonise(brief, seconds, seed)
    comping = _pick(COMPING_PATTERNS[brief.comp], rng)
    walking = _pick(BASS_PATTERNS, rng)
    comp, bass = [], []
    for i, chord in enumerate(halves):
        for onset, length, tone in comping:
            voicing = harmony.close_voicing(chord, COMP_LOWEST)
            for midi in voicing if tone is None else (voicing[tone % len(voicing)],):
                comp.append(clock.note(2 * i + onset, length, midi))
        root = BASS_LOWEST + (chord.root - BASS_LOWEST) % 12
        bass += [clock.note(2 * i + onset, length, root + interval) for onset, length, interval in walking]
    return Composition(
        brief=brief,
        seconds=seconds,
        chords=_merge(halves, clock),
        lead=_kept(_lead_line(brief, halves, clock, rng)),
        comp=_kept(comp),
        bass=_kept(bass),
        drum_hits=_drum_hits(brief.drums, clock),
    )


@dataclass(frozen=True)
class _Clock:
    """Beats to seconds; with ``swung`` the off-beat is at two thirds of the beat. Notes stop at the clip's end."""

    tempo: int
    swung: bool
    seconds: float

    def time(self, beat: float) -> float:
        whole, part = divmod(beat, 1.0)
        if self.swung:
            part = part * 4 / 3 if part <= 0.5 else 2 / 3 + (part - 0.5) * 2 / 3
        return (whole + part) * 60.0 / self.tempo

    def note(self, beat: float, length: float, midi: int) -> Note:
        accent = 1.0 if beat % 1 == 0 else 0.85
        return Note(self.time(beat), min(self.time(beat + length), self.seconds), midi, accent)


def harmonise(brief: Brief, seconds: float, seed: int) -> list[Chord]:
    """The chord of every half bar of ``compose(brief, seconds, seed)``; fast pieces may have one chord per bar."""
    rng = _stream(seed, "harmony")
    half_bars = math.ceil(seconds * brief.tempo / 60 / 2 - 1e-9)  # the last may be cut by the clip's end
    mode = brief.key.partition(":")[2]
    whole_bar = brief.tempo >= 120 and int(rng.integers(2)) == 1
    elsewhere = not whole_bar and int(rng.integers(4)) == 0
    numerals = _pick((harmony.OTHER_STARTS if elsewhere else harmony.TONIC_STARTS)[mode], rng).split()
    chords = [harmony.roman_chord(numeral, brief.key) for numeral in numerals]
    return [chords[(i // 2 if whole_bar else i) % len(chords)] for i in range(half_bars)]


def _lead_line(brief: Brief, halves: list[Chord], clock: _Clock, rng: np.random.Generator) -> list[Note]:
    scale = harmony.scale_pitch_classes(brief.key)
    pitch = harmony.first_pitch(halves[0], rng)
    notes: list[Note] = []
    for i, chord in enumerate(halves):
        beat = 2.0 * i
        for length in _pick(MELODY_RHYTHMS, rng):
            if notes:
                pitch = harmony.next_pitch(pitch, chord, scale, strong=beat == 2.0 * i, rng=rng)
            notes.append(clock.note(beat, length, pitch))
            beat += length
    return notes


def _drum_hits(drums: str, clock: _Clock) -> tuple[tuple[float, int], ...]:
    bars = math.ceil(clock.seconds * clock.tempo / 60 / 4)
    pattern = [(beat, drum) for drum, beats in DRUM_PATTERNS[drums] for beat in beats]
    hits = [(clock.time(4 * bar + beat), drum) for bar in range(bars) for beat, drum in pattern]
    return tuple(sorted(hit for hit in hits if hit[0] < clock.seconds - _SHORTEST))


def _merge(halves: list[Chord], clock: _Clock) -> tuple[tuple[float, float, Chord], ...]:
    spans: list[tuple[float, float, Chord]] = []
    for i, chord in enumerate(halves):
        start, end = clock.time(2 * i), min(clock.time(2 * i + 2), clock.seconds)
        if spans and spans[-1][2] == chord:
            start = spans.pop()[0]
        spans.append((start, end, chord))
    return tuple(spans)


_SHORTEST = 0.05  # seconds; a note cut shorter than this by the clip's end is left out


def _kept(notes: list[Note]) -> tuple[Note, ...]:
    return tuple(note for note in notes if note.end - note.start >= _SHORTEST)


def _stream(seed: int, part: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed_for(seed, part)))


def _pick(choices: tuple[T, ...], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]
