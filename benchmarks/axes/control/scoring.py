"""Agreement of the chords, beats and melody detected in clips with those that the prompts ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....corpora.extractors import load_extractor
from ...metrics import control

if TYPE_CHECKING:
    from ....corpora import Annotation, Clip
    from ..eval_set import EvalSet
    from ..scoring import Scored


@dataclass(frozen=True)
class Request:
    """What a clip should contain; empty where it is not known or the music has none. Times in seconds."""

    chords: control.ChordSpans
    melody: control.NoteSpans
    beats: Sequence[float]
    downbeats: Sequence[float]


class Tagger:
    """Scores clips against the prompts' own chords, beats and melody.

    Requests are the prompts' annotations, cut to what is generated; chords and melody without annotation
    are what the extractors detect in the prompts' audio. Beats are scored only where there are drums, because without
    drums extractors guess.

    Args:
        extractors: kind -> name of the extractor.
        controls: names of the study's controls; ``chords`` adds a score that distinguishes sevenths from triads.
    """

    def __init__(self, eval_set: EvalSet, extractors: Mapping[str, str], controls: Sequence[str]) -> None:
        self.eval_set, self.rate = eval_set, eval_set.sample_rate
        self.hear = {kind: load_extractor(kind, name) for kind, name in extractors.items()}
        self.sevenths = "chords" in controls
        seconds = eval_set.prompt_audio_BN.shape[1] / self.rate
        self.requests = [
            self._request(clip, audio_N, seconds) for clip, audio_N in zip(eval_set.prompts, eval_set.prompt_audio_BN)
        ]

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Metrics with intervals and per-clip rows of one clip per prompt."""
        from ..scoring import item_scores

        rows = [self._clip(i, audio_N) for i, audio_N in enumerate(audio_BN)]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        about: dict[str, Any] = {"heard_by": {kind: extract.name for kind, extract in self.hear.items()}}
        return item_scores(columns, self.eval_set.prompts, about)

    def chords(self, audio_N: np.ndarray) -> control.ChordSpans:
        """The chords detected in one clip."""
        heard: control.ChordSpans = self.hear["chords"](audio_N, self.rate)
        return heard

    def _clip(self, i: int, audio_N: np.ndarray) -> dict[str, float]:
        asked, own_N = self.requests[i], self.eval_set.prompt_audio_BN[i]
        chords, melody = (self.hear[kind](audio_N, self.rate) for kind in ("chords", "melody"))
        beats, downbeats = self.hear["beats"](audio_N, self.rate) if asked.beats else ((), ())
        scores = {"chord_iou": control.chord_iou(asked.chords, chords)}
        if self.sevenths:
            scores["chord_iou_sevenths"] = control.chord_iou(asked.chords, chords, "sevenths")
        return scores | {
            "beat_f1": control.beat_f1(asked.beats, beats),
            "downbeat_f1": control.beat_f1(asked.downbeats, downbeats),
            "melody_chroma": control.chroma_similarity(own_N, audio_N, self.rate),
            "pitch_accuracy": control.pitch_accuracy(asked.melody, melody),
            "pitch_accuracy_any_octave": control.pitch_accuracy(asked.melody, melody, octaves=False),
        }

    def _request(self, clip: Clip, audio_N: np.ndarray, seconds: float) -> Request:
        known = clip.annotation()
        chords = _cut(known.chords, seconds) if known else ()
        melody = _cut(known.melody, seconds) if known else ()
        drums = known is not None and bool(known.drum_hits)
        return Request(
            chords=chords or self.hear["chords"](audio_N, self.rate),
            melody=melody or self.hear["melody"](audio_N, self.rate),
            beats=_before(known, "beats", seconds) if drums else (),
            downbeats=_before(known, "downbeats", seconds) if drums else (),
        )


def _cut(spans: Sequence[tuple[float, float, Any]], seconds: float) -> tuple[tuple[float, float, Any], ...]:
    return tuple((start, min(end, seconds), label) for start, end, label in spans if start < seconds)


def _before(annotation: Annotation | None, field: str, seconds: float) -> tuple[float, ...]:
    return tuple(time for time in getattr(annotation, field) if time < seconds)
