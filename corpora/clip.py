"""Clips of audio with a caption, attributes and, where known, exact annotation; a corpus is clips in three splits.

A clip holds text and a reader, which reads audio on demand. So a corpus of thousands of clips loads quickly and can be
sent to worker processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..common.errors import UserError, did_you_mean

SPLITS = ("train", "valid", "test")
ATTRIBUTES = ("label", "key", "root", "lead", "comp", "drums", "tempo")  # categorical facts in captions
TEMPO_BUCKETS = ("under 90", "90-110", "110-130", "over 130")


@dataclass(frozen=True)
class Annotation:
    """Exact musical facts of one clip; all times in seconds from its start."""

    chords: tuple[tuple[float, float, str], ...] = ()  # (start, end, Harte label such as "A:min", "N" for none)
    beats: tuple[float, ...] = ()
    downbeats: tuple[float, ...] = ()
    melody: tuple[tuple[float, float, int], ...] = ()  # (start, end, MIDI note)
    drum_hits: tuple[tuple[float, int], ...] = ()  # (time, General MIDI drum note)
    key: str | None = None  # "C:major", "A:minor"
    tempo: float | None = None  # beats per minute
    meter: str | None = None  # "4/4"
    instruments: Mapping[str, str] = field(default_factory=dict)  # role (lead, comp, bass) -> instrument
    drums: str | None = None  # name of the drum pattern


class ClipReader(Protocol):
    """The source of a clip's audio and annotation; a new kind of corpus implements these two methods."""

    def audio(self, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz."""

    def annotation(self) -> Annotation | None:
        """The exact annotation; None if there is none."""


@dataclass(frozen=True)
class Clip:
    """One captioned piece of audio.

    Attributes:
        id: unique in its corpus, e.g. ``"builtin-train-00017"``.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        caption: a description of the sound; empty if there is none.
        seconds: duration as the corpus states it.
        attributes: facts in the caption, by names of ``ATTRIBUTES``; unknown ones are absent.
        reader: reads audio and annotation.
    """

    id: str
    split: str
    caption: str
    seconds: float
    attributes: Mapping[str, str]
    reader: ClipReader = field(repr=False, compare=False)

    def audio(self, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz."""
        return self.reader.audio(sample_rate)

    def annotation(self) -> Annotation | None:
        """The exact annotation; None if there is none."""
        return self.reader.annotation()


@dataclass(frozen=True)
class Corpus:
    """Clips in three splits, in a fixed order.

    Attributes:
        fingerprint: changes if and only if the content does; the key of caches made from this corpus.
    """

    name: str
    fingerprint: str
    clips_by_split: Mapping[str, list[Clip]] = field(repr=False)

    def clips(self, split: str) -> list[Clip]:
        """The clips of one split in their fixed order.

        Raises:
            UserError: no such split, or the corpus has no clips in it.
        """
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}{did_you_mean(split, list(SPLITS))}; known: {', '.join(SPLITS)}")
        clips = list(self.clips_by_split.get(split, ()))
        if not clips:
            raise UserError(f"corpus {self.name} has no {split} clips; add rows with split={split}")
        return clips

    def attribute_values(self) -> dict[str, list[str]]:
        """Sorted values of every attribute over all splits."""
        return {name: list(counts) for name, counts in self.describe()["attributes"].items()}

    def check(self) -> None:
        """Read audio and annotation of every clip once, to find broken files before training.

        Raises:
            UserError: the first clip that cannot be read.
        """
        for clips in self.clips_by_split.values():
            for clip in clips:
                clip.audio(16_000)
                clip.annotation()

    def describe(self) -> dict[str, Any]:
        """Counts for listings: clips and seconds per split, and how often each attribute value occurs."""
        splits = {
            split: {"clips": len(clips), "seconds": round(sum(c.seconds for c in clips), 3)}
            for split, clips in self.clips_by_split.items()
        }
        every = [clip.attributes for clips in self.clips_by_split.values() for clip in clips]
        counts = {name: Counter(facts[name] for facts in every if name in facts) for name in ATTRIBUTES}
        attributes = {name: dict(sorted(found.items())) for name, found in counts.items() if found}
        return {"name": self.name, "fingerprint": self.fingerprint, "splits": splits, "attributes": attributes}


def tempo_bucket(bpm: float) -> str:
    """The bucket of ``TEMPO_BUCKETS`` that holds a tempo in beats per minute; a bucket includes its lower edge."""
    return TEMPO_BUCKETS[sum(bpm >= edge for edge in (90, 110, 130))]
