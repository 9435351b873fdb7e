"""Chord labels: Harte syntax ("A:min7/5", Harte et al., ISMIR 2005) and lead-sheet spelling ("Am7/E") to pitch classes.

A label becomes its root, its tones as semitones above the root, and its bass. Harte labels are parsed by mir_eval;
lead-sheet spelling is converted to Harte's first, by ``SUFFIXES``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

from ..common.errors import UserError, did_you_mean
from .pitch import PITCH_CLASSES, pitch_class

NO_CHORD = "N"

# What follows the root on a lead sheet -> Harte's shorthand.
SUFFIXES = {
    "": "maj", "maj": "maj", "M": "maj", "m": "min", "min": "min", "-": "min", "dim": "dim", "o": "dim", "aug": "aug",
    "+": "aug", "7": "7", "maj7": "maj7", "M7": "maj7", "m7": "min7", "min7": "min7", "-7": "min7", "m7b5": "hdim7",
    "dim7": "dim7", "o7": "dim7", "mM7": "minmaj7", "6": "maj6", "m6": "min6", "9": "9", "maj9": "maj9", "m9": "min9",
    "11": "11", "m11": "min11", "13": "13", "m13": "min13", "sus2": "sus2", "sus4": "sus4", "sus": "sus4",
    "7sus4": "sus4(b7)", "add9": "maj(9)", "5": "5",
}  # fmt: skip
_LEAD_SHEET = re.compile(r"([A-G][#b]*)([^/:()]*)(?:/([A-G][#b]*))?")
_HARTE_ROOT = re.compile(r"([A-G][#b]*)(.*)")
_INTERVALS = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")


@dataclass(frozen=True)
class ChordTones:
    """The content of a chord label.

    Attributes:
        root: pitch class; None for no chord.
        tones: semitones above the root, without a bass that is foreign to the chord.
        bass: semitones of the bass above the root.
    """

    root: int | None
    tones: frozenset[int] = frozenset()
    bass: int = 0


@functools.lru_cache(maxsize=4096)
def read_label(label: str) -> ChordTones:
    """Parse a label in either spelling; ``"N"``, ``"N.C."`` and ``"X"`` (unknown) are no chord.

    Raises:
        UserError: not a chord label.
    """
    if label.strip() in (NO_CHORD, "N.C.", "NC", "X"):
        return ChordTones(None)
    match = _HARTE_ROOT.fullmatch(to_harte(label))
    if match is None:
        raise _unknown(label)
    from mir_eval.chord import InvalidChordException, encode  # slow to import

    try:
        # The root is replaced by C, so that any is accepted. mir_eval adds the bass to the tones, so leave it out.
        _, _, bass = encode(f"C{match[2]}", reduce_extended_chords=False)
        _, bitmap, _ = encode(f"C{match[2].partition('/')[0]}", reduce_extended_chords=False)
    except (InvalidChordException, KeyError, ValueError, IndexError) as error:
        raise _unknown(label) from error
    return ChordTones(pitch_class(match[1]), frozenset(i for i, on in enumerate(bitmap) if on), int(bass) % 12)


def to_harte(label: str) -> str:
    """Convert lead-sheet spelling to Harte's; any other label is returned stripped but unchanged."""
    match = _LEAD_SHEET.fullmatch(label.strip())
    if match is None or match[2] not in SUFFIXES:
        return label.strip()
    root, suffix, bass = match.groups()
    interval = f"/{_INTERVALS[(pitch_class(bass) - pitch_class(root)) % 12]}" if bass else ""
    return f"{root}:{SUFFIXES[suffix]}{'' if interval == '/1' else interval}"


def nearest(chord: ChordTones, qualities: Collection[tuple[frozenset[int], int]]) -> tuple[frozenset[int], int]:
    """The (tones, bass) of a vocabulary that is nearest to a chord on the same root.

    The nearest has the fewest tones that are in one of the two only. Ties go to the same bass, then to the root as
    bass, then to the earlier quality.
    """

    def distance(quality: tuple[frozenset[int], int]) -> tuple[int, int]:
        tones, bass = quality
        return len(tones ^ chord.tones), 0 if bass == chord.bass else 1 if bass == 0 else 2

    return min(qualities, key=distance)


def _unknown(label: str) -> UserError:
    spelled = [f"{name}{suffix}" for name in PITCH_CLASSES for suffix in SUFFIXES]
    return UserError(
        f"unknown chord label {label!r}{did_you_mean(label, spelled)}; write it like 'Am7', 'C/E', 'A:min7' or 'N'"
    )
