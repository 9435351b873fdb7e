"""Rhythms of the accompaniment, in beats of a 4/4 bar (0 is the downbeat).

Eighth notes are written straight; a shuffle delays the off-beats when beats are turned into seconds (composition.py).
"""

from __future__ import annotations

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

# Two beats of comping: (onset, length, which chord tones: None for all, else one index of an arpeggio).
Comping = tuple[tuple[float, float, int | None], ...]
_HELD: Comping = ((0.0, 2.0, None),)
_PULSE: Comping = ((0.0, 1.0, None), (1.0, 1.0, None))
_PUSHED: Comping = ((0.0, 1.5, None), (1.5, 0.5, None))
_STRUM: Comping = ((0.0, 1.0, None), (1.0, 0.5, None), (1.5, 0.5, None))
_ARPEGGIO: Comping = tuple((i / 2, 1.0 if i < 3 else 0.5, i) for i in range(4))
COMPING: dict[str, tuple[Comping, ...]] = {
    "piano": (_PULSE, _PUSHED),
    "organ": (_HELD, _PUSHED),
    "strings": (_HELD,),
    "guitar": (_STRUM, _ARPEGGIO),
}

# Two beats of bass: (onset, length, interval above the chord's root in semitones).
BASS: tuple[tuple[tuple[float, float, int], ...], ...] = (
    ((0.0, 2.0, 0),),
    ((0.0, 1.0, 0), (1.0, 1.0, 0)),
    ((0.0, 1.0, 0), (1.0, 1.0, 7)),
    ((0.0, 1.5, 0), (1.5, 0.5, 0)),
)

# Two beats of melody: lengths of successive notes.
MELODY: tuple[tuple[float, ...], ...] = ((1.0, 1.0), (2.0,), (1.0, 0.5, 0.5), (0.5, 0.5, 1.0), (1.5, 0.5), (0.5,) * 4)
