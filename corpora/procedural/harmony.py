"""Keys, chords, progressions, and the pitches of the lead line.

A progression is written in Roman numerals: upper case is major, lower case minor; degrees are those of the major or
natural minor scale; ``7`` after a major chord is a dominant seventh. Minor keys use the major dominant ``V7`` of
harmonic minor, since its leading tone distinguishes them from their relative major. Tonics are plain triads, since a
tonic with a seventh contains the relative key's tonic.

The lead has chord tones where a chord begins, and mostly steps of the scale between.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ..pitch import PITCH_CLASSES, pitch_class

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
QUALITIES = {"maj": (0, 4, 7), "min": (0, 3, 7), "7": (0, 4, 7, 10), "min7": (0, 3, 7, 10)}
SYMBOLS = {"maj": "", "min": "m", "7": "7", "min7": "m7"}

# Progressions that start on the tonic fit any clip. The others define the key only when the tonic arrives, so they are
# used only where chords change every half bar; even at the slowest tempo the tonic then sounds within 4 s.
TONIC_STARTS = {
    "major": (
        "I V vi IV", "I vi IV V7", "I IV V7 I", "I vi ii V7", "I iii IV V7", "I IV I V7", "I vi ii7 V7",
        "I IV vi V",
    ),
    "minor": (
        "i VI III VII", "i iv V7 i", "i VII VI V7", "i VI iv V7", "i iv VII III", "i V7 i iv", "i iv7 V7 i",
        "i VI VII i",
    ),
}  # fmt: skip
OTHER_STARTS = {
    "major": ("ii V7 I vi", "IV V7 I vi", "ii7 V7 I IV"),
    "minor": ("iv V7 i VI", "VI V7 i iv", "iv7 V7 i VII"),
}
_DEGREES = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4, "VI": 5, "VII": 6}
LEAD_LOWEST, LEAD_HIGHEST = 67, 86  # G4 to D6, above the comping


@dataclass(frozen=True)
class Chord:
    """A chord: the pitch class of its root, and a key of ``QUALITIES``."""

    root: int
    quality: str

    @property
    def label(self) -> str:
        """Harte label, e.g. ``"A:min7"``."""
        return f"{PITCH_CLASSES[self.root]}:{self.quality}"

    @property
    def symbol(self) -> str:
        """Lead-sheet symbol, e.g. ``"Am7"``."""
        return PITCH_CLASSES[self.root] + SYMBOLS[self.quality]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Pitch classes of the chord tones, root first."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality])


def roman_chord(numeral: str, key: str) -> Chord:
    """The chord that a Roman numeral such as ``"ii7"`` means in a key such as ``"C:major"``."""
    tonic, _, mode = key.partition(":")
    degree = numeral.rstrip("7")
    seventh = numeral[len(degree) :]
    minor = degree.islower()
    root = (pitch_class(tonic) + SCALES[mode][_DEGREES[degree.upper()]]) % 12
    return Chord(root, f"min{seventh}" if minor else seventh or "maj")


def scale_pitch_classes(key: str) -> frozenset[int]:
    """The seven pitch classes of a key (natural minor for minor keys)."""
    tonic, _, mode = key.partition(":")
    return frozenset((pitch_class(tonic) + step) % 12 for step in SCALES[mode])


def close_voicing(chord: Chord, lowest: int) -> tuple[int, ...]:
    """MIDI notes of the chord in close position, each in the octave from ``lowest`` up, ascending."""
    return tuple(sorted(lowest + (pc - lowest) % 12 for pc in chord.pitch_classes))


def next_pitch(previous: int, chord: Chord, scale: frozenset[int], strong: bool, rng: np.random.Generator) -> int:
    """Draw the next MIDI note of the lead.

    A note that is not ``strong`` may be any scale or chord tone within a fourth. Scale tones a semitone from a chord
    tone are left out, such as the minor seventh degree over the leading tone of a dominant chord.

    Args:
        scale: pitch classes of the key.
        strong: the note falls on the chord's start, so it must be a chord tone.
    """
    chord_tones = frozenset(chord.pitch_classes)
    clashing = frozenset(pc for pc in scale - chord_tones if {(pc + 1) % 12, (pc - 1) % 12} & chord_tones)
    allowed = chord_tones if strong else (scale - clashing) | chord_tones
    reach = 7 if strong else 5
    near = [p for p in range(LEAD_LOWEST, LEAD_HIGHEST + 1) if p % 12 in allowed and 0 < abs(p - previous) <= reach]
    weights = [24 // (1 + abs(p - previous)) for p in near]  # integers, so that no rounding decides
    ticket = int(rng.integers(sum(weights)))
    return next(p for p, last in zip(near, accumulate(weights)) if ticket < last)


def first_pitch(chord: Chord, rng: np.random.Generator) -> int:
    """Draw the first MIDI note of the lead: a chord tone in the middle of its range."""
    near = [p for p in range(71, 80) if p % 12 in chord.pitch_classes]
    return near[int(rng.integers(len(near)))]
