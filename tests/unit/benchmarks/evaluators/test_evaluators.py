"""The built-in attribute tagger: its views, exact repetition, checkpoints, and that it learns from examples."""

import dataclasses
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from paradigm_bench.benchmarks.evaluators import audio as policy
from paradigm_bench.benchmarks.evaluators import get_evaluator
from paradigm_bench.benchmarks.evaluators.builtin.evaluator import BuiltinEvaluator
from paradigm_bench.benchmarks.evaluators.builtin.examples import (
    MISSING,
    SILENCE,
    class_lists,
    forms_of,
    gather,
    reconstruct,
    tagger_loss,
    transpose,
    transposed_labels,
)  # fmt: skip
from paradigm_bench.benchmarks.evaluators.builtin.frontend import MEL_FFT, OCTAVES, SAMPLE_RATE, Frontend, mel_filters
from paradigm_bench.benchmarks.evaluators.builtin.network import (
    NetworkConfig,
    Tagger,
    TaggerOutput,
    build_vocabulary,
    encode_captions,
    split_words,
)  # fmt: skip
from paradigm_bench.benchmarks.evaluators.builtin.training import EvaluatorConfig, train_evaluator
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import Clip, Corpus
from paradigm_bench.representations.base import Representation
from paradigm_bench.representations.spec import LatentSpec

SMALL = NetworkConfig(window_seconds=1.0, width=8, embedding=16)
TRAINING = EvaluatorConfig(reconstructed=8, steps=60, batch=16, network=SMALL)
CLASSES = {"pitch": ["high", "low"], "root": ["A", "B", "C"]}


@dataclasses.dataclass(frozen=True)
class Tone:
    """A reader whose clip is a tone, high or low, steady or pulsed."""

    hz: float
    pulsed: bool
    seconds: float

    def audio(self, sample_rate: int) -> np.ndarray:
        time = np.arange(round(self.seconds * sample_rate)) / sample_rate
        gate = np.sin(2 * np.pi * 4 * time) > 0 if self.pulsed else 1.0
        return (0.5 * gate * np.sin(2 * np.pi * self.hz * time)).astype(np.float32)

    def annotation(self) -> None:
        return None


def tone_corpus(n: int = 32, seconds: float = 1.0) -> Corpus:
    def clip(split: str, i: int) -> Clip:
        rng = np.random.default_rng(i)
        pitch, drums = ("low", "high")[i % 2], ("steady", "pulsed")[i // 2 % 2]
        attributes = {"pitch": pitch, "drums": drums, "label": "tone"}
        if i % 5 == 0:
            del attributes["drums"]
        hz = rng.uniform(100, 200) if pitch == "low" else rng.uniform(1500, 3000)
        reader = Tone(hz, drums == "pulsed", seconds)
        return Clip(f"{split}-{i}", split, f"A {pitch} tone, {drums}.", seconds, attributes, reader)

    return Corpus("tones", "tones-1", {split: [clip(split, i) for i in range(n)] for split in ("train", "valid")})


class Frames(Representation):
    """A toy representation: frames of samples are the latents, and two levels per sample are the codes."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = LatentSpec("frames", 8000, 50.0, 160, codebooks=1, cardinality=2)
        self.fingerprint = "frames-1"

    def encode(self, wav_BN: torch.Tensor) -> torch.Tensor:
        return wav_BN.unflatten(1, (-1, 160))

    def quantise(self, z_BTD: torch.Tensor) -> torch.Tensor:
        return (z_BTD.mean(-1) > 0).long()[:, None]

    def dequantise(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        return codes_BKT.float().transpose(1, 2).expand(-1, -1, 160)

    def decode(self, z_BTD: torch.Tensor) -> torch.Tensor:
        return z_BTD.flatten(1)


def untrained() -> BuiltinEvaluator:
    torch.manual_seed(0)
    vocabulary = ("A", "B", "drums", "minor")
    return BuiltinEvaluator(Tagger(SMALL, CLASSES, len(vocabulary)), SMALL, CLASSES, vocabulary, {})


def some_clips(n: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-0.5, 0.5, 9_000 + 4_321 * i).astype(np.float32) for i in range(n)]


def sine(hz: float, seconds: float = 1.0) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hz * torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)[None]


TONES = [(440.0, 2, 9), (466.16, 2, 10), (880.0, 3, 9), (1046.5, 4, 0)]


@pytest.mark.parametrize(("hz", "octave", "pitch_class"), TONES)
def test_pitch_view_puts_a_tone_on_its_pitch_class(hz, octave, pitch_class):
    pitch_BCPT, _ = Frontend()(sine(hz))
    energy_CP = pitch_BCPT[0, :, :, 4]
    channel, found = divmod(int(energy_CP.argmax()), 12)
    assert (channel // 3, channel % 3, found) == (octave, 1, pitch_class)  # the middle of three sub-bins


def test_mel_filters_are_slaneys():
    theirs = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=MEL_FFT, n_mels=64, norm=None, htk=False)
    ours = mel_filters()
    wide = slice(20, None)  # narrower triangles are widened to one FFT bin on purpose
    np.testing.assert_allclose(ours[wide], theirs[wide], atol=1e-5)
    assert (ours.max(axis=1) > 0.4).all()


def test_transposing_the_view_equals_playing_it_higher():
    played = Frontend()(sine(440.0 * 2 ** (5 / 12)))[0]
    moved = transpose(Frontend()(sine(440.0))[0], torch.tensor([5]), OCTAVES)
    middle = slice(2, 6)  # whole windows only: at the edges the two tones differ in phase
    assert played[..., middle].mean(-1).argmax() == moved[..., middle].mean(-1).argmax()
    difference = (played - moved)[..., middle].abs()
    assert (difference[played[..., middle] > 0.0] < 0.15).all()
    down = transpose(moved, torch.tensor([-5]), OCTAVES)
    kept = down.view(OCTAVES, 3, 12, -1)
    torch.testing.assert_close(kept[:5], Frontend()(sine(440.0))[0].view(OCTAVES, 3, 12, -1)[:5])
    assert (kept[5, :, 7:] == SILENCE).all()


def test_labels_turn_with_the_music():
    keys = ["A:minor", "C:major", "Eb:major"]
    turns = transposed_labels(keys, missing=MISSING)
    assert turns[0].tolist() == [0, 1, 2]
    assert turns[3].tolist() == [MISSING, 2, MISSING]  # C minor and F# major are not among the classes
    assert turns[9].tolist() == [MISSING, MISSING, 1]
    assert transposed_labels(["rock", "none"], missing=MISSING) is None
    assert transposed_labels(["guitar", "A"], missing=MISSING) is None


def test_outputs_of_a_clip_are_the_same_alone_in_any_order_and_on_any_number_of_threads():
    evaluator, clips = untrained(), some_clips()
    captions = ["A minor", "drums", "B drums, unknown words", "A", ""]
    together = evaluator.evaluate(clips, 16_000, captions)
    alone = [evaluator.evaluate([clip], 16_000, [caption]) for clip, caption in zip(clips, captions)]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    backwards = evaluator.evaluate(clips[::-1], 16_000, captions[::-1])
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    for i, one in enumerate(alone):
        assert np.array_equal(together.embeddings[i], one.embeddings[0])
        assert np.array_equal(together.embeddings[i], backwards.embeddings[-1 - i])
        assert together.similarity[i] == one.similarity[0] == backwards.similarity[-1 - i]
        for name in CLASSES:
            assert np.array_equal(together.posteriors[name][i], one.posteriors[name][0])
    assert together.embeddings.dtype == np.float64
    np.testing.assert_allclose(together.posteriors["root"].sum(1), 1.0)


def test_long_clips_are_evaluated_whole_and_openings_from_the_first_window():
    evaluator = untrained()
    first, second = np.random.default_rng(1).uniform(-0.8, 0.8, (2, 16_000)).astype(np.float32)
    first[0] = second[0] = 0.9  # one peak for all, so that the level policy does the same to each
    whole = evaluator.evaluate([np.concatenate([first, second])], 16_000)
    parts = evaluator.evaluate([first, second], 16_000)
    np.testing.assert_allclose(whole.embeddings[0], parts.embeddings.mean(0), atol=1e-5)
    np.testing.assert_allclose(whole.posteriors["pitch"][0], parts.posteriors["pitch"].mean(0), atol=1e-6)
    np.testing.assert_allclose(whole.posteriors["root"][0], parts.posteriors["root"][0], atol=1e-6)


def test_windows_cover_a_clip_to_its_end():
    wav = np.arange(10, dtype=np.float32)
    assert policy.windows(wav, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert policy.windows(wav, 5).tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert policy.windows(wav[:3], 4).tolist() == [[0, 1, 2, 0]]


def test_level_does_not_count_and_silence_is_counted():
    evaluator, clip = untrained(), some_clips(1)[0]
    loud, quiet, silent = evaluator.evaluate([clip, 0.01 * clip, 0 * clip], 16_000).embeddings
    np.testing.assert_allclose(quiet, loud, atol=1e-4)
    assert np.isfinite(silent).all()
    assert evaluator.evaluate([clip, 0 * clip, 1e-5 * clip], 16_000).silent == 2
    assert np.abs(policy.prepare(clip, 16_000, 16_000)).max() == pytest.approx(10 ** (-1 / 20))


def test_resampling_keeps_a_tone():
    high_rate = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)
    low_rate = policy.prepare(high_rate, 48_000, 16_000)
    expected = 10 ** (-1 / 20) * sine(440.0)[0].numpy()
    np.testing.assert_allclose(low_rate[500:-500], expected[500:-500], atol=5e-3)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no clips"),
        ([np.zeros(16_000), np.full(16_000, np.nan)], "clip 1 holds NaN"),
        ([np.zeros(100)], "clip 0 lasts 0.006 s"),
        ([np.zeros((2, 16_000))], "give mono"),
    ],
)
def test_clips_that_cannot_be_scored_are_named(clips, message):
    with pytest.raises(UserError, match=message):
        untrained().evaluate(clips, 16_000)


def test_checkpoints_round_trip_and_notice_tampering(tmp_path: Path):
    evaluator, clips = untrained(), some_clips(2)
    evaluator.save(tmp_path / "a")
    loaded = get_evaluator("builtin", folder=tmp_path / "a")
    assert loaded.identity == evaluator.identity
    assert np.array_equal(loaded.embed(clips, 16_000), evaluator.embed(clips, 16_000))
    with torch.no_grad():
        evaluator.network.embed.bias += 1e-3
    other = BuiltinEvaluator(evaluator.network, SMALL, CLASSES, evaluator.vocabulary, {})
    assert other.identity != loaded.identity
    other.save(tmp_path / "b")
    (tmp_path / "b" / "weights.safetensors").replace(tmp_path / "a" / "weights.safetensors")
    with pytest.raises(UserError, match="do not belong together"):
        BuiltinEvaluator.load(tmp_path / "a")
    (tmp_path / "a" / "weights.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        BuiltinEvaluator.load(tmp_path / "a")


def test_words_keep_case_and_sharps():
    assert split_words("A C# minor tune, 90 BPM. Chords F#m7, Bb.") == (
        ["A", "C#", "minor", "tune", ",", "90", "BPM", ".", "Chords", "F#m7", ",", "Bb", "."]
    )
    assert build_vocabulary(["a b b", "a c b"]) == ("b", "a")
    assert encode_captions(["b zz", "a"], ("b", "a")).tolist() == [[2, 1], [3, 0]]


def test_padding_does_not_change_the_embedding_of_a_caption():
    network = untrained().network
    short, long = torch.tensor([[2, 3]]), torch.tensor([[2, 3, 0, 0, 0], [5, 4, 3, 2, 2]])
    torch.testing.assert_close(network.embed_text(short)[0], network.embed_text(long)[0], atol=1e-6, rtol=0)


def test_loss_leaves_out_what_is_missing_and_takes_equal_captions_as_right():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    labels = {"a": torch.tensor([0, 1, MISSING]), "b": torch.tensor([MISSING] * 3)}
    shared, text = torch.eye(3), torch.eye(3)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    output = TaggerOutput(shared, shared, {"a": logits, "b": logits})
    captioned = torch.ones(3).bool()
    value = tagger_loss(output, text, labels, same, captioned, torch.tensor(1.0), weight=0.5)
    attribute = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2
    total = np.e + 2  # each row of cosines is one 1 and two 0s
    contrast = (2 * (np.log(total) - 0.5) + np.log(total) - 1) / 3
    assert value.item() == pytest.approx(attribute + 0.5 * contrast, rel=1e-5)
    captioned = torch.tensor([True, False, True])  # the second window was transposed: two captions remain, one each
    value = tagger_loss(output, text, labels, same, captioned, torch.tensor(1.0), weight=0.5)
    assert value.item() == pytest.approx(attribute + 0.5 * (np.log(np.e + 1) - 1), rel=1e-5)


def test_examples_hold_a_clip_as_it_is_and_through_the_codec():
    corpus, codec = tone_corpus(6, seconds=2.0), Frames()
    clips = corpus.clips("train")
    classes = class_lists(clips)
    assert classes == {"drums": ["pulsed", "steady"], "pitch": ["high", "low"]}  # one label alone teaches nothing
    examples = gather(clips, classes, codec, reconstructed=2, window=16_000, seed=0, track=lambda clips: clips)
    windows = [4, 4, 2, 2, 2, 2]  # two of 1 s in each clip, and two of what the codec makes of the first clips
    assert examples.clip_N.tolist() == [i for i, n in enumerate(windows) for _ in range(n)]
    assert examples.labels["pitch"].tolist() == [(i + 1) % 2 for i in examples.clip_N.tolist()]
    assert examples.labels["drums"].tolist()[:5] == [MISSING] * 4 + [1]
    wav = clips[0].audio(8000)
    forms = {form: reconstruct(wav, codec, form, seed=0) for form in forms_of(codec)}
    np.testing.assert_array_equal(forms["continuous"], wav)
    assert 0.05 < np.std(forms["blurred"] - wav) / np.std(wav) < 0.55
    assert set(np.unique(forms["codes"])) == {0.0, 1.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> BuiltinEvaluator:
    return train_evaluator(tone_corpus(), Frames(), TRAINING, tmp_path_factory.mktemp("evaluator"), progress=False)


def test_training_learns_attributes_and_captions(trained):
    valid = trained.record["valid"]
    for kind in ("clean", "continuous"):
        assert min(valid[kind]["pitch"], valid[kind]["drums"]) > 0.9
    clips = tone_corpus().clips("valid")
    audio, captions = [clip.audio(16_000) for clip in clips], [clip.caption for clip in clips]
    right = trained.text_similarity(audio, 16_000, captions)
    wrong = trained.text_similarity(audio, 16_000, captions[2:] + captions[:2])  # the other rhythm
    assert right.mean() > wrong.mean() + 0.3


def test_training_again_gives_the_same_evaluator(trained, tmp_path):
    again = train_evaluator(tone_corpus(), Frames(), TRAINING, tmp_path, progress=False)
    assert again.identity == trained.identity
    assert trained.record["stopped_by"] == "steps"


def test_an_evaluator_on_demand_is_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    quick = dataclasses.replace(TRAINING, steps=2)
    corpus = tone_corpus()
    first = get_evaluator("builtin", corpus=corpus, config=quick, progress=False)
    assert get_evaluator("builtin", corpus=corpus, config=quick, progress=False).identity == first.identity
    get_evaluator("builtin", corpus=dataclasses.replace(corpus, fingerprint="tones-2"), config=quick, progress=False)
    get_evaluator("builtin", corpus=corpus, representation=Frames(), config=quick, progress=False)
    assert len(list((tmp_path / "evaluators").iterdir())) == 3


def test_unknown_evaluators_are_named():
    with pytest.raises(UserError, match="did you mean 'builtin'"):
        get_evaluator("buitlin")
