"""Levels of octave bands: how much bass, middle and treble a set of clips has, in decibels.

The bands begin at 62.5, 125, ... Hz; those that end above half the sample rate are left out. A level is the power of
the whole clip within the band, relative to full scale (a sine of amplitude 1 has -3 dB), by Parseval's theorem. A band
of less than -80 dB counts as -80 dB, so that a silent band weighs no more than one that nobody can hear.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft

LOWEST_HZ, OCTAVES = 62.5, 8  # up to 16 kHz
FLOOR_DB = -80.0

Float = NDArray[np.float64]


def octave_edges(sample_rate: int) -> Float:
    """Edges of the bands that a sample rate holds whole, in Hz, (bands + 1,)."""
    edges: Float = LOWEST_HZ * 2.0 ** np.arange(OCTAVES + 1, dtype=np.float64)
    return edges[edges <= sample_rate / 2]


def octave_levels(wav: NDArray[np.floating], sample_rate: int) -> Float:
    """Level of each octave band of a clip (N,), in dB, (bands,)."""
    samples = np.asarray(wav, np.float64)
    size = fft.next_fast_len(len(samples), real=True)
    power = np.abs(fft.rfft(samples, size)) ** 2 * (2.0 / (size * len(samples)))
    cuts = np.searchsorted(np.arange(len(power)) * (sample_rate / size), octave_edges(sample_rate))
    sums = np.array([power[low:high].sum() for low, high in pairwise(cuts)])
    levels: Float = 10.0 * np.log10(np.maximum(sums, 10 ** (FLOOR_DB / 10)))
    return levels


def band_level(reference_NB: Float, generated_MB: Float) -> float:
    """Mean over bands of the absolute difference between the two sets' mean levels, in dB.

    Args:
        reference_NB, generated_MB: ``octave_levels`` of the clips of each set.
    """
    return float(np.abs(generated_MB.mean(0) - reference_NB.mean(0)).mean())
