"""Control adherence of a clip: chord IoU, beat F1, pitch accuracy, chroma similarity and correlation with drum hits.

Each score is of one clip, in [0, 1] (a correlation in [-1, 1]), higher is better, NaN where nothing was asked for (no
beats, no melody). Spans and
times are in seconds, as in ``corpora.clip.Annotation``. Labels and times are compared by mir_eval (Raffel et al., ISMIR
2014). An error of the extractor that detects chords, beats or melody in the clip counts against the model, so each
score is read beside that of the clips from which the controls were taken, and beside chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from librosa import onset, stft
from librosa.filters import chroma
from mir_eval import chord, melody, util
from mir_eval.beat import f_measure
from scipy.ndimage import gaussian_filter1d

ChordSpans = Sequence[tuple[float, float, str]]
NoteSpans = Sequence[tuple[float, float, int]]
Vocabulary = Literal["root", "thirds", "triads", "majmin", "sevenths", "tetrads", "mirex"]

BEAT_WINDOW = 0.05  # seconds on either side (Tal et al. 2025, section 4.3)
MELODY_HOP = 0.01  # seconds between the times at which notes are compared
DRUM_HOP, DRUM_WIDTH = 0.01, 0.02  # seconds between onset strengths, and standard deviation of what smooths them
CHROMA_WINDOW = 2**14  # samples at the clip's own rate; hop a quarter (MusicGen; Tal et al. 2025, section 4.3)


def chord_iou(reference: ChordSpans, estimated: ChordSpans, vocabulary: Vocabulary = "majmin") -> float:
    """Chord IoU: share of the reference's time in which both have the same chord (Tal et al. 2025, section 4.3).

    Args:
        vocabulary: mir_eval's comparison of labels; time in which the reference's label is outside it does not count.
    """
    if not reference:
        return float("nan")
    intervals, labels = _table(reference)
    spans, detected = util.adjust_intervals(
        *_table(estimated or [(0.0, 0.0, "N")]), intervals.min(), intervals.max(), chord.NO_CHORD, chord.NO_CHORD
    )
    merged, first, second = util.merge_labeled_intervals(intervals, labels, spans, detected)
    same = getattr(chord, vocabulary)(first, second)
    durations = util.intervals_to_durations(merged)
    counted = same >= 0
    return float("nan") if not counted.any() else float(chord.weighted_accuracy(same[counted], durations[counted]))


def beat_f1(reference: Sequence[float], estimated: Sequence[float]) -> float:
    """F-measure of beats, or of down-beats, within 50 ms; no beat is left out at the beginning, as mir_eval would."""
    if not len(reference):
        return float("nan")
    return float(f_measure(np.asarray(reference), np.asarray(estimated), BEAT_WINDOW)) if len(estimated) else 0.0


def drum_correlation(hits: Sequence[float], x_N: np.ndarray, sample_rate: int) -> float:
    """Pearson correlation over time of a clip's onset strength with the drum hits that were asked for.

    Onset strength is librosa's spectral flux of the whole mix. Hits are impulses of equal size, whatever the drum; both
    are smoothed by a Gaussian of 20 ms. It needs no decision about beats, unlike ``beat_f1``, and hears every hit. The
    metric is ours: Tal et al. 2025 score drums by the F1 of down-beats alone.

    Args:
        hits: times in seconds; those after the end of the clip do not count.
    """
    hop = round(DRUM_HOP * sample_rate)
    strength_T = onset.onset_strength(y=x_N, sr=sample_rate, n_fft=1024, hop_length=hop)
    asked_T = np.zeros(len(strength_T))
    asked_T[[frame for frame in (round(time * sample_rate / hop) for time in hits) if frame < len(asked_T)]] = 1.0
    if not asked_T.any():
        return float("nan")
    smooth = [gaussian_filter1d(row_T, DRUM_WIDTH / DRUM_HOP) for row_T in (strength_T, asked_T)]
    return 0.0 if np.ptp(smooth[0]) == 0 else float(np.corrcoef(*smooth)[0, 1])


def pitch_accuracy(reference: NoteSpans, estimated: NoteSpans, octaves: bool = True) -> float:
    """Share of the time with a melody in which the estimate has the same note, within 50 cents (``mir_eval.melody``).

    Args:
        octaves: False: a note in another octave is the same (raw chroma accuracy).
    """
    if not reference or not estimated:
        return 0.0 if reference else float("nan")
    times = np.arange(MELODY_HOP / 2, max(end for _, end, _ in reference), MELODY_HOP)
    cents, voiced = zip(*(_pitch_track(spans, times) for spans in (reference, estimated)))
    score = melody.raw_pitch_accuracy if octaves else melody.raw_chroma_accuracy
    return float(score(voiced[0], cents[0], voiced[1], cents[1]))


def chroma_similarity(reference_N: np.ndarray, estimated_N: np.ndarray, sample_rate: int) -> float:
    """Mean over frames of the cosine between one-hot chromagrams, which is the share with the same loudest pitch class.

    The melody similarity of MusicGen (Copet et al., 2023) and Tal et al. 2025: 12 bins, window 2^14 samples, hop a
    quarter of it, the largest bin of each frame; the number of frames is that of the shorter clip.
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
    x_N = np.pad(x_N, (0, max(0, CHROMA_WINDOW - len(x_N))))
    power_FT = np.abs(stft(x_N, n_fft=CHROMA_WINDOW, hop_length=CHROMA_WINDOW // 4, pad_mode="reflect")) ** 2
    return np.asarray(chroma(sr=sample_rate, n_fft=CHROMA_WINDOW, tuning=0.0) @ power_FT)
