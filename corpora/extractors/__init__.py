"""Extractors detect chords, melody and beats in audio: where there is no annotation, and in what a model generated.

    from paradigm_bench.corpora.extractors import load_extractor

    extract = load_extractor("chords", "templates")  # also "chordino"
    extract(audio_N, sample_rate)                    # ((0.0, 2.0, "C:maj"), ...), as in corpora.clip.Annotation
    extract.name                                     # "templates 2": its name and version, for records

Every extractor is a callable of samples (N,) and their rate in Hz. ``chords`` gives (start, end, Harte label),
``melody`` (start, end, MIDI note), ``beats`` the times of beats and of downbeats; times in seconds. The first of each
kind is built in (``builtin.py``); chordino and basic-pitch are optional packages (``third_party.py``).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ...common.errors import UserError, did_you_mean
from ...common.registry import Registry

__all__ = ["BUILT_IN", "EXTRACTORS", "Extractor", "load_extractor"]


class Extractor(Protocol):
    """A callable that detects one kind of annotation in audio.

    Attributes:
        name: with its version, for records and cache keys.
    """

    name: str

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> Any:
        """What the extractor detects in mono samples at ``sample_rate`` Hz."""
        ...


EXTRACTORS = {
    "chords": Registry(
        "chord extractor",
        {
            "templates": "paradigm_bench.corpora.extractors.builtin:TemplateChords",
            "chordino": "paradigm_bench.corpora.extractors.third_party:Chordino",
        },
    ),
    "melody": Registry(
        "melody extractor",
        {
            "salience": "paradigm_bench.corpora.extractors.builtin:SalienceMelody",
            "basic-pitch": "paradigm_bench.corpora.extractors.third_party:BasicPitch",
        },
    ),
    "beats": Registry("beat extractor", {"librosa": "paradigm_bench.corpora.extractors.builtin:LibrosaBeats"}),
}
BUILT_IN = {"chords": "templates", "melody": "salience", "beats": "librosa"}


def load_extractor(kind: str, name: str | None = None) -> Extractor:
    """The extractor of ``kind`` called ``name``; without a name, the built-in one.

    Raises:
        UserError: an unknown kind or name, or a package that it needs is not installed.
    """
    if kind not in EXTRACTORS:
        hint = did_you_mean(kind, list(EXTRACTORS))
        raise UserError(f"unknown kind of extractor {kind!r}{hint}; known: {', '.join(EXTRACTORS)}")
    extractor: Extractor = EXTRACTORS[kind].load(name or BUILT_IN[kind])()
    return extractor
