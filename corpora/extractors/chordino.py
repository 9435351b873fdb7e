"""Chords by Chordino (Mauch and Dixon, ISMIR 2010), through the package chord-extractor, whose plugin is GPL.

It reports nothing before the end of its first window (16384 samples at 44100 Hz) and then a moment of no chord; the
first chord after that is taken to sound from the beginning.
"""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

from ...common.errors import UserError
from ..chord_labels import NO_CHORD, to_harte

LATE = 0.5  # seconds; a first chord before this may have sounded from the beginning


class Chordino:
    """The extractor of papers/002; optional."""

    @property
    def name(self) -> str:
        """With the package's version, which decides the plugin's."""
        return f"chordino (chord-extractor {metadata.version('chord-extractor')}) 2"

    def __init__(self) -> None:
        try:
            from chord_extractor.extractors import Chordino as Plugin
        except ImportError as error:
            raise UserError(
                "chord extractor 'chordino' needs chord-extractor and vamp; install them as docs/control.md says, "
                "or use 'templates'"
            ) from error
        self._plugin = Plugin()

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, str], ...]:
        """Chords as (start, end, Harte label), from 0 to the end of the audio."""
        import soundfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "clip.wav")
            soundfile.write(path, audio_N, sample_rate)
            changes = [(change.timestamp, to_harte(change.chord)) for change in self._plugin.extract(str(path))]
        return from_changes(changes, len(audio_N) / sample_rate)


def from_changes(changes: list[tuple[float, str]], seconds: float) -> tuple[tuple[float, float, str], ...]:
    """Times at which chords begin, and their labels, as spans from 0 to ``seconds``."""
    begun = [(time, label) for time, label in changes if time < seconds]
    while len(begun) > 1 and begun[0][1] == NO_CHORD and begun[1][0] < LATE:
        begun = begun[1:]
    if not begun or begun[0][0] >= LATE:
        begun = [(0.0, NO_CHORD), *begun]
    starts = [0.0, *(time for time, _ in begun[1:])]
    ends = [*starts[1:], seconds]
    return tuple((start, end, label) for start, end, (_, label) in zip(starts, ends, begun) if end > start)
