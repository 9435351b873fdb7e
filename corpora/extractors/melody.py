"""The melody of a mix by harmonic summation: the pitch whose harmonics are strongest, smoothed by Viterbi.

Salience of each of the 53 notes G2..B6 is the sum of eight harmonics' magnitudes, each worth 0.8 of the one below
(Salamon and Gomez, TASLP 2012, weigh likewise); a slight tilt upwards, one per cent a semitone,
says that melodies lie on top.
"""

from __future__ import annotations

import functools

import numpy as np

from . import spectrum

NOTES = np.arange(43, 96)  # G2..B6
HARMONICS, HARMONIC_DECAY = 8, 0.8
TILT = 0.01
SWITCH_COST = 0.2  # in shares of the strongest note's salience
SILENCE = 0.02  # of the clip's greatest salience: nobody plays below


class SalienceMelody:
    """The built-in melody extractor."""

    name = "salience 1"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, int], ...]:
        """Notes as (start, end, MIDI note); nothing where it is quiet."""
        salience_TP = spectrum.magnitudes(audio_N, sample_rate) @ _harmonics()
        top_T1 = salience_TP.max(axis=1, keepdims=True)
        quiet_T1 = top_T1 <= SILENCE * top_T1.max() + 1e-6
        score_TP = np.concatenate([salience_TP / (top_T1 + 1e-9) * ~quiet_T1, quiet_T1], axis=1)
        path_T = spectrum.best_path(score_TP, SWITCH_COST)
        found = spectrum.spans(path_T, len(audio_N) / sample_rate)
        return tuple((a, b, int(NOTES[state])) for a, b, state in found if state < len(NOTES))


@functools.cache
def _harmonics() -> np.ndarray:
    """(F, 53): how much a bin counts for a note; harmonics are Gaussians of 0.2 semitones with a peak of 1."""
    hertz_F = np.maximum(spectrum.hertz(), 1e-3)
    midi_F = 69 + 12 * np.log2(hertz_F / 440)
    weights_FP = np.zeros((len(hertz_F), len(NOTES)))
    for harmonic in range(1, HARMONICS + 1):
        off_FP = midi_F[:, None] - (NOTES + 12 * np.log2(harmonic))
        near_FP = np.exp(-0.5 * (off_FP / 0.2) ** 2) * (hertz_F < 7000)[:, None]
        weights_FP += HARMONIC_DECAY ** (harmonic - 1) * near_FP / np.maximum(near_FP.max(axis=0), 1e-3)
    return weights_FP * np.exp(TILT * (NOTES - NOTES[0]))
