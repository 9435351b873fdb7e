"""Synthetic audio for tests of judges, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def music(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Decaying chords, each with a burst of noise at its start; RandomState's stream is fixed for ever."""
    rng, n = np.random.RandomState(seed), round(seconds * RATE)
    time, wav = np.arange(n) / RATE, np.zeros(n)
    for start in np.arange(0.0, seconds, 0.5):
        since = time - start
        decay = np.where(since >= 0, np.exp(-4 * np.maximum(since, 0)), 0.0)
        for step in rng.choice(24, 3, replace=False):
            pitch = 130.8 * 2 ** (step / 12)
            wav += decay * sum(np.sin(2 * np.pi * k * pitch * since) / k for k in (1, 2, 3, 4))
        wav += np.where(since >= 0, np.exp(-60 * np.maximum(since, 0)), 0.0) * rng.uniform(-1, 1, n)
    return (0.5 * wav / np.abs(wav).max()).astype(np.float32)


def with_noise(wav: NDArray[np.float32], snr_db: float, seed: int = 1) -> NDArray[np.float32]:
    """The clip with white noise at a signal-to-noise ratio in dB."""
    noise = np.random.RandomState(seed).standard_normal(len(wav))
    return (wav + noise * np.sqrt((wav.astype(float) ** 2).mean() / 10 ** (snr_db / 10))).astype(np.float32)


def treble_cut(wav: NDArray[np.float32], decibels: float, above_hz: float = 1000.0) -> NDArray[np.float32]:
    """The clip with everything above a frequency turned down, as by a dull codec."""
    spectrum, frequency = np.fft.rfft(wav), np.fft.rfftfreq(len(wav), 1 / RATE)
    return np.fft.irfft(spectrum * np.where(frequency > above_hz, 10 ** (-decibels / 20), 1.0), len(wav)).astype("f4")
