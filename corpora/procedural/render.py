"""Instruments, and compositions to samples.

Pitched instruments are additive synthesis: partials with their own decay under one envelope,

    x(t) = attack(t) * sum_k a_k exp(-(decay + k damping) t) sin(2 pi r_k f (t + v(t)) + phase_k)

Partials at or above 45% of the sample rate are left out, so nothing aliases at any rate. Timbres differ in their
spectrum, in its decay and in its movement (vibrato), the cues by which ears and small classifiers tell them apart.

Drums are a swept sine for the kick, tone and noise for the snare, and high-passed noise for the cymbals. Noise is
shaped in the frequency domain up to half the sample rate, so each rate is rendered natively, without aliasing.

The mix is rounded to 16 bits. Sines differ in their last bit between processors and numpy builds, by about 1e-11 of a
16-bit step, so after rounding every machine has the same samples.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ...common.seeds import seed_for
from ..clip import Annotation
from ..pitch import frequency
from .composition import CLOSED_HAT, KICK, OPEN_HAT, RIDE, SNARE, Composition

GAIN = 0.75  # of the whole mix: typical clips then peak near 0.6, the RMS is about 0.12
PEAK = 0.97  # a mix that would exceed this is turned down as a whole
_END_FADE = 0.005  # seconds, against the click of a note cut by the clip's end
HELD_SECONDS = 2.2  # longer than half a bar at the slowest tempo plus the longest release

# General MIDI drum notes that each drum of the kit stands for.
_ON_THE_KIT = {
    KICK: (35, 36, 41, 43, 45), SNARE: (37, 38, 39, 40, 47, 48, 50), CLOSED_HAT: (42, 44, 54, 69, 70),
    OPEN_HAT: (46, 49, 52, 55, 57), RIDE: (51, 53, 56, 59),
}  # fmt: skip
_NEAREST = {note: drum for drum, notes in _ON_THE_KIT.items() for note in notes}
KIT = tuple(_ON_THE_KIT)  # kick, snare, closed hat, open hat, ride


def render(composition: Composition, sample_rate: int) -> np.ndarray:
    """Mono samples (N,), float32 in [-1, 1] on the grid of 16-bit PCM, at ``sample_rate`` Hz."""
    n = round(composition.seconds * sample_rate)
    mix = np.zeros(n)
    brief = composition.brief
    parts = ((brief.lead, composition.lead), (brief.comp, composition.comp), ("bass", composition.bass))
    for instrument, notes in parts:
        for note in notes:
            samples = pitched_note(instrument, note.midi, note.end - note.start, sample_rate)
            _add(mix, samples * note.velocity, note.start, sample_rate)
    for time, drum in composition.drum_hits:
        _add(mix, drum_hit(drum, sample_rate), time, sample_rate)
    fade = min(n, round(_END_FADE * sample_rate))
    mix[n - fade :] *= np.linspace(1.0, 0.0, fade)
    mix *= GAIN
    mix *= min(1.0, PEAK / max(float(np.abs(mix).max(initial=0.0)), 1e-9))
    return (np.round(mix * 32768) / 32768).astype(np.float32)


def _add(mix: np.ndarray, samples: np.ndarray, time: float, sample_rate: int) -> None:
    start = round(time * sample_rate)
    length = min(len(samples), len(mix) - start)
    mix[start : start + length] += samples[:length]


def drum_stem(annotation: Annotation | None, seconds: float, sample_rate: int) -> np.ndarray | None:
    """The annotated drums alone, played on the built-in kit.

    For the built-in corpus this is exactly the drum part of its mix, since kit and gain are the same. For other
    annotated music it has the right hits at the right times on other drums: General MIDI drums that the kit lacks are
    played on the nearest drum that it has. Other percussion (whistles, congas, ...) is left out.

    Returns:
        mono samples (N,), float32: silence if the annotation states that there are no drums, None if it states nothing.
    """
    hits = kit_hits(annotation)
    if hits is None:
        return None
    samples = round(seconds * sample_rate)
    mix_N = np.zeros(samples)
    for time, drum in hits:
        if 0 <= round(time * sample_rate) < samples:
            _add(mix_N, drum_hit(drum, sample_rate), time, sample_rate)
    return (GAIN * mix_N).astype(np.float32)


def kit_hits(annotation: Annotation | None) -> list[tuple[float, int]] | None:
    """The annotated hits as (seconds, drum of ``KIT``): each drum is replaced by the nearest one, others are left out.

    Returns:
        no hits if the annotation states that there are no drums, None if it states nothing.
    """
    if annotation is None or not (annotation.drum_hits or annotation.drums):
        return None
    return [(time, _NEAREST[note]) for time, note in annotation.drum_hits if note in _NEAREST]


@dataclass(frozen=True)
class Timbre:
    """The sound of an instrument.

    Attributes:
        amplitudes: of the partials.
        ratios: frequencies of the partials over the fundamental; empty: harmonic (1, 2, 3 ...).
        decay: of all partials, 1/s.
        damping: additional decay per partial number, 1/s, so that high partials end first.
        attack, release: seconds.
        vibrato: peak deviation of the pitch as a fraction, at 5.5 Hz.
        level: RMS of the start of a single note at full velocity.
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


def pitched_note(instrument: str, midi: int, seconds: float, sample_rate: int) -> np.ndarray:
    """One note at full velocity: (N,) float64, held for ``seconds`` and then released."""
    timbre = TIMBRES[instrument]
    held, fade = round(seconds * sample_rate), round(timbre.release * sample_rate)
    samples = _held(instrument, midi, sample_rate)[: held + fade].copy()
    samples[held:] *= np.linspace(1.0, 0.0, fade) ** 2
    return samples


@functools.lru_cache(maxsize=256)
def _held(instrument: str, midi: int, sample_rate: int) -> np.ndarray:
    """A note without release, (HELD_SECONDS * sample_rate,) float64; cached, since notes recur."""
    timbre = TIMBRES[instrument]
    t = np.arange(round(HELD_SECONDS * sample_rate)) / sample_rate
    # Vibrato grows over a quarter of a second, as players do it.
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


@functools.lru_cache(maxsize=32)
def drum_hit(drum: int, sample_rate: int) -> np.ndarray:
    """One hit of a General MIDI drum note, (N,) float64."""
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
    # Inharmonic partials of a plate, without those above 45% of the sample rate.
    hertz = [f for f in (2610.0, 3370.0, 4130.0, 5290.0, 6510.0) if f < 0.45 * sample_rate]
    tone = sum((np.sin(2 * np.pi * f * t) for f in hertz), np.zeros_like(t)) / 5
    return np.asarray(
        0.1 * tone * np.exp(-t / 0.12) + 0.06 * _noise("ride", 0.35, 5000, sample_rate) * np.exp(-t / 0.05)
    )


_STROKES = {KICK: _kick, SNARE: _snare, CLOSED_HAT: _closed_hat, OPEN_HAT: _open_hat, RIDE: _ride}


def _time(seconds: float, sample_rate: int) -> np.ndarray:
    return np.arange(round(seconds * sample_rate)) / sample_rate


def _noise(name: str, seconds: float, lowest_hertz: float, sample_rate: int) -> np.ndarray:
    """White noise with standard deviation 1, high-passed at ``lowest_hertz`` (24 dB per octave)."""
    n = round(seconds * sample_rate)
    rng = np.random.Generator(np.random.PCG64(seed_for("drumkit", name)))
    spectrum = np.fft.rfft(rng.standard_normal(n))
    ratio = np.fft.rfftfreq(n, 1 / sample_rate) / lowest_hertz
    return np.asarray(np.fft.irfft(spectrum * ratio**4 / (1 + ratio**4), n))
