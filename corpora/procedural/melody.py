"""The lead line: chord tones where a chord begins, mostly steps of the scale between."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from .harmony import Chord

LOWEST, HIGHEST = 67, 86  # G4 to D6, above the comping


def next_pitch(previous: int, chord: Chord, scale: frozenset[int], strong: bool, rng: np.random.Generator) -> int:
    """Draw the next MIDI note.

    Args:
        previous: the note before.
        chord: the chord that sounds.
        scale: pitch classes of the key.
        strong: the note falls on the chord's start, so that it must be a chord tone.
        rng: source of randomness.

    A weak note may be any scale or chord tone within a fourth; the seventh degree gives way to the leading tone of a
    dominant chord, so that melody and chord never clash by a semitone.
    """
    chord_tones = frozenset(chord.pitch_classes)
    clashing = frozenset(pc for pc in scale - chord_tones if {(pc + 1) % 12, (pc - 1) % 12} & chord_tones)
    allowed = chord_tones if strong else (scale - clashing) | chord_tones
    reach = 7 if strong else 5
    near = [p for p in range(LOWEST, HIGHEST + 1) if p % 12 in allowed and 0 < abs(p - previous) <= reach]
    weights = [24 // (1 + abs(p - previous)) for p in near]  # integers, so that no rounding decides
    ticket = int(rng.integers(sum(weights)))
    return next(p for p, last in zip(near, accumulate(weights)) if ticket < last)


def first_pitch(chord: Chord, rng: np.random.Generator) -> int:
    """A chord tone in the middle of the range."""
    near = [p for p in range(71, 80) if p % 12 in chord.pitch_classes]
    return near[int(rng.integers(len(near)))]
