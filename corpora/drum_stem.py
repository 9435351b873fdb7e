"""The drums alone: what a clip's annotation says was hit, played on the built-in kit.

For the built-in corpus this is the very stem in its mix (the kit is the same, and so is the gain); for other annotated
music it has the right hits at the right times with other drums. General MIDI drums that the kit lacks are played on the
nearest that it has.
"""

from __future__ import annotations

import numpy as np

from .clip import Annotation
from .procedural.drumkit import hit
from .procedural.patterns import CLOSED_HAT, KICK, OPEN_HAT, RIDE, SNARE
from .procedural.render import GAIN

_ON_THE_KIT = {
    KICK: (35, 36, 41, 43, 45), SNARE: (37, 38, 39, 40, 47, 48, 50), CLOSED_HAT: (42, 44, 54, 69, 70),
    OPEN_HAT: (46, 49, 52, 55, 57), RIDE: (51, 53, 56, 59),
}  # fmt: skip
_NEAREST = {note: drum for drum, notes in _ON_THE_KIT.items() for note in notes}


def drum_stem(annotation: Annotation | None, seconds: float, sample_rate: int) -> np.ndarray | None:
    """Mono samples (N,), float32; silence where the annotation says that there are no drums; None where it is mute.

    Hits on drums outside the General MIDI families above (whistles, congas, ...) are left out.
    """
    if annotation is None or not (annotation.drum_hits or annotation.drums):
        return None
    samples = round(seconds * sample_rate)
    mix_N = np.zeros(samples)
    for time, note in annotation.drum_hits:
        start = round(time * sample_rate)
        if note in _NEAREST and 0 <= start < samples:
            stroke = hit(_NEAREST[note], sample_rate)[: samples - start]
            mix_N[start : start + len(stroke)] += stroke
    return (GAIN * mix_N).astype(np.float32)
