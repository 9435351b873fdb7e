"""Chords by templates: chroma compared with the tones of each chord, smoothed by Viterbi (Fujishima, ICMC 1999).

Chroma of 100..1200 Hz is compared by cosine with major, minor, dominant and minor seventh chords on twelve roots; a
chord whose root sounds in the bass (40..140 Hz) gains. Sevenths are distinguished from triads, so both vocabularies
can be scored.
"""

from __future__ import annotations

import functools

import numpy as np

from ..pitch import PITCH_CLASSES
from . import spectrum

KINDS = {"maj": (0, 4, 7), "min": (0, 3, 7), "7": (0, 4, 7, 10), "min7": (0, 3, 7, 10)}
LABELS = (*(f"{root}:{kind}" for kind in KINDS for root in PITCH_CLASSES), "N")
BASS_WEIGHT = 0.4
NO_CHORD_SCORE = 0.6  # a chord must be this alike to be one
SWITCH_COST = 0.75  # in cosines; about that much must be gained in sum by changing
SILENCE = 1e-4  # of the mean magnitude: nothing sounds below


class TemplateChords:
    """The built-in chord extractor."""

    name = "templates 1"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, str], ...]:
        """Chords as (start, end, Harte label), from 0 to the end of the audio."""
        magnitude_TF = spectrum.magnitudes(audio_N, sample_rate)
        chroma_TP, bass_TP = chroma(magnitude_TF), bass_chroma(magnitude_TF)
        chords = len(LABELS) - 1
        alike_TS = chroma_TP @ _templates().T + BASS_WEIGHT * bass_TP[:, np.arange(chords) % 12]
        alike_TS[magnitude_TF.mean(axis=1) < SILENCE] = 0.0
        score_TS = np.pad(alike_TS, ((0, 0), (0, 1)), constant_values=NO_CHORD_SCORE)
        path_T = spectrum.best_path(score_TS, SWITCH_COST)
        return tuple((a, b, LABELS[state]) for a, b, state in spectrum.spans(path_T, len(audio_N) / sample_rate))


def chroma(magnitude_TF: np.ndarray) -> np.ndarray:
    """How strong each pitch class is in ``spectrum.magnitudes``, (T, 12), rows of length 1."""
    return _unit(magnitude_TF @ _pitch_class_weights()[0])


def bass_chroma(magnitude_TF: np.ndarray) -> np.ndarray:
    """The same of the bass alone."""
    return _unit(magnitude_TF @ _pitch_class_weights()[1])


def _unit(x_TP: np.ndarray) -> np.ndarray:
    return np.asarray(x_TP / (np.linalg.norm(x_TP, axis=1, keepdims=True) + 1e-9))


@functools.cache
def _templates() -> np.ndarray:
    rows = [np.isin(np.arange(12), [(root + i) % 12 for i in tones]) for tones in KINDS.values() for root in range(12)]
    return _unit(np.array(rows, dtype=float))


@functools.cache
def _pitch_class_weights() -> tuple[np.ndarray, np.ndarray]:
    """(F, 12) for chroma and for bass: a Gaussian of 0.3 semitones around each pitch, within the band."""
    hertz_F = spectrum.hertz()
    midi_F = 69 + 12 * np.log2(np.maximum(hertz_F, 1) / 440)
    off_FP = (midi_F[:, None] - np.arange(12) + 6) % 12 - 6
    near_FP = np.exp(-0.5 * (off_FP / 0.3) ** 2)

    def band(low: float, high: float) -> np.ndarray:
        return np.asarray(near_FP * ((hertz_F >= low) & (hertz_F <= high))[:, None])

    return band(100, 1200), band(40, 140)
