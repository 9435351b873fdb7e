"""The rows that an arm has to beat: the retrieved training clip, and sine chords over a drum loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from paradigm_bench.benchmarks.study.baselines import drum_loop, drum_source, nearest_clip, sine_chords, with_level
from paradigm_bench.benchmarks.study.references import REFERENCES, ReferenceContext, why_impossible
from paradigm_bench.corpora import load_corpus
from paradigm_bench.corpora.clip import Annotation, Clip, Corpus

RATE = 16_000


@dataclass(frozen=True)
class Given:
    """Reads what it was given."""

    samples: Any = None
    known: Annotation | None = None

    def audio(self, sample_rate: int) -> np.ndarray:
        return np.asarray(self.samples, np.float32)

    def annotation(self) -> Annotation | None:
        return self.known


def clip(name: str, caption: str = "", known: Annotation | None = None, **attributes: str) -> Clip:
    return Clip(name, "train", caption, 1.0, attributes, Given(np.zeros(RATE), known))


def strongest(wav_N: np.ndarray, n: int) -> list[float]:
    """Frequencies of the n strongest bins of a part without fades, in Hz, sorted."""
    spectrum = np.abs(np.fft.rfft(wav_N * np.hanning(len(wav_N)), 8 * RATE))
    peaks = [k for k in range(1, len(spectrum) - 1) if spectrum[k - 1] < spectrum[k] >= spectrum[k + 1]]
    return sorted(k / 8 for k in sorted(peaks, key=lambda k: -spectrum[k])[:n])


def test_the_clip_that_shares_most_attributes_is_retrieved() -> None:
    prompt = clip("p", key="C:major", lead="flute", drums="rock")
    near, far = clip("near", key="C:major", lead="flute", drums="none"), clip("far", key="D:major", lead="flute")
    assert nearest_clip(prompt, [far, near], 0) is near
    assert nearest_clip(prompt, [near, far], 0) is near


def test_without_attributes_the_caption_with_most_words_in_common_is_retrieved() -> None:
    prompt = clip("p", "A calm flute, with rain")
    same, longer = clip("same", "calm flute with rain"), clip("longer", "calm flute with rain " + "and a lot else " * 5)
    assert nearest_clip(prompt, [clip("other", "a barking dog"), longer, same], 0) is same


def test_ties_depend_on_the_clips_and_the_seed_but_not_on_their_order() -> None:
    prompt, tied = clip("p", key="C:major"), [clip(f"c{i}", key="C:major") for i in range(30)]
    found = {seed: nearest_clip(prompt, tied, seed).id for seed in range(8)}
    assert found == {seed: nearest_clip(prompt, tied[::-1], seed).id for seed in range(8)}
    assert len(set(found.values())) > 3
    assert len({nearest_clip(clip(f"p{i}", key="C:major"), tied, 0).id for i in range(8)}) > 3  # not one for all


def test_sine_chords_sound_at_the_chords_pitches_and_nowhere_else() -> None:
    chords = [(0.0, 1.0, "A:min"), (1.0, 2.0, "N"), (2.0, 3.0, "C:7")]
    wav_N = sine_chords(chords, 4 * RATE, RATE)
    assert strongest(wav_N[2000:14_000], 3) == pytest.approx([220.0, 261.63, 329.63], abs=0.5)  # A3, C4, E4
    assert not wav_N[RATE : 2 * RATE].any()
    assert strongest(wav_N[2 * RATE + 2000 : 3 * RATE - 2000], 4) == pytest.approx(
        [130.81, 164.81, 196.0, 233.08], abs=0.5
    )
    assert not wav_N[3 * RATE :].any()
    assert np.abs(np.diff(wav_N)).max() < 0.2  # no click: the largest step of a sum of such sines is below that
    assert np.abs(wav_N).max() <= 1.0


def test_sine_chords_are_cut_to_the_clip() -> None:
    whole = sine_chords([(-0.5, 9.0, "C:maj")], RATE, RATE)
    assert whole.shape == (RATE,)
    assert whole[2000:-2000].std() > 0.1


def clicks(times: list[float], seconds: float) -> np.ndarray:
    """Short bursts of noise at the times of a beat."""
    rng, wav_N = np.random.default_rng(0), np.zeros(round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        wav_N[start : start + 160] = rng.uniform(-0.8, 0.8, 160)
    return wav_N.astype(np.float32)


def test_a_drum_loop_repeats_whole_bars_and_begins_on_the_down_beat() -> None:
    source = clicks([0.25, 1.25, 2.25], 3.0)  # a bar is a second, the first one begins at 0.25 s
    loop_N, harmonic = drum_loop(source, [0.25, 1.25, 2.25], 0.5, 4 * RATE, RATE)
    energy = np.square(loop_N).reshape(-1, RATE // 4).sum(1)
    loud = [i / 4 for i in np.flatnonzero(energy > 0.25 * energy.max())]
    assert loud == [0.5, 1.5, 2.5, 3.5]
    np.testing.assert_allclose(loop_N[: 2 * RATE], loop_N[2 * RATE :], atol=1e-9)  # a whole number of loops apart
    assert harmonic < 0.05


def test_percussion_keeps_the_drums_and_loses_the_tone() -> None:
    tone_N = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    loop_N, harmonic = drum_loop(clicks([0.5, 1.5], 2.0) + tone_N, (), 0.0, 2 * RATE, RATE)
    assert harmonic == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert np.sqrt(np.mean(np.square(loop_N[2000:6000]))) < 0.02  # between the clicks


def test_drums_come_from_a_clip_of_the_same_tempo() -> None:
    prompt = clip("p", known=Annotation(tempo=120.0), drums="rock", tempo="110-130", key="C:major")
    slow = clip("slow", known=Annotation(tempo=112.0), drums="rock", tempo="110-130", key="C:major")
    same = clip("same", known=Annotation(tempo=120.0), drums="rock", tempo="110-130", key="D:major")
    other = clip("other", known=Annotation(tempo=120.0), drums="none", tempo="110-130", key="C:major")
    assert drum_source(prompt, [slow, other, same], 0) is same
    assert drum_source(clip("q", drums="jazz"), [slow, same], 0) in (slow, same)  # no such drums: the nearest clip


def test_levels_are_those_of_the_real_clips() -> None:
    wav = np.random.default_rng(0).normal(0, 0.2, 1000)
    assert np.sqrt(np.mean(np.square(with_level(wav, 0.05)))) == pytest.approx(0.05, rel=1e-5)
    assert not with_level(np.zeros(10), 0.5).any()


def context(corpus: Corpus, n: int) -> ReferenceContext:
    prompts = corpus.clips("test")[:n]
    audio_BN = np.stack([prompt.audio(RATE)[:RATE] for prompt in prompts])
    return ReferenceContext(prompts, audio_BN, (0.0,) * n, corpus, None, RATE, 0)  # type: ignore[arg-type]


def test_baselines_of_the_built_in_music_are_repeatable_and_as_loud_as_real_clips() -> None:
    held = context(load_corpus("builtin", clips=40, seconds=1.0), 3)
    for name in ("retrieved", "sine_chords"):
        made = REFERENCES[name](held)
        assert made.shape == held.audio_BN.shape
        assert made.dtype == np.float32
        assert np.array_equal(made, REFERENCES[name](held))
    assert np.square(made).mean(1) == pytest.approx(np.square(held.audio_BN).mean(1), rel=0.05)


def test_a_retrieved_clip_is_a_training_clip() -> None:
    corpus = load_corpus("builtin", clips=12, seconds=1.0)
    begun = {clip.audio(RATE)[:RATE].tobytes() for clip in corpus.clips("train")}
    assert all(row.tobytes() in begun for row in REFERENCES["retrieved"](context(corpus, 3)))


def test_chords_are_those_at_the_place_where_the_audio_was_cut_out() -> None:
    known = Annotation(chords=((0.0, 2.0, "C:maj"), (2.0, 3.0, "A:maj")))
    prompt = Clip("p", "test", "", 3.0, {}, Given(None, known))
    silent = Clip("t", "train", "", 1.0, {}, Given(np.zeros(RATE)))
    held = ReferenceContext(
        [prompt], np.full((1, RATE), 0.1, np.float32), (2.0,), Corpus("c", "f", {"train": [silent]}), None, RATE, 0,
    )  # type: ignore[arg-type]  # fmt: skip
    made = REFERENCES["sine_chords"](held)[0]
    assert not made.any()  # a silent training clip: its harmonic part gives the sines their level
    loud = Clip("t", "train", "", 1.0, {}, Given(0.2 * np.sin(2 * np.pi * 700 * np.arange(RATE) / RATE)))
    held = ReferenceContext(
        [prompt], held.audio_BN, (2.0,), Corpus("c", "f", {"train": [loud]}), None, RATE, 0,
    )  # type: ignore[arg-type]  # fmt: skip
    assert strongest(REFERENCES["sine_chords"](held)[0][2000:-2000], 3) == pytest.approx([220, 277.18, 329.63], abs=1)


def test_a_corpus_that_allows_no_baseline_says_why() -> None:
    bare, chorded = clip("b"), clip("c", "a tune", Annotation(chords=((0.0, 1.0, "C:maj"),)))
    corpus = Corpus("c", "f", {"train": [bare]})
    assert why_impossible("sine_chords", [chorded], corpus, 1.0) == ""
    assert why_impossible("retrieved", [chorded], corpus, 1.0) == ""
    assert "chords" in why_impossible("sine_chords", [chorded, bare], corpus, 1.0)
    assert "neither attributes nor a caption" in why_impossible("retrieved", [chorded, bare], corpus, 1.0)
    assert "no training clip lasts 2 s" in why_impossible("retrieved", [chorded], corpus, 2.0)
    assert why_impossible("noise", [bare], Corpus("c", "f", {}), 1.0) == ""
