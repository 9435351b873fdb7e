"""A piece of music from one seed: notes of lead, comping, bass and drums, with times in seconds.

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
from . import harmony, melody, patterns
from .harmony import Chord

LEADS = ("flute", "square lead", "vibraphone", "violin")
COMPS = ("guitar", "organ", "piano", "strings")
DRUMS = tuple(sorted(patterns.DRUM_PATTERNS))
TEMPI = (80, 100, 120, 140)
T = TypeVar("T")
COMP_LOWEST, BASS_LOWEST = 52, 33  # E3 and A1: comping lies between bass and lead


@dataclass(frozen=True)
class Brief:
    """What a composition must be; the categorical facts of a clip."""

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
        """The facts in the form that every corpus shares."""
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
    """Write the music for ``brief``: whole bars from beat 1, cut at ``seconds``."""
    rng = _stream(seed, "parts")
    clock = _Clock(brief.tempo, brief.drums in patterns.SWUNG, seconds)
    halves = harmonise(brief, seconds, seed)
    comping = _pick(patterns.COMPING[brief.comp], rng)
    walking = _pick(patterns.BASS, rng)
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
    """Beats to seconds, with the off-beat at two thirds of the beat when swung, and the clip's end as a wall."""

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
    """The chord of every half bar of ``compose(brief, seconds, seed)``; fast pieces may hold one for the whole bar."""
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
    pitch = melody.first_pitch(halves[0], rng)
    notes: list[Note] = []
    for i, chord in enumerate(halves):
        beat = 2.0 * i
        for length in _pick(patterns.MELODY, rng):
            if notes:
                pitch = melody.next_pitch(pitch, chord, scale, strong=beat == 2.0 * i, rng=rng)
            notes.append(clock.note(beat, length, pitch))
            beat += length
    return notes


def _drum_hits(drums: str, clock: _Clock) -> tuple[tuple[float, int], ...]:
    bars = math.ceil(clock.seconds * clock.tempo / 60 / 4)
    hits = [
        (clock.time(4 * bar + beat), drum)
        for bar in range(bars)
        for drum, beats in patterns.DRUM_PATTERNS[drums]
        for beat in beats
    ]
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
