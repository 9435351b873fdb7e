"""Beats by librosa's tracker (Ellis, JNMR 2007); down-beats are the one in four where bass and harmony change most."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np

from corpora.extractors import spectrum

HOP = 256
LEAD_IN = 0.25  # seconds of silence put before the clip, without which a beat at its start is not seen
LATENESS = 0.03  # seconds by which the tracker's beats lag behind exact ones, on built-in and on soundfont music
METER = 4


class LibrosaBeats:
    """The built-in beat extractor."""

    @property
    def name(self) -> str:
        """With librosa's version, on which beats depend."""
        return f"librosa {metadata.version('librosa')}, four to the bar 1"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Beats and down-beats, seconds; none in silence."""
        import librosa

        if not np.any(np.abs(audio_N) > 1e-4):
            return (), ()
        lead_in = round(LEAD_IN * sample_rate)
        padded = np.pad(audio_N, (lead_in, 0))
        _, frames = librosa.beat.beat_track(y=padded, sr=sample_rate, hop_length=HOP, trim=False)
        times = librosa.frames_to_time(frames, sr=sample_rate, hop_length=HOP) - LEAD_IN - LATENESS
        beats = np.unique(np.maximum(times[times > -LEAD_IN / 2], 0.0))
        return tuple(beats.tolist()), tuple(_downbeats(beats, audio_N, sample_rate).tolist())


def _downbeats(beats: np.ndarray, audio_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Every fourth beat, beginning with the phase at which the low spectrum (below 300 Hz) rises most on average."""
    if len(beats) < METER:
        return beats[:1]
    low_TF: Any = np.log1p(spectrum.magnitudes(audio_N, sample_rate)[:, spectrum.hertz() < 300])
    around = np.rint(beats / spectrum.HOP_SECONDS).astype(int)[:, None] + np.array([-3, 3])
    before_after = np.clip(around, 0, len(low_TF) - 1)
    change = np.maximum(low_TF[before_after[:, 1]] - low_TF[before_after[:, 0]], 0).sum(axis=1)
    first = max(range(METER), key=lambda phase: change[phase::METER].mean())
    return beats[first::METER]
