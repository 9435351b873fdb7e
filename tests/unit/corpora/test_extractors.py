"""Extractors against exact annotation of built-in music, far above chance, and on bad audio."""

from __future__ import annotations

import numpy as np
import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, load_corpus
from paradigm_bench.corpora.extractors import load_extractor
from paradigm_bench.corpora.extractors.builtin import best_path
from paradigm_bench.corpora.pitch import frequency

RATE = 16_000


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return load_corpus("builtin", clips=12, seconds=6.0).clips("train")


def frames(spans: tuple, seconds: float) -> list[object]:
    """The label at every 50 ms, None outside all spans."""
    times = np.arange(0.025, seconds, 0.05)
    return [next((label for start, end, label in spans if start <= t < end), None) for t in times]


def agreement(kind: str, clips: list[Clip], shift: int) -> float:
    """Share of frames at which a clip's extraction says what the annotation of the clip ``shift`` further on says."""
    extract = load_extractor(kind)
    right = []
    for i, clip in enumerate(clips):
        annotation = clips[(i + shift) % len(clips)].annotation()
        wanted = frames(getattr(annotation, kind), clip.seconds)
        heard = frames(extract(clip.audio(RATE), RATE), clip.seconds)
        right += [a == b for a, b in zip(wanted, heard) if a is not None]
    return float(np.mean(right))


def test_chords_and_melody_are_heard_far_above_chance(clips: list[Clip]) -> None:
    assert agreement("chords", clips, 0) > 0.75  # sevenths told from triads, too
    assert agreement("chords", clips, 1) < 0.15
    assert agreement("melody", clips, 0) > 0.7
    assert agreement("melody", clips, 1) < 0.15


def test_beats_are_heard_where_there_are_drums(clips: list[Clip]) -> None:
    from mir_eval.beat import f_measure

    extract = load_extractor("beats")
    rock = [clip for clip in clips if clip.attributes["drums"] in ("rock", "half_time")]
    scores = []
    for clip in rock:
        annotation = clip.annotation()
        assert annotation is not None
        beats, downbeats = extract(clip.audio(RATE), RATE)
        assert set(downbeats) <= set(beats)
        scores.append(f_measure(np.array(annotation.beats), np.array(beats), 0.05))
    assert len(rock) >= 3
    assert np.mean(scores) > 0.8


def test_downbeats_are_where_harmony_changes() -> None:
    """Chords of four beats after a pickup of one, so that the first beat is none."""
    from paradigm_bench.corpora.extractors.builtin import _downbeats

    times = np.arange(round(6.5 * RATE)) / RATE
    bar = np.clip(np.floor((times - 0.5) / 2) + 1, 0, 3).astype(int)
    chord_tones = np.array([(60, 64, 67, 48), (65, 69, 72, 53), (67, 71, 74, 55), (57, 60, 64, 45)])
    hertz = 440 * 2 ** ((chord_tones[bar] - 69) / 12)
    phase = 2 * np.pi * np.cumsum(hertz / RATE, axis=0)
    audio = (0.1 * np.sin(phase).sum(axis=1)).astype(np.float32)
    beats = np.arange(0, 6.5, 0.5)
    assert _downbeats(beats, audio, RATE).tolist() == [0.5, 2.5, 4.5]
    assert _downbeats(beats[:3], audio, RATE).tolist() == [0.0]


def test_a_tone_is_its_note() -> None:
    tone = 0.3 * np.sin(2 * np.pi * frequency(64) * np.arange(RATE) / RATE).astype(np.float32)
    notes = load_extractor("melody")(tone, RATE)
    assert {note for _, _, note in notes} == {64}
    assert notes == load_extractor("melody")(np.float32(0.1) * tone, RATE)  # loudness does not matter


@pytest.mark.parametrize("samples", [0, 10, RATE])
def test_silence_and_scraps_hold_nothing(samples: int) -> None:
    silence = np.zeros(samples, dtype=np.float32)
    assert {label for *_, label in load_extractor("chords")(silence, RATE)} <= {"N"}
    assert load_extractor("melody")(silence, RATE) == ()
    assert load_extractor("beats")(silence, RATE) == ((), ())


def test_chordinos_late_beginning_and_late_end_are_mended() -> None:
    from paradigm_bench.corpora.extractors.third_party import from_changes

    late = [(0.3715, "N"), (0.4644, "C:maj"), (1.5, "A:min"), (4.365, "N")]
    assert from_changes(late, 4.0) == ((0.0, 1.5, "C:maj"), (1.5, 4.0, "A:min"))
    rest = [(0.3715, "N"), (0.9, "C:maj")]
    assert from_changes(rest, 2.0) == ((0.0, 0.9, "N"), (0.9, 2.0, "C:maj"))
    assert from_changes([(1.0, "G:7")], 2.0) == ((0.0, 1.0, "N"), (1.0, 2.0, "G:7"))
    assert from_changes([], 2.0) == ((0.0, 2.0, "N"),)


def test_the_best_path_is_the_best_of_all_paths() -> None:
    """Against every path there is, for 5 frames of 3 states."""
    score = np.random.default_rng(0).standard_normal((5, 3))
    everything = np.stack(np.meshgrid(*[range(3)] * 5, indexing="ij"), -1).reshape(-1, 5)
    totals = score[np.arange(5), everything].sum(1) - 0.7 * (np.diff(everything) != 0).sum(1)
    assert np.array_equal(best_path(score, 0.7), everything[totals.argmax()])


def test_unknown_extractors_are_named() -> None:
    with pytest.raises(UserError, match=r"unknown chord extractor 'chordono' \(did you mean 'chordino'"):
        load_extractor("chords", "chordono")
    with pytest.raises(UserError, match="unknown kind of extractor"):
        load_extractor("lyrics")
