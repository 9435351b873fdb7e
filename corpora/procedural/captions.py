"""Captions in varied wording. Every caption names key, lead, comping, drums and tempo; some name the chords.

Where the piece does not begin on its tonic, the chords are always named, so that the caption determines
the first root too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ..pitch import pitch_class
from .composition import Brief
from .harmony import Chord

TEMPLATES = (
    "A {tempo} piece in {key} with {lead} over {comp}, {drums}.",
    "{Lead} melody and {comp} in {key}, {drums}, {tempo}.",
    "{Comp} accompany a {lead} melody in {key} at {bpm} BPM, {drums}.",
    "A {lead} plays over {comp} and bass, {key}, {bpm} BPM, {drums}.",
    "Instrumental in {key}: {lead} lead, {comp}, {drums}, {bpm} BPM.",
    "A tune in {key} at {bpm} BPM: {lead} with {comp} behind it and {drums}.",
    "{Drums}, {comp} and a {lead} lead; key of {key}, {tempo}.",
    "{Key}, {bpm} BPM. A {lead} leads, {comp} support it, {drums}.",
    "Music at {bpm} BPM in the key of {key}, {lead} on top of {comp}, {drums}.",
    "A {tempo} tune for {lead} and {comp} in {key}, {drums}.",
    "Listen to a {lead} with {comp} playing in {key}, {bpm} BPM and {drums}.",
    "{Comp}, bass and {lead} in {key}, {tempo}, {drums}.",
    "A song with {drums}, {lead} and {comp}, {key}, {bpm} BPM.",
    "The {lead} carries the tune in {key} while {comp} play the harmony, {drums}, {bpm} BPM.",
)
COMP_WORDS = {
    "piano": ("piano chords",),
    "organ": ("organ chords",),
    "strings": ("sustained strings", "string chords"),
    "guitar": ("guitar chords", "plucked guitar chords"),
}
DRUM_WORDS = {
    "none": ("no drums", "without drums"),
    "rock": ("a rock beat", "rock drums"),
    "four_on_the_floor": ("four on the floor drums", "a four on the floor beat"),
    "half_time": ("half time drums", "a half time beat"),
    "shuffle": ("a swinging shuffle", "shuffle drums"),
}
TEMPO_WORDS = {80: "slow", 100: "moderate", 120: "fast", 140: "very fast"}


def caption(brief: Brief, chords: Sequence[Chord], rng: np.random.Generator) -> str:
    """One sentence about a piece, its wording drawn from ``rng``; ``chords`` in order, repeats allowed."""

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    template = pick(TEMPLATES)
    words = {
        "key": brief.key.replace(":", " "),
        "lead": pick((brief.lead,)),
        "comp": pick(COMP_WORDS[brief.comp]),
        "drums": pick(DRUM_WORDS[brief.drums]),
        "bpm": str(brief.tempo),
        "tempo": f"{TEMPO_WORDS[brief.tempo]} {brief.tempo} BPM",
    }
    sentence = template.format(
        **words, **{name.capitalize(): text[0].upper() + text[1:] for name, text in words.items()}
    )
    tonic = pitch_class(brief.key.partition(":")[0])
    if chords[0].root != tonic or int(rng.integers(3)) == 0:
        sentence += f" Chords {', '.join(symbol for symbol, _ in groupby(chord.symbol for chord in chords))}."
    return sentence
