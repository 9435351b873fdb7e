"""Does a clip follow its controls? Chords, beats and melody heard in it against those that were asked for.

Each score is of one clip, in [0, 1], higher is better, NaN where nothing was asked for (no beats, no melody). Spans and
times are those of ``corpora.clip.Annotation``, in seconds. Labels and times are compared by mir_eval (Raffel et al.,
ISMIR 2014), so a score here is mir_eval's on the same annotations. What an extractor mishears counts as the model's
fault, so each score is to be read beside that of the clips the controls were taken from, and beside chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

ChordSpans = Sequence[tuple[float, float, str]]
NoteSpans = Sequence[tuple[float, float, int]]
Vocabulary = Literal["root", "thirds", "triads", "majmin", "sevenths", "tetrads", "mirex"]

BEAT_WINDOW = 0.05  # seconds on either side (papers/002 section 4.3)
MELODY_HOP = 0.01  # seconds between the moments at which notes are compared
CHROMA_WINDOW = 2**14  # samples at the clip's own rate; hop a quarter (MusicGen, papers/002 section 4.3)


def chord_iou(reference: ChordSpans, estimated: ChordSpans, vocabulary: Vocabulary = "majmin") -> float:
    """Share of the reference's time in which both hold the same chord (intersection over union along time).

    Args:
        vocabulary: which labels are the same, as mir_eval's function of that name says; time in which the reference's
            label is outside it does not count.
    """
    from mir_eval import chord, util

    if not reference:
        return float("nan")
    intervals, labels = _table(reference)
    heard, heard_labels = util.adjust_intervals(
        *_table(estimated or [(0.0, 0.0, "N")]), intervals.min(), intervals.max(), chord.NO_CHORD, chord.NO_CHORD
    )
    merged, first, second = util.merge_labeled_intervals(intervals, labels, heard, heard_labels)
    same = getattr(chord, vocabulary)(first, second)
    durations = util.intervals_to_durations(merged)
    counted = same >= 0
    return float("nan") if not counted.any() else float(chord.weighted_accuracy(same[counted], durations[counted]))


def beat_f1(reference: Sequence[float], estimated: Sequence[float]) -> float:
    """F-measure of beats, or of down-beats, within 50 ms; nothing is trimmed, since clips are short."""
    from mir_eval.beat import f_measure

    if not len(reference):
        return float("nan")
    return float(f_measure(np.asarray(reference), np.asarray(estimated), BEAT_WINDOW)) if len(estimated) else 0.0


def pitch_accuracy(reference: NoteSpans, estimated: NoteSpans, octaves: bool = True) -> float:
    """Share of the time with a melody in which the same note is heard (mir_eval.melody, 50 cents).

    Args:
        octaves: False: a note in another octave is the same (raw chroma accuracy).
    """
    from mir_eval import melody

    if not reference or not estimated:
        return 0.0 if reference else float("nan")
    times = np.arange(MELODY_HOP / 2, max(end for _, end, _ in reference), MELODY_HOP)
    cents, voiced = zip(*(_pitch_track(spans, times) for spans in (reference, estimated)))
    score = melody.raw_pitch_accuracy if octaves else melody.raw_chroma_accuracy
    return float(score(voiced[0], cents[0], voiced[1], cents[1]))


def chroma_similarity(reference_N: np.ndarray, estimated_N: np.ndarray, sample_rate: int) -> float:
    """Mean over frames of the cosine between one-hot chromagrams, which is the share with the same loudest pitch class.

    The melody similarity of MusicGen (Copet et al., 2023) and papers/002: 12 bins, window 2^14 samples, hop a quarter,
    the greatest bin of each frame alone; the shorter clip decides how many frames there are.
    """
    loudest = [_chroma(x_N, sample_rate).argmax(axis=0) for x_N in (reference_N, estimated_N)]
    frames = min(len(row_T) for row_T in loudest)
    return float(np.mean(loudest[0][:frames] == loudest[1][:frames]))


def _table(spans: ChordSpans) -> tuple[np.ndarray, list[str]]:
    return np.array([(start, end) for start, end, _ in spans], dtype=float), [label for *_, label in spans]


def _pitch_track(spans: NoteSpans, times_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in cents (T,), 0 where there is none, and whether there is one."""
    cents_T = np.zeros(len(times_T))
    for start, end, midi in spans:
        cents_T[(times_T >= start) & (times_T < end)] = 100.0 * midi
    return cents_T, (cents_T > 0).astype(float)


def _chroma(x_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power chromagram (12, T), ends reflected; a clip shorter than a window is padded to one."""
    from librosa import stft
    from librosa.filters import chroma

    x_N = np.pad(x_N, (0, max(0, CHROMA_WINDOW - len(x_N))))
    power_FT = np.abs(stft(x_N, n_fft=CHROMA_WINDOW, hop_length=CHROMA_WINDOW // 4, pad_mode="reflect")) ** 2
    return np.asarray(chroma(sr=sample_rate, n_fft=CHROMA_WINDOW, tuning=0.0) @ power_FT)
