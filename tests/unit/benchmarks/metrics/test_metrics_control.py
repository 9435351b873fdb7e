"""Control metrics equal mir_eval's and audiocraft's on the same annotations."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import mir_eval
import numpy as np
import pytest

from paradigm_bench.benchmarks.metrics.control import (
    beat_f1,
    chord_iou,
    chroma_similarity,
    drum_correlation,
    pitch_accuracy,
)
from paradigm_bench.corpora import load_corpus
from paradigm_bench.corpora.extractors import load_extractor
from tests.golden import inputs

RATE = 16_000
GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "chroma_audiocraft.json").read_text())


def progression(seed: int, seconds: float = 8.0) -> list[tuple[float, float, str]]:
    rng = np.random.default_rng(seed)
    edges = [0.0, *np.sort(rng.uniform(0, seconds, 5)).tolist(), seconds]
    roots, kinds = ("C", "Db", "F#", "A", "N"), ("maj", "min", "7", "min7", "dim", "sus4", "maj/3")
    names = [roots[rng.integers(5)] for _ in edges[1:]]
    labels = [name if name == "N" else f"{name}:{kinds[rng.integers(7)]}" for name in names]
    return list(zip(edges, edges[1:], labels))


@pytest.mark.parametrize("vocabulary", ["majmin", "sevenths", "thirds", "root"])
def test_chord_iou_is_mir_evals(vocabulary: str) -> None:
    for seed in range(20):
        first, second = progression(seed), progression(seed + 100, seconds=7.0)
        tables = [(np.array([s[:2] for s in spans]), [s[2] for s in spans]) for spans in (first, second)]
        theirs = mir_eval.chord.evaluate(*tables[0], *tables[1])[vocabulary]
        assert chord_iou(first, second, vocabulary) == pytest.approx(theirs, nan_ok=True)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Only one")
def test_scores_of_annotated_clips_are_mir_evals_own_evaluation() -> None:
    """What extractors detect in built-in clips against the clips' annotation, by mir_eval's ``evaluate``."""
    chords, beats = load_extractor("chords"), load_extractor("beats")
    found, expected = [], []
    for clip in load_corpus("builtin", clips=6).clips("train"):
        annotation, audio = clip.annotation(), clip.audio(RATE)
        assert annotation is not None
        detected, (detected_beats, detected_downbeats) = chords(audio, RATE), beats(audio, RATE)
        tables = [(np.array([s[:2] for s in spans]), [s[2] for s in spans]) for spans in (annotation.chords, detected)]
        theirs = mir_eval.chord.evaluate(*tables[0], *tables[1])
        expected += [theirs["majmin"], theirs["sevenths"]]
        found += [chord_iou(annotation.chords, detected), chord_iou(annotation.chords, detected, "sevenths")]
        for asked, estimated in ((annotation.beats, detected_beats), (annotation.downbeats, detected_downbeats)):
            scores = mir_eval.beat.evaluate(
                np.array(asked), np.array(estimated), min_beat_time=0.0, f_measure_threshold=0.05
            )
            expected.append(scores["F-measure"])
            found.append(beat_f1(asked, estimated))
    assert found == pytest.approx(expected)
    assert np.ptp(found) > 0.5  # or the clips would say little


def test_chord_iou_by_hand() -> None:
    asked = [(0.0, 2.0, "C:maj"), (2.0, 4.0, "A:min")]
    assert chord_iou(asked, [(0.0, 3.0, "C:maj"), (3.0, 4.0, "A:min7")]) == pytest.approx(0.75)
    assert chord_iou(asked, [(0.0, 3.0, "C:maj"), (3.0, 4.0, "A:min7")], "sevenths") == pytest.approx(0.5)
    assert chord_iou(asked, [(0.0, 1.0, "C:maj")]) == pytest.approx(0.25)  # silence after is no chord
    assert chord_iou(asked, []) == 0.0
    assert np.isnan(chord_iou([], asked))


def test_beats_are_mir_evals() -> None:
    rng = np.random.default_rng(0)
    reference = np.arange(0.0, 8.0, 0.5)
    for jitter in (0.0, 0.02, 0.05, 0.1):
        estimated = np.sort(np.abs(reference + rng.normal(0, jitter, len(reference))))
        theirs = mir_eval.beat.f_measure(reference, estimated, 0.05)
        assert beat_f1(reference.tolist(), estimated.tolist()) == pytest.approx(theirs, abs=1e-12)
    assert beat_f1([0.0, 1.0], [0.04, 1.2]) == pytest.approx(0.5)
    assert beat_f1([0.0, 1.0], []) == 0.0
    assert np.isnan(beat_f1([], [1.0]))


def clicks(times: Sequence[float], seconds: float = 4.0) -> np.ndarray:
    """Bursts of noise that fade within 20 ms, at ``times``."""
    rng, audio_N = np.random.default_rng(0), np.zeros(round(seconds * RATE))
    burst_N = rng.normal(size=RATE // 50) * np.exp(-np.linspace(0, 6, RATE // 50))
    for time in times:
        start = round(time * RATE)
        audio_N[start : start + len(burst_N)] += burst_N[: len(audio_N) - start]
    return audio_N


def test_drums_correlate_with_their_own_hits_and_with_no_others() -> None:
    hits = [0.3, 0.8, 1.3, 1.55, 2.1, 2.9, 3.4]
    played = clicks(hits)
    assert drum_correlation(hits, played, RATE) > 0.8
    assert drum_correlation(hits, 0.01 * played, RATE) == pytest.approx(drum_correlation(hits, played, RATE), abs=0.05)
    assert abs(drum_correlation([time + 0.12 for time in hits], played, RATE)) < 0.3
    assert drum_correlation(hits[::2], played, RATE) == pytest.approx(0.5**0.5, abs=0.15)  # half of the hits asked for
    assert drum_correlation([*hits, 5.0], played, RATE) == drum_correlation(hits, played, RATE)  # after the end
    assert drum_correlation(hits, np.zeros(4 * RATE), RATE) == 0.0
    assert np.isnan(drum_correlation([], played, RATE))
    assert np.isnan(drum_correlation([9.0], played, RATE))


def test_drums_of_the_built_in_music_are_heard_through_the_mix() -> None:
    clips = [clip for clip in load_corpus("builtin", clips=30, seconds=8.0).clips("train")]
    hits = [[time for time, _ in annotation.drum_hits] for clip in clips if (annotation := clip.annotation())]
    drummed = [(clip.audio(RATE)[: 4 * RATE], own) for clip, own in zip(clips, hits) if own]
    own = [drum_correlation(asked, audio_N, RATE) for audio_N, asked in drummed]
    other = [drum_correlation(asked, audio_N, RATE) for (audio_N, _), (_, asked) in itertools.pairwise(drummed)]
    assert np.mean(own) > 0.5 > 0.25 > np.mean(other)


def test_pitch_accuracy_is_mir_evals_and_right_by_hand() -> None:
    asked = [(0.0, 1.0, 60), (1.0, 2.0, 64), (3.0, 4.0, 67)]
    detected = [(0.0, 1.0, 60), (1.0, 2.0, 76), (2.0, 3.0, 50)]
    assert pitch_accuracy(asked, detected) == pytest.approx(1 / 3)
    assert pitch_accuracy(asked, detected, octaves=False) == pytest.approx(2 / 3)
    assert pitch_accuracy(asked, []) == 0.0
    assert np.isnan(pitch_accuracy([], detected))
    times = np.arange(0.005, 4.0, 0.01)

    def hertz(spans: list) -> np.ndarray:
        found = [next((m for a, b, m in spans if a <= t < b), None) for t in times]
        return np.array([0.0 if midi is None else 440 * 2 ** ((midi - 69) / 12) for midi in found])

    # mir_eval resamples both tracks to a grid that begins at 0, which moves a frame or two of 400.
    theirs = mir_eval.melody.evaluate(times, hertz(asked), times, hertz(detected))
    assert pitch_accuracy(asked, detected) == pytest.approx(theirs["Raw Pitch Accuracy"], abs=5e-3)
    assert pitch_accuracy(asked, detected, octaves=False) == pytest.approx(theirs["Raw Chroma Accuracy"], abs=5e-3)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_chroma_similarity_is_audiocrafts(case: dict) -> None:
    reference, estimated = inputs.chroma_pair(case)
    assert chroma_similarity(reference, estimated, case["sample_rate"]) == pytest.approx(case["value"], abs=1e-6)
