"""Controls that follow the music in time: chords, melody and drums as one token per latent frame (papers/002, app. C).

    name            tokens                                              embedding
    chords          Chordino's 193 labels: 16 kinds on 12 roots, none   16
    chords_majmin   24 triads, none                                     16
    melody          the 53 notes G2..B6 (MIDI 43..95), none             16
    drums           entries of the codec's first codebook               2

"None" is a value like any other: silence is asked for, too. What guidance drops is another thing, the learned null
token; its index is ``cardinality`` and it belongs to the model, not to the data, where ``ABSENT`` stands for a control
that a clip has not. papers/002 gives the range of the
melody as G2 to B7 but its size as 53, which is G2 to B6; sizes of embeddings are those of JASCO's release.

Labels that a vocabulary lacks go to the nearest that it has, on the same root: the one with the fewest tones in excess
or missing (so a ninth becomes its seventh, a diminished seventh its triad, and for ``chords_majmin`` every chord its
triad by the third), then by bass, which is dropped where the vocabulary knows none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...common.errors import UserError, did_you_mean
from ...corpora.chord_labels import NO_CHORD, ChordTones, nearest, read_label, to_harte
from ...corpora.pitch import PITCH_CLASSES
from ..base import LatentSpec

LOWEST_NOTE, HIGHEST_NOTE = 43, 95  # G2 and B6
NO_NOTE = HIGHEST_NOTE - LOWEST_NOTE + 1
ABSENT = -1  # at every frame of a control that is not known; the model sees its null token there
NAMES = ("chords", "chords_majmin", "melody", "drums")

# The chord dictionary inside Chordino (nnls-chroma 1.1), in Harte's spelling; plainer kinds first, since ties go there.
CHORDINO_KINDS = (
    "maj", "min", "7", "min7", "maj7", "maj6", "min6", "dim", "hdim7", "aug", "maj/3", "maj/5", "maj/2", "maj/b7",
    "7/3", "hdim7/b7",
)  # fmt: skip
MAJMIN_KINDS = ("maj", "min")
_KINDS = {"chords": CHORDINO_KINDS, "chords_majmin": MAJMIN_KINDS}


@dataclass(frozen=True)
class ControlSpec:
    """What a model must know about one control.

    Args:
        cardinality: values are tokens 0..cardinality - 1; the model's null token is ``cardinality``.
        dim: of the embedding.
    """

    name: str
    cardinality: int
    dim: int


def control_specs(names: Sequence[str], latent: LatentSpec) -> tuple[ControlSpec, ...]:
    """The specs of the controls called ``names``, in that order.

    Raises:
        UserError: an unknown or repeated name, both chord vocabularies at once, or drums without a codebook.
    """
    for name in names:
        if name not in NAMES:
            raise UserError(f"unknown control {name!r}{did_you_mean(name, list(NAMES))}; known: {', '.join(NAMES)}")
    if len(set(names)) < len(names) or set(_KINDS) <= set(names):
        raise UserError(f"controls {', '.join(names)}: give each only once, and only one of {' and '.join(_KINDS)}")
    if "drums" in names and not latent.codebooks:
        raise UserError(f"control 'drums' needs codebooks, but {latent.name!r} has none; leave it out")
    return tuple(_spec(name, latent) for name in names)


def _spec(name: str, latent: LatentSpec) -> ControlSpec:
    if name == "melody":
        return ControlSpec(name, NO_NOTE + 1, 16)
    if name == "drums":
        return ControlSpec(name, latent.cardinality, 2)
    return ControlSpec(name, len(chord_labels(name)), 16)


def chord_labels(control: str) -> tuple[str, ...]:
    """The vocabulary of a chord control: Harte labels by token, kind by kind; the last is ``"N"``."""
    return (*(f"{root}:{kind}" for kind in _KINDS[control] for root in PITCH_CLASSES), NO_CHORD)


def chord_token(label: str, control: str = "chords") -> int:
    """The token of a label in Harte's or lead-sheet spelling; one that the vocabulary lacks: of the nearest.

    Raises:
        UserError: not a chord label.
    """
    chord = read_label(label)
    kinds = [_tones(kind) for kind in _KINDS[control]]
    if chord.root is None:
        return 12 * len(kinds)
    return 12 * kinds.index(nearest(chord, kinds)) + chord.root


def chord_label(token: int, control: str = "chords") -> str:
    """The Harte label of a token."""
    return chord_labels(control)[token]


def melody_token(midi: int) -> int:
    """The token of a MIDI note; one out of range is no note."""
    return midi - LOWEST_NOTE if LOWEST_NOTE <= midi <= HIGHEST_NOTE else NO_NOTE


def parse_chords(text: str, seconds: float, tempo: float | None = None) -> list[tuple[float, float, str]]:
    """A progression such as ``"C:4 Am:4 F:4 G:4"`` as (start, end, Harte label), in seconds, over the whole clip.

    The number after the last colon is a length, so a dominant seventh is ``"G7:4"`` or ``"G:7:4"``. With a tempo (beats
    per minute) lengths are beats, and the progression starts over until the clip ends; without one they are shares,
    and the progression fills the clip once.

    Raises:
        UserError: an unknown label, or a length that is no positive number.
    """
    items = [_item(item) for item in text.replace(",", " ").split()]
    if not items:
        raise UserError("chords: nothing given; write them like 'C:4 Am:4 F:4 G:4'")
    total = sum(length for _, length in items)
    unit = 60.0 / tempo if tempo else seconds / total
    spans: list[tuple[float, float, str]] = []
    begun, i = 0.0, 0
    while begun < seconds - 1e-9:
        label, length = items[i % len(items)]
        end = min(begun + length * unit, seconds)
        spans.append((begun, end, label))
        begun, i = end, i + 1
    return spans


def _item(item: str) -> tuple[str, float]:
    label, _, number = item.rpartition(":")
    try:
        length = float(number)
    except ValueError:
        length = 0.0
    if not label or not 0 < length < float("inf"):
        raise UserError(f"chords: {item!r} is not CHORD:LENGTH; write it like 'Am:4' or 'A:min7:2'")
    read_label(label)
    return to_harte(label), length


def _tones(kind: str) -> tuple[frozenset[int], int]:
    chord: ChordTones = read_label(f"C:{kind}")
    return chord.tones, chord.bass
