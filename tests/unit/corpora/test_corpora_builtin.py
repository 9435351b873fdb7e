"""The built-in corpus: same music everywhere, annotation that the audio bears out, balanced facts, disjoint splits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, Corpus, load_corpus
from paradigm_bench.corpora.clip import TEMPO_BUCKETS, tempo_bucket
from paradigm_bench.corpora.pitch import KEYS, PITCH_CLASSES, normalise_key, pitch_class
from paradigm_bench.corpora.procedural.composition import COMPS, DRUMS, LEADS, TEMPI, Composition
from paradigm_bench.corpora.procedural.corpus import COMP_WORDS, DRUM_WORDS, ProceduralReader
from paradigm_bench.corpora.procedural.harmony import Chord, roman_chord
from paradigm_bench.corpora.procedural.render import render

RATE = 16_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("builtin", clips=240)


def composition(clip: Clip) -> Composition:
    assert isinstance(clip.reader, ProceduralReader)
    return clip.reader.composition()


def pcm_hash(clip: Clip, rate: int = RATE) -> str:
    return hashlib.sha256((clip.audio(rate) * 32768).astype("<i2").tobytes()).hexdigest()[:16]


# ---- identity ----------------------------------------------------------------------------------------------------


def test_pinned_music(corpus: Corpus) -> None:
    """Whoever changes a note, a word or a sample must raise GENERATOR_VERSION and pin anew.

    Of the audio the sums of absolute 16-bit samples are pinned, by second. Another processor may round a few of the
    16,000 samples of a second to the next step.
    """
    clips = corpus.clips("test")[:4]
    said = repr([(c.id, c.caption, dict(c.attributes), c.annotation()) for c in clips])
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "6e7692577ed93c2f"
    sums = [np.abs(c.audio(RATE) * 32768).reshape(4, RATE).sum(axis=1, dtype=np.float64) for c in clips]
    pinned = [
        [45419545, 45244825, 43932420, 44252681],
        [52515190, 46861173, 47629893, 47377222],
        [52416781, 51399842, 50884538, 51331637],
        [45518495, 44035404, 35998666, 41920553],
    ]
    np.testing.assert_allclose(sums, pinned, rtol=0, atol=10)


def test_audio_is_on_the_16_bit_grid_at_every_rate(corpus: Corpus) -> None:
    clip = corpus.clips("test")[1]
    for rate in (8_000, 22_050, 48_000):
        audio = clip.audio(rate)
        assert audio.dtype == np.float32
        assert audio.shape == (round(4.0 * rate),)
        assert np.array_equal(audio * 32768, np.round(audio * 32768))


def test_clip_is_independent_of_corpus_size_and_process(corpus: Corpus) -> None:
    small = load_corpus("builtin", clips=5)
    for mine, other in zip(small.clips("train"), corpus.clips("train")):
        assert mine == other
        assert pcm_hash(mine) == pcm_hash(other)
    program = (
        "import hashlib; from paradigm_bench.corpora import load_corpus;"
        "c = load_corpus('builtin', clips=20).clips('train')[13];"
        "print(c.caption); print(hashlib.sha256((c.audio(16000) * 32768).astype('<i2').tobytes()).hexdigest()[:16])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    clip = corpus.clips("train")[13]
    assert run.stdout.splitlines() == [clip.caption, pcm_hash(clip)]


def test_fingerprint_changes_with_every_setting() -> None:
    options: list[dict[str, float]] = [{}, {"clips": 3}, {"seconds": 5.0}, {"seed": 1}]
    fingerprints = {load_corpus("builtin", **{"clips": 2, **o}).fingerprint for o in options}  # type: ignore[arg-type]
    assert len(fingerprints) == len(options)
    assert load_corpus("builtin", clips=2).fingerprint in fingerprints


def test_no_composition_is_in_two_splits_or_seeds(corpus: Corpus) -> None:
    everyone = [c for split in ("train", "valid", "test") for c in corpus.clips(split)]
    everyone += load_corpus("builtin", clips=50, seed=1).clips("train")
    lead_lines = Counter(composition(c).lead for c in everyone)
    assert max(lead_lines.values()) == 1
    assert len({c.id for c in corpus.clips("train") + corpus.clips("valid")}) == 240 + 256


# ---- attributes and captions -------------------------------------------------------------------------------------


def test_attributes_are_balanced(corpus: Corpus) -> None:
    for name, values in {"key": KEYS, "lead": LEADS, "comp": COMPS, "drums": DRUMS, "tempo": TEMPO_BUCKETS}.items():
        counts = Counter(c.attributes[name] for c in corpus.clips("train"))
        assert counts == dict.fromkeys(values, 240 // len(values)), name
    roots = Counter(c.attributes["root"] for c in corpus.clips("test"))
    assert set(roots) == set(PITCH_CLASSES)
    assert max(roots.values()) < 2 * min(roots.values())


def test_attributes_are_not_tied_to_each_other(corpus: Corpus) -> None:
    pairs = Counter((c.attributes["lead"], c.attributes["drums"]) for c in corpus.clips("test"))
    assert len(pairs) == len(LEADS) * len(DRUMS)
    assert max(pairs.values()) < 3 * 512 / len(pairs)


def test_every_caption_names_every_fact(corpus: Corpus) -> None:
    for clip in corpus.clips("test"):
        text, facts = clip.caption.lower(), clip.attributes
        brief = composition(clip).brief
        assert brief.key.replace(":", " ").lower() in text
        assert brief.lead in text
        assert any(words in text for words in COMP_WORDS[facts["comp"]])
        assert any(words in text for words in DRUM_WORDS[facts["drums"]])
        assert f"{brief.tempo} bpm" in text
        if facts["root"] != brief.key.partition(":")[0]:
            assert f"chords {composition(clip).chords[0][2].symbol.lower()}," in text


def test_captions_vary(corpus: Corpus) -> None:
    openings = {c.caption.split()[0] for c in corpus.clips("test")}
    assert len(openings) > 12
    assert 0.2 < np.mean(["Chords" in c.caption for c in corpus.clips("test")]) < 0.7


def test_describe_counts(corpus: Corpus) -> None:
    facts = corpus.describe()
    assert facts["splits"]["train"] == {"clips": 240, "seconds": 960.0}
    assert sum(facts["attributes"]["key"].values()) == 240 + 256 + 512
    assert corpus.attribute_values()["comp"] == sorted(COMPS)


# ---- theory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numeral", "key", "label"),
    [
        ("I", "C:major", "C:maj"), ("ii7", "C:major", "D:min7"), ("V7", "A:minor", "E:7"), ("VI", "A:minor", "F:maj"),
        ("iv7", "Bb:minor", "Eb:min7"), ("iv", "F#:minor", "B:min"), ("VII", "C#:minor", "B:maj"),
    ],
)  # fmt: skip
def test_roman_numerals(numeral: str, key: str, label: str) -> None:
    assert roman_chord(numeral, key).label == label


def test_spelling() -> None:
    assert normalise_key("Gb:minor") == "F#:minor"
    assert [pitch_class(n) for n in ("Cb", "B#", "F##", "Abb")] == [11, 0, 7, 7]
    assert Chord(6, "min7").symbol == "F#m7"
    assert [tempo_bucket(t) for t in (89.9, 90, 110, 130)] == list(TEMPO_BUCKETS)
    assert len({tempo_bucket(t) for t in TEMPI}) == len(TEMPI)
    for bad in ("H", "C#b", "", "#"):
        with pytest.raises(ValueError, match="not a note"):
            pitch_class(bad)


# ---- audio against annotation ------------------------------------------------------------------------------------


def test_levels(corpus: Corpus) -> None:
    """No clip clips or whispers, and lead and accompaniment are within 8 dB of each other."""
    for clip in corpus.clips("test")[:60]:
        audio = clip.audio(RATE)
        assert 0.25 < np.abs(audio).max() <= 0.9701
        assert 0.07 < rms(audio) < 0.18
        piece = composition(clip)
        lead = rms(render(replace(piece, comp=(), bass=(), drum_hits=()), RATE))
        comp = rms(render(replace(piece, lead=(), bass=(), drum_hits=()), RATE))
        assert abs(20 * np.log10(lead / comp)) < 8, (clip.id, lead, comp)


def test_melody_sounds_at_the_annotated_pitch(corpus: Corpus) -> None:
    checked = 0
    for clip in corpus.clips("test")[:40]:
        audio = render(replace(composition(clip), comp=(), bass=(), drum_hits=()), RATE)
        annotation = clip.annotation()
        assert annotation
        for start, end, midi in annotation.melody:
            if end - start < 0.4:
                continue
            segment = audio[round((start + 0.22) * RATE) : round(end * RATE)]  # after the release of the note before
            spectrum = np.abs(np.fft.rfft(segment * np.hanning(len(segment)), 1 << 16))
            hertz = np.fft.rfftfreq(1 << 16, 1 / RATE)
            band = (hertz > 350) & (hertz < 1250)  # the melody's range of fundamentals
            f0 = 440 * 2 ** ((midi - 69) / 12)
            harmonic_sum = [
                sum(spectrum[np.abs(hertz - h * f).argmin()] for h in (1, 2, 3)) for f in (f0, f0 * 2 ** (1 / 12))
            ]
            assert harmonic_sum[0] > 2 * harmonic_sum[1]
            if clip.attributes["lead"] != "violin":  # whose second partial can be the strongest
                assert abs(12 * np.log2(hertz[band][spectrum[band].argmax()] / f0)) < 0.3, (clip.id, midi)
            checked += 1
    assert checked > 80


def test_drums_strike_at_the_annotated_times(corpus: Corpus) -> None:
    clips = [c for c in corpus.clips("test") if c.attributes["drums"] != "none"][:12]
    for clip in clips:
        audio = render(replace(composition(clip), comp=(), bass=(), lead=()), RATE)
        annotation = clip.annotation()
        assert annotation
        for time in sorted({time for time, _ in annotation.drum_hits if time > 0.02}):
            at = round(time * RATE)
            assert rms(audio[at : at + 160]) > 1.5 * rms(audio[at - 160 : at]) + 1e-4, (clip.id, time)


def test_no_drums_means_no_hits(corpus: Corpus) -> None:
    for clip in corpus.clips("test")[:50]:
        annotation = clip.annotation()
        assert annotation
        assert (annotation.drums == "none") == (not annotation.drum_hits)


def test_template_chroma_finds_the_annotated_chords(corpus: Corpus) -> None:
    librosa = pytest.importorskip("librosa")
    hits, chance = [], []
    clips = corpus.clips("test")[:40]
    for clip, other in zip(clips, clips[1:] + clips[:1]):
        spectrum = np.abs(librosa.stft(clip.audio(RATE), n_fft=4096, hop_length=1600))
        spectrum[round(1500 / RATE * 4096) :] = 0  # cymbals
        chroma = librosa.feature.chroma_stft(S=spectrum, sr=RATE, tuning=0.0, norm=None)
        annotation = clip.annotation()
        assert annotation
        for start, end, _ in annotation.chords:
            if end - start < 0.4:
                continue
            guess = guess_triad(chroma[:, round(start * 10) + 1 : int(end * 10)].mean(axis=1))
            middle = (start + end) / 2
            hits.append(guess == triad_at(clip, middle))
            chance.append(guess == triad_at(other, middle))
    assert np.mean(hits) > 0.85
    assert np.mean(chance) < 0.15


def test_times_follow_the_tempo(corpus: Corpus) -> None:
    for clip in corpus.clips("test")[:40]:
        piece, annotation = composition(clip), clip.annotation()
        assert annotation
        assert annotation.tempo
        assert np.allclose(np.diff(annotation.beats), 60 / annotation.tempo)
        assert annotation.downbeats == annotation.beats[::4]
        starts, ends = [c[0] for c in annotation.chords], [c[1] for c in annotation.chords]
        assert starts[0] == 0
        assert ends[-1] == pytest.approx(4.0)
        assert starts[1:] == ends[:-1]
        assert piece.bass[0].midi % 12 == PITCH_CLASSES.index(clip.attributes["root"])
        assert all(0 <= n.start < n.end <= 4.0 for n in (*piece.lead, *piece.comp, *piece.bass))


def test_high_rates_add_nothing_below_and_do_not_alias(corpus: Corpus) -> None:
    """Without drums, a 48 kHz rendering low-passed to 8 kHz is the 16 kHz rendering where both have all partials."""
    clip = next(c for c in corpus.clips("test") if c.attributes["drums"] == "none" and c.attributes["lead"] == "flute")
    low, high = np.abs(np.fft.rfft(clip.audio(16_000))), np.abs(np.fft.rfft(clip.audio(48_000))) / 3
    bins = 6_000 * 4
    assert np.corrcoef(low[:bins], high[:bins])[0, 1] > 0.999
    assert np.sum(high[9_000 * 4 :] ** 2) < 1e-4 * np.sum(high**2)


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"clips": 0}, {"seconds": 0.5}, {"seconds": float("nan")}])
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"asked for"):
        load_corpus("builtin", **options)  # type: ignore[arg-type]


def test_bad_rate_and_split(corpus: Corpus) -> None:
    with pytest.raises(UserError, match="sample rate 96000"):
        corpus.clips("test")[0].audio(96_000)
    with pytest.raises(UserError, match="did you mean 'valid'"):
        corpus.clips("validation")
    with pytest.raises(UserError, match="did you mean 'builtin'"):
        load_corpus("buildin")


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def guess_triad(chroma: np.ndarray) -> str:
    scores = {
        f"{PITCH_CLASSES[root]}:{quality}": float(sum(chroma[(root + step) % 12] for step in (0, third, 7)))
        for root in range(12)
        for quality, third in (("maj", 4), ("min", 3))
    }
    return max(scores, key=scores.__getitem__)


def triad_at(clip: Clip, time: float) -> str:
    annotation = clip.annotation()
    assert annotation
    root, _, quality = next(label for start, end, label in annotation.chords if start <= time < end).partition(":")
    return f"{root}:{'min' if quality.startswith('min') else 'maj'}"
