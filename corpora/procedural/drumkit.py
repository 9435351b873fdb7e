"""A synthesised drum kit: swept sine for the kick, tone and noise for the snare, high-passed noise for the cymbals.

Noise is shaped in the frequency domain up to half the sample rate, so each rate is rendered natively, without aliasing.
"""

from __future__ import annotations

import functools

import numpy as np

from ...common.seeds import seed_for
from .patterns import CLOSED_HAT, KICK, OPEN_HAT, RIDE, SNARE


@functools.lru_cache(maxsize=32)
def hit(drum: int, sample_rate: int) -> np.ndarray:
    """One stroke of a General MIDI drum note, (N,) float64."""
    x = _STROKES[drum](sample_rate)
    x *= np.minimum(np.arange(len(x), 0, -1) / (0.01 * sample_rate), 1.0)  # no click at the end
    x.flags.writeable = False
    return x


def _kick(sample_rate: int) -> np.ndarray:
    t = _time(0.28, sample_rate)
    # Instantaneous frequency 48 + 110 exp(-t / 0.03) Hz; this is its integral.
    cycles = 48 * t + 110 * 0.03 * (1 - np.exp(-t / 0.03))
    return np.asarray(0.42 * np.sin(2 * np.pi * cycles) * np.exp(-t / 0.08))


def _snare(sample_rate: int) -> np.ndarray:
    t = _time(0.22, sample_rate)
    tone = np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05)
    return 0.14 * tone + 0.2 * _noise("snare", 0.22, 1200, sample_rate) * np.exp(-t / 0.05)


def _closed_hat(sample_rate: int) -> np.ndarray:
    return 0.09 * _noise("closed hat", 0.06, 5000, sample_rate) * np.exp(-_time(0.06, sample_rate) / 0.015)


def _open_hat(sample_rate: int) -> np.ndarray:
    return 0.08 * _noise("open hat", 0.24, 4500, sample_rate) * np.exp(-_time(0.24, sample_rate) / 0.09)


def _ride(sample_rate: int) -> np.ndarray:
    t = _time(0.35, sample_rate)
    # Inharmonic partials of a plate; those above the band are left out.
    hertz = [f for f in (2610.0, 3370.0, 4130.0, 5290.0, 6510.0) if f < 0.45 * sample_rate]
    tone = sum((np.sin(2 * np.pi * f * t) for f in hertz), np.zeros_like(t)) / 5
    return np.asarray(
        0.1 * tone * np.exp(-t / 0.12) + 0.06 * _noise("ride", 0.35, 5000, sample_rate) * np.exp(-t / 0.05)
    )


_STROKES = {KICK: _kick, SNARE: _snare, CLOSED_HAT: _closed_hat, OPEN_HAT: _open_hat, RIDE: _ride}


def _time(seconds: float, sample_rate: int) -> np.ndarray:
    return np.arange(round(seconds * sample_rate)) / sample_rate


def _noise(name: str, seconds: float, lowest_hertz: float, sample_rate: int) -> np.ndarray:
    """White noise of unit variance per full band, without what lies below ``lowest_hertz`` (24 dB per octave)."""
    n = round(seconds * sample_rate)
    rng = np.random.Generator(np.random.PCG64(seed_for("drumkit", name)))
    spectrum = np.fft.rfft(rng.standard_normal(n))
    ratio = np.fft.rfftfreq(n, 1 / sample_rate) / lowest_hertz
    return np.asarray(np.fft.irfft(spectrum * ratio**4 / (1 + ratio**4), n))
