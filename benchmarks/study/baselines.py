"""Baselines that no model is needed for: the nearest training clip, and sine chords over a drum loop.

A trained arm that does not beat them has learnt less than a search through its training clips, or than the chord
annotation, already gives. Both are deterministic: ties are broken by hashes of the clips' ids.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...common.seeds import seed_for
from ...corpora.chord_labels import read_label
from ...corpora.clip import Annotation, Clip
from ...corpora.pitch import frequency

FADE_SECONDS = 0.01  # at both ends of a chord
LOWEST = 48  # MIDI note of C3; the root of every chord lies in the octave above it
TEMPO_TRIES = 32  # annotations that are read for a training clip of the same tempo


def have_chords(clips: Sequence[Clip]) -> bool:
    """Whether every clip has annotated chords."""
    return all((annotation := clip.annotation()) is not None and annotation.chords for clip in clips)


def nearest_clip(prompt: Clip, candidates: Sequence[Clip], seed: int) -> Clip:
    """The candidate that shares most attributes with ``prompt``.

    Where the prompt has no attributes, the one whose caption has most words in common with the prompt's caption, as a
    share of the words of both.
    """
    if prompt.attributes:
        shared = [sum(clip.attributes.get(k) == v for k, v in prompt.attributes.items()) for clip in candidates]
        return _first_by_hash(prompt, candidates, shared, seed)
    asked = _words(prompt.caption)
    common = [len(asked & words) / max(len(asked | words), 1) for words in (_words(c.caption) for c in candidates)]
    return _first_by_hash(prompt, candidates, common, seed)


def drum_source(prompt: Clip, candidates: Sequence[Clip], seed: int) -> Clip:
    """The training clip whose percussion accompanies ``prompt``: of the same drums and tempo where they are known.

    The annotated tempo must agree to 1% where both have one; of several clips the one that shares most attributes with
    the prompt is taken, which has the same drums as a rule.
    """
    wanted = {name: prompt.attributes[name] for name in ("drums", "tempo") if name in prompt.attributes}
    alike = [c for c in candidates if all(c.attributes.get(name) == value for name, value in wanted.items())]
    tempo = (prompt.annotation() or Annotation()).tempo
    if tempo:
        ordered = sorted(alike or candidates, key=lambda clip: _hash(prompt, clip, seed))[:TEMPO_TRIES]
        same = [c for c in ordered if abs(((c.annotation() or Annotation()).tempo or 0.0) - tempo) <= 0.01 * tempo]
        return nearest_clip(prompt, same or ordered, seed)
    return nearest_clip(prompt, alike or candidates, seed)


def sine_chords(chords: Sequence[tuple[float, float, str]], samples: int, sample_rate: int) -> np.ndarray:
    """Chords as equal-tempered sines, one of equal strength for each tone, (samples,) float64 with a peak of 1 or less.

    Args:
        chords: (start, end, label) in seconds; labels as ``corpora.chord_labels`` reads them, "N" is silence.
    """
    wav_N, fade = np.zeros(samples), round(FADE_SECONDS * sample_rate)
    for start, end, label in chords:
        first, last = (min(max(round(at * sample_rate), 0), samples) for at in (start, end))
        chord = read_label(label)
        if chord.root is None or last - first <= 2 * fade:
            continue
        t_N = np.arange(last - first) / sample_rate
        notes = [LOWEST + chord.root + tone for tone in sorted(chord.tones)]
        tones_N = np.mean([np.sin(2 * np.pi * frequency(note) * t_N) for note in notes], axis=0)
        ramp = np.linspace(0.0, 1.0, fade)
        tones_N[:fade] *= ramp
        tones_N[-fade:] *= ramp[::-1]
        wav_N[first:last] = tones_N
    return wav_N


def drum_loop(
    audio_N: np.ndarray, downbeats: Sequence[float], first_downbeat: float, samples: int, sample_rate: int
) -> tuple[np.ndarray, float]:
    """The percussion of a clip, repeated for ``samples``, and the root mean square of the rest of the clip.

    Whole bars, between the first and the last downbeat, are cut out and repeated, so that a bar begins at
    ``first_downbeat`` (in seconds). Without two downbeats the whole clip is repeated.

    Args:
        audio_N: a clip that is not empty.
        downbeats: of the clip, in seconds.
    """
    import librosa  # here, because reports import this module's neighbours

    harmonic_N, percussive_N = librosa.effects.hpss(np.asarray(audio_N, np.float32))
    marks = [at for at in (round(time * sample_rate) for time in downbeats) if at < len(percussive_N)]
    loop_N, begins = percussive_N, 0
    if len(marks) >= 2 and marks[-1] > marks[0]:
        loop_N, begins = percussive_N[marks[0] : marks[-1]], round(first_downbeat * sample_rate)
    index_N = (np.arange(samples) - begins) % len(loop_N)
    return loop_N[index_N].astype(np.float64), root_mean_square(harmonic_N)


def root_mean_square(wav_N: np.ndarray) -> float:
    """Of the samples (N,)."""
    return float(np.sqrt(np.mean(np.square(wav_N, dtype=np.float64))))


def with_level(wav_N: np.ndarray, level: float) -> np.ndarray:
    """``wav_N`` with the root mean square ``level``, cut off at full scale, float32; silence stays silence."""
    own = root_mean_square(wav_N)
    return np.clip(wav_N * (level / own if own else 0.0), -1.0, 1.0).astype(np.float32)


def _words(caption: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", caption.lower()))


def _first_by_hash(prompt: Clip, candidates: Sequence[Clip], scores: Sequence[float], seed: int) -> Clip:
    """Of the candidates with the highest score the one whose hash is the smallest."""
    best = max(scores)
    tied = [clip for clip, score in zip(candidates, scores) if score == best]
    return min(tied, key=lambda clip: _hash(prompt, clip, seed))


def _hash(prompt: Clip, clip: Clip, seed: int) -> int:
    return seed_for(seed, "baseline", prompt.id, clip.id)
