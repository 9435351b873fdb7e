"""Pitched instruments by additive synthesis: partials with their own decay under one envelope.

    x(t) = attack(t) * sum_k a_k exp(-(decay + k damping) t) sin(2 pi r_k f (t + v(t)) + phase_k)

Partials at or above 45% of the sample rate are left out, so nothing aliases at any rate. Timbres differ in
spectrum, in how it decays, and in how it moves (vibrato), as ears and small classifiers need.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..pitch import frequency

HELD_SECONDS = 2.2  # longer than half a bar at the slowest tempo plus the longest release


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds.

    Attributes:
        amplitudes: of the partials.
        ratios: partial frequencies over the fundamental; harmonic (1, 2, 3 ...) when empty.
        decay: of the whole, 1/s.
        damping: extra decay per partial number, 1/s: high partials die first.
        attack, release: seconds.
        vibrato: peak deviation of the pitch as a fraction, at 5.5 Hz.
        level: RMS of the loudest part of a single note at full velocity.
    """

    amplitudes: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    decay: float = 0.0
    damping: float = 0.0
    attack: float = 0.004
    release: float = 0.06
    vibrato: float = 0.0
    level: float = 0.05


TIMBRES = {
    # comping; the level is per note of a chord
    "piano": Timbre((1.0, 0.55, 0.33, 0.2, 0.13, 0.08, 0.05), decay=1.2, damping=0.7, release=0.08, level=0.052),
    "organ": Timbre(
        (0.8, 1.0, 0.7, 0.6, 0.5, 0.35), ratios=(0.5, 1, 2, 3, 4, 8), attack=0.01, release=0.03, level=0.034
    ),
    "strings": Timbre(
        tuple(k**-1.1 for k in range(1, 15)), attack=0.14, release=0.18, vibrato=0.004, level=0.044
    ),
    "guitar": Timbre(
        (1.0, 0.9, 0.75, 0.3, 0.55, 0.4, 0.3, 0.1, 0.22, 0.15), decay=2.5, damping=1.6, attack=0.002, level=0.056
    ),
    # lead
    "flute": Timbre((1.0, 0.25, 0.06), attack=0.05, release=0.06, vibrato=0.006, level=0.095),
    "square lead": Timbre((1.0, 0.0, 0.42, 0.0, 0.27, 0.0, 0.2, 0.0, 0.14), attack=0.006, level=0.085),
    "vibraphone": Timbre((1.0, 0.45, 0.12), ratios=(1, 3.984, 10.67), decay=2.2, damping=4.0, release=0.2, level=0.11),
    "violin": Timbre(
        (1.0, 0.85, 0.7, 0.62, 0.3, 0.34, 0.26, 0.12, 0.1), attack=0.07, release=0.08, vibrato=0.009, level=0.085
    ),
    "bass": Timbre((1.0, 0.5, 0.25, 0.12, 0.06), decay=1.0, damping=0.8, release=0.05, level=0.1),
}  # fmt: skip


def note(instrument: str, midi: int, seconds: float, sample_rate: int) -> np.ndarray:
    """One note at full velocity: (N,) float64, held for ``seconds`` and then released."""
    timbre = TIMBRES[instrument]
    held, fade = round(seconds * sample_rate), round(timbre.release * sample_rate)
    samples = _held(instrument, midi, sample_rate)[: held + fade].copy()
    samples[held:] *= np.linspace(1.0, 0.0, fade) ** 2
    return samples


@functools.lru_cache(maxsize=256)
def _held(instrument: str, midi: int, sample_rate: int) -> np.ndarray:
    """A note that is never released, (HELD_SECONDS * sample_rate,); made once a process, as notes recur."""
    timbre = TIMBRES[instrument]
    t = np.arange(round(HELD_SECONDS * sample_rate)) / sample_rate
    # Vibrato grows in over a quarter of a second, as players do it.
    depth = timbre.vibrato * np.minimum(t / 0.25, 1.0)
    warped = t - depth * np.cos(2 * np.pi * 5.5 * t) / (2 * np.pi * 5.5)
    x = np.zeros_like(t)
    for k, amplitude in enumerate(timbre.amplitudes, start=1):
        hertz = frequency(midi) * (timbre.ratios[k - 1] if timbre.ratios else k)
        if amplitude and hertz < 0.45 * sample_rate:
            phase = 0.7 * k * k  # spread, so that the partials' peaks do not line up
            x += (
                amplitude
                * np.exp(-(timbre.decay + k * timbre.damping) * t)
                * np.sin(2 * np.pi * hertz * warped + phase)
            )
    x *= np.minimum(t / timbre.attack, 1.0)
    body = x[: round(0.4 * sample_rate)]
    x *= timbre.level / np.sqrt(np.mean(body**2))
    x.flags.writeable = False
    return x
