"""A composition to samples.

The result is rounded to 16 bits. Sines differ in their last bit between processors and numpy builds, some 1e-11 of a
16-bit step, so after rounding every machine has the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import drumkit, timbres
from .composition import Composition, Note

GAIN = 0.75  # of the whole mix: typical clips then peak near 0.6, the RMS is about 0.12
PEAK = 0.97  # a mix that would exceed this is turned down as a whole
_END_FADE = 0.005  # seconds, against the click of a note cut by the clip's end


def render(composition: Composition, sample_rate: int) -> np.ndarray:
    """Mono samples (N,), float32 in [-1, 1] on the grid of 16-bit PCM, at ``sample_rate`` Hz."""
    n = round(composition.seconds * sample_rate)
    mix = np.zeros(n)
    brief = composition.brief
    parts = ((brief.lead, composition.lead), (brief.comp, composition.comp), ("bass", composition.bass))
    for instrument, notes in parts:
        _add_notes(mix, instrument, notes, sample_rate)
    for time, drum in composition.drum_hits:
        _add(mix, drumkit.hit(drum, sample_rate), time, sample_rate)
    fade = min(n, round(_END_FADE * sample_rate))
    mix[n - fade :] *= np.linspace(1.0, 0.0, fade)
    mix *= GAIN
    mix *= min(1.0, PEAK / max(float(np.abs(mix).max(initial=0.0)), 1e-9))
    return (np.round(mix * 32768) / 32768).astype(np.float32)


def _add_notes(mix: np.ndarray, instrument: str, notes: Iterable[Note], sample_rate: int) -> None:
    for note in notes:
        samples = timbres.note(instrument, note.midi, note.end - note.start, sample_rate)
        _add(mix, samples * note.velocity, note.start, sample_rate)


def _add(mix: np.ndarray, samples: np.ndarray, time: float, sample_rate: int) -> None:
    start = round(time * sample_rate)
    length = min(len(samples), len(mix) - start)
    mix[start : start + length] += samples[:length]
