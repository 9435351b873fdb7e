"""Pitch names, with one spelling per pitch class, so that labels of different corpora compare as strings.

Keys are written ``"F#:minor"``; chords as ``"F#:min7"`` (Harte et al., "Symbolic representation of
musical chords", ISMIR 2005). Equal temperament with A4 = MIDI 69 = 440 Hz.
"""

from __future__ import annotations

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
KEYS = tuple(f"{name}:{mode}" for mode in MODES for name in PITCH_CLASSES)

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def pitch_class(name: str) -> int:
    """Pitch class 0..11 of a note name such as ``"Gb"`` or ``"F##"``.

    Raises:
        ValueError: the name is not a letter A-G followed by sharps or flats.
    """
    letter, accidentals = name[:1], name[1:]
    if letter not in _NATURALS or (accidentals.strip("#") and accidentals.strip("b")):
        raise ValueError(f"not a note name: {name!r}")
    return (_NATURALS[letter] + accidentals.count("#") - accidentals.count("b")) % 12


def normalise_key(key: str) -> str:
    """Convert a key to the spelling of ``PITCH_CLASSES``: ``"Gb:minor"`` becomes ``"F#:minor"``.

    Raises:
        ValueError: the key is not written ``<note>:major`` or ``<note>:minor``.
    """
    name, _, mode = key.partition(":")
    if mode not in MODES:
        raise ValueError(f"not a key: {key!r}; write it like 'C:major' or 'F#:minor'")
    return f"{PITCH_CLASSES[pitch_class(name)]}:{mode}"


def frequency(midi: float) -> float:
    """Frequency in Hz of a MIDI note number."""
    return float(440.0 * 2.0 ** ((midi - 69) / 12))
