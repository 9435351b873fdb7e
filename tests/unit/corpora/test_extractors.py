"""Extractors against exact annotation of built-in music, far above chance, and on bad audio."""

from __future__ import annotations

import numpy as np
import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, load_corpus
from paradigm_bench.corpora.extractors import load_extractor
from paradigm_bench.corpora.extractors.builtin import CHORD_LABELS, best_path, estimated_tuning, magnitudes
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


def detuned(audio_N: np.ndarray, cents: float) -> tuple[np.ndarray, float]:
    """The audio played faster, so that it is ``cents`` higher, and by which factor."""
    factor = 2 ** (cents / 1200)
    return np.interp(np.arange(0, len(audio_N) - 1, factor), np.arange(len(audio_N)), audio_N), factor


@pytest.mark.parametrize("cents", [-40, -20, 20, 40, 45])
def test_chords_of_detuned_music_are_as_good(clips: list[Clip], cents: int) -> None:
    """A clip that is out of tune has the same chords (the built-in music is in tune)."""
    extract, right = load_extractor("chords"), []
    for clip in clips:
        audio, factor = detuned(clip.audio(RATE), cents)
        heard = [(start * factor, end * factor, label) for start, end, label in extract(audio, RATE)]
        wanted = frames(clip.annotation().chords, clip.seconds)  # type: ignore[union-attr]
        right += [a == b for a, b in zip(wanted, frames(tuple(heard), clip.seconds)) if a is not None]
        found = estimated_tuning(magnitudes(audio, RATE))
        assert abs(found - cents / 100) <= 0.101
    assert np.mean(right) > agreement("chords", clips, 0) - 0.04


def test_half_a_semitone_off_has_two_readings(clips: list[Clip]) -> None:
    """Nobody can tell a clip that is 50 cents high from one in the next key that is 50 cents low."""
    extract = load_extractor("chords")
    audio, _ = detuned(clips[0].audio(RATE), 50)
    low, _ = detuned(clips[0].audio(RATE), 45)
    heard, inside = ([CHORD_LABELS.index(label) for *_, label in extract(x, RATE)] for x in (audio, low))
    assert heard in (inside, [i if i == 48 else i // 12 * 12 + (i + 1) % 12 for i in inside])


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.5, 0.01])
def test_noise_is_no_chord(slope: float, level: float) -> None:
    """White, pink and brown noise, loud and soft."""
    rng, hertz = np.random.default_rng(0), np.maximum(np.fft.rfftfreq(4 * RATE, 1 / RATE), 20)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(4 * RATE)) * hertz**-slope)
    audio = (level * noise / np.abs(noise).max()).astype(np.float32)
    assert load_extractor("chords")(audio, RATE) == ((0.0, 4.0, "N"),)


def test_chords_are_heard_through_noise(clips: list[Clip]) -> None:
    """Noise as loud as the music does not make the extractor give up."""
    extract, kept = load_extractor("chords"), []
    for i, clip in enumerate(clips):
        audio = clip.audio(RATE)
        noise = np.random.default_rng(i).standard_normal(len(audio)) * np.sqrt(np.mean(audio**2))
        wanted, heard = frames(clip.annotation().chords, 6.0), frames(extract(audio + noise, RATE), 6.0)  # type: ignore[union-attr]
        kept += [a == b for a, b in zip(wanted, heard) if a is not None]
    assert np.mean(kept) > 0.5


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
