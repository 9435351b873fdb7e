"""Chords by Chordino (Mauch and Dixon, ISMIR 2010), through the package chord-extractor, whose plugin is GPL."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from common.errors import UserError
from corpora.chord_labels import to_harte


class Chordino:
    """The extractor of papers/002; optional."""

    name = "chordino (chord-extractor)"

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

        seconds = len(audio_N) / sample_rate
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "clip.wav")
            soundfile.write(path, audio_N, sample_rate)
            changes = [
                (max(0.0, change.timestamp), to_harte(change.chord)) for change in self._plugin.extract(str(path))
            ]
        ends = [*(time for time, _ in changes[1:]), seconds]
        return tuple((start, end, label) for (start, label), end in zip(changes, ends) if end > start)
