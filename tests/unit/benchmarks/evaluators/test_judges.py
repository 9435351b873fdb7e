"""The judges: equal to the original packages, one result per clip whatever else is scored, and what they notice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from judges_signals import RATE, music, treble_cut, with_noise
from torch.nn import functional

from paradigm_bench.benchmarks.evaluators import Evaluator, get_evaluator
from paradigm_bench.benchmarks.evaluators.cache import CachedEvaluator
from paradigm_bench.benchmarks.evaluators.judges.aisfx import Aisfx
from paradigm_bench.benchmarks.evaluators.judges.logmel import LogMel
from paradigm_bench.benchmarks.evaluators.judges.mel import htk_filters, slaney_filters
from paradigm_bench.benchmarks.evaluators.judges.musicnn import Musicnn
from paradigm_bench.benchmarks.evaluators.judges.weights import PACKAGES, SHIPPED, digest
from paradigm_bench.benchmarks.metrics.frechet import frechet_distance
from paradigm_bench.benchmarks.metrics.kad import kernel_distance
from paradigm_bench.common.errors import UserError

SHARED = Path(os.environ.get("PB_SHARED") or Path(__file__).resolve().parents[5] / "shared")
CLIPS = {
    "owl069_0.ogg": "music/rendered/owl069_0.ogg",
    "sugarplum_05.ogg": "music/recorded/sugarplum_05.ogg",
    "dog_bark_1-100032-A.flac": "esc/audio/dog_bark_1-100032-A.flac",
}
GOLDEN = Path(__file__).parents[3] / "golden" / "judges.json"  # made by `python -m tests.golden.make_judges`
needs_originals = pytest.mark.skipif(
    not (SHARED / "judges" / "golden.npz").exists(), reason="no outputs of the original packages; set PB_SHARED"
)


@pytest.fixture(scope="module")
def musicnn() -> Musicnn:
    return Musicnn(PACKAGES["musicnn"])


def needs_weights(name: str) -> None:
    if not PACKAGES[name].installed():
        pytest.skip(f"{name} is not installed; bench evaluators install {name}")


@needs_originals
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("judge", "model"), [("musicnn", "MTT_musicnn"), ("musicnn_msd", "MSD_musicnn")])
def test_musicnn_gives_what_the_original_gives(judge: str, model: str, clip: str) -> None:
    needs_weights(judge)
    theirs, port = np.load(SHARED / "judges" / "golden.npz"), Musicnn(PACKAGES[judge])
    wav, rate = soundfile.read(SHARED / "realdata" / CLIPS[clip], dtype="float32")
    assert rate == RATE
    patches = port.patches(port.spectrogram(wav))
    embedding_PD, tags_PC = port.evaluate_patches(wav)
    with torch.inference_mode():
        pools = [port.network.pools(patch[None]) for patch in patches]
    ours = {
        "taggram": (tags_PC, 2e-5),
        "penultimate": (embedding_PD, 1e-4),
        "mean_pool": (torch.cat([mean for mean, _ in pools]).numpy(), 2e-4),
        "max_pool": (torch.cat([most for _, most in pools]).numpy(), 1e-2),
    }
    for name, (values, tolerance) in ours.items():
        expected = theirs[f"{clip}|{model}|{name}"]  # without the rest of the clip after its last whole patch
        assert len(values) == len(expected) + 1
        assert np.abs(values[:-1] - expected).max() < tolerance, name


@needs_originals
@pytest.mark.parametrize("clip", ["sugarplum_05.ogg", "dog_bark_1-100032-A.flac"])  # essentia decodes owl069 longer
def test_aisfx_sees_what_essentia_shows_the_original(clip: str) -> None:
    """Only below 8 kHz and where there is sound: above, the two resamplers leave other traces."""
    needs_weights("aisfx")
    theirs = np.load(SHARED / "judges" / "golden.npz")[f"aisfx|{clip}|spectrogram"]
    wav, _ = soundfile.read(SHARED / "realdata" / CLIPS[clip], dtype="float32")
    wav = librosa.resample(wav, orig_sr=RATE, target_sr=44_100, res_type="soxr_hq")
    ours = Aisfx().spectrogram(wav).numpy() * 9.457798957824707
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs)[:, :60][theirs[:, :60] > 3]
    assert np.median(error) < 1e-5
    assert np.quantile(error, 0.99) < 2e-3


@pytest.mark.parametrize("name", ["musicnn", "logmel"])
def test_the_outputs_for_a_synthetic_clip_are_those_stored(name: str) -> None:
    stored = json.loads(GOLDEN.read_text())[name]
    output = inner(get_evaluator(name)).evaluate([music(4.0)], RATE)
    assert output.embeddings[0] == pytest.approx(np.array(stored["embedding"]), abs=2e-3)
    if name == "musicnn":
        assert output.posteriors["tags"][0] == pytest.approx(np.array(stored["tags"]), abs=1e-4)
    else:
        assert output.band_levels is not None
        assert output.band_levels[0] == pytest.approx(np.array(stored["band_levels"]), abs=1e-3)


def test_the_mel_filters_are_librosas() -> None:
    theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=96, dtype=np.float64)
    assert np.abs(slaney_filters(96, 8000, RATE, 512) - theirs).max() < 1e-12
    half_empty = slaney_filters(32, 16_000, RATE, 512)
    assert not half_empty[-3:].any()
    assert half_empty[:20].any(1).all()


def test_the_htk_filters_share_every_bin_between_two_neighbours() -> None:
    filters = htk_filters(96, 44_100, 2048)
    assert filters.sum(1) == pytest.approx(1.0)
    peaks = np.argmax(filters, 1) * 44_100 / 2048
    mels = 2595 * np.log10(1 + peaks / 700)
    assert np.diff(mels[40:]) == pytest.approx(np.full(55, 3923.3 / 97), abs=12)  # evenly spaced, to one bin
    assert ((filters > 0).sum(0) <= 2).all()


def test_musicnns_spectrogram_is_librosas_rounded_to_half(musicnn: Musicnn) -> None:
    wav = music(2.0)
    power = librosa.feature.melspectrogram(y=wav, sr=RATE, n_fft=512, hop_length=256, n_mels=96)
    expected = np.log10(1e4 * power.T.astype(np.float16).astype(np.float32) + 1)
    ours = musicnn.spectrogram(wav).numpy()
    assert ours.shape == expected.shape
    assert np.quantile(np.abs(ours - expected), 0.999) < 1e-5
    assert np.abs(ours - expected).max() < 6e-4  # a value at a rounding boundary may go to the other side


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_even_kernels_are_padded_as_tensorflow_pads_them(musicnn: Musicnn) -> None:
    """torch's own "same" has TensorFlow's convention; the network pads by hand, after its input's batch norm."""
    patch_1TF = musicnn.spectrogram(music(3.0))[None, :187]
    network = musicnn.network
    with torch.inference_mode():
        _, most_1C = network.pools(patch_1TF)
        for i, block in enumerate(network.temporal):
            x = network.input_norm(patch_1TF[:, None])
            same = functional.conv2d(x, block.conv.weight, block.conv.bias, padding="same")
            expected = block.norm(same.relu()).amax((2, 3))
            first = 2 * 204 + 51 * i
            assert torch.allclose(most_1C[:, first : first + 51], expected, atol=1e-5)


def test_a_clip_has_one_result_whatever_else_is_scored(musicnn: Musicnn) -> None:
    clips = [music(seconds, seed) for seed, seconds in enumerate((4.0, 3.0, 7.5, 1.0))]
    for judge in (musicnn, LogMel()):
        together = judge.evaluate(clips, RATE)
        backwards = judge.evaluate(clips[::-1], RATE)
        assert np.array_equal(together.embeddings, backwards.embeddings[::-1])
        for i, clip in enumerate(clips):
            alone = judge.evaluate([clip], RATE)
            assert np.array_equal(alone.embeddings[0], together.embeddings[i])
            for name, rows in together.posteriors.items():
                assert np.array_equal(alone.posteriors[name][0], rows[i])


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_does_not_matter(musicnn: Musicnn, threads: int) -> None:
    clips = [music(4.0)]
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            results.append([judge.evaluate(clips, RATE) for judge in (musicnn, LogMel())])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results):
        assert np.array_equal(one.embeddings, other.embeddings)


@pytest.mark.parametrize("name", ["musicnn", "logmel"])
def test_level_does_not_matter_and_rates_hardly(name: str) -> None:
    judge, clip = inner(get_evaluator(name)), music(4.0)
    plain, half = (judge.evaluate([wav], RATE).embeddings[0] for wav in (clip, 0.5 * clip))
    assert half == pytest.approx(plain, abs=1e-3)
    faster = librosa.resample(clip, orig_sr=RATE, target_sr=32_000)
    other = judge.evaluate([faster], 32_000).embeddings[0]
    wrong = judge.evaluate([clip], 32_000).embeddings[0]  # twice as fast and an octave up
    assert np.linalg.norm(other - plain) < 0.35 * np.linalg.norm(wrong - plain)


def test_a_short_clip_is_repeated_until_it_fills_a_patch(musicnn: Musicnn) -> None:
    spectrogram_TF = musicnn.spectrogram(music(1.0))
    (patch_TF,) = musicnn.patches(spectrogram_TF)
    assert patch_TF.shape == (187, 96)
    assert torch.equal(patch_TF[63:126], spectrogram_TF)
    assert torch.equal(patch_TF[126:], spectrogram_TF[:61])


def test_the_last_patch_ends_with_the_clip(musicnn: Musicnn) -> None:
    spectrogram_TF = torch.arange(400.0)[:, None].expand(-1, 96)
    assert [int(patch[0, 0]) for patch in musicnn.patches(spectrogram_TF)] == [0, 187, 213]
    assert [int(patch[0, 0]) for patch in musicnn.patches(spectrogram_TF[:374])] == [0, 187]


@pytest.mark.parametrize("name", ["musicnn", "logmel"])
def test_silence_is_finite_and_counted_and_nan_is_refused(name: str) -> None:
    judge = get_evaluator(name)
    output = judge.evaluate([np.zeros(RATE, np.float32), music(1.0)], RATE)
    assert np.isfinite(output.embeddings).all()
    assert output.silent == 1
    with pytest.raises(UserError, match="clip 1 holds NaN"):
        judge.evaluate([music(1.0), np.full(RATE, np.nan, np.float32)], RATE)
    with pytest.raises(UserError, match=r"clip 0 lasts 0\.050 s"):
        judge.evaluate([music(1.0)[:800]], RATE)
    with pytest.raises(UserError, match="1 caption for 2 clips"):
        judge.evaluate([music(1.0), music(1.0)], RATE, ["a song"])


@pytest.mark.parametrize("name", ["musicnn", "logmel"])
def test_noise_and_lost_treble_are_heard_in_order(name: str) -> None:
    """What the built-in attribute tagger is deaf to: 20 dB noise, and a codec that turns the treble down."""
    judge, seeds = inner(get_evaluator(name)), range(10)
    reference = judge.evaluate([music(2.9, seed) for seed in seeds], RATE).embeddings
    real = [music(2.9, 100 + seed) for seed in seeds]
    noisy = [[with_noise(wav, snr) for wav in real] for snr in (30, 20, 10, 0)]
    dull = [[treble_cut(wav, decibels) for wav in real] for decibels in (10, 20, 40)]
    for steps in (noisy, dull):
        embeddings = [judge.evaluate(clips, RATE).embeddings for clips in (real, *steps)]
        for distances in (
            [frechet_distance(reference, one).value for one in embeddings],
            [kernel_distance(reference, one) for one in embeddings],
        ):
            assert distances == sorted(distances)


def test_posteriors_are_shares_and_have_no_attribute(musicnn: Musicnn) -> None:
    output = musicnn.evaluate([music(3.0), with_noise(music(3.0), 0)], RATE)
    assert output.posteriors["tags"].shape == (2, 50)
    assert output.posteriors["tags"].sum(1) == pytest.approx(1.0)
    assert (output.posteriors["tags"] > 0).all()
    assert musicnn.classes == {}  # no caption asks for its tags, so it gives no adherence


def test_judges_and_tagger_say_what_they_are() -> None:
    judge = get_evaluator("musicnn")
    assert (judge.role, get_evaluator("logmel").role, get_evaluator("builtin").role) == ("judge", "judge", "tagger")
    for part in ("musicnn 0.1.0", "MTT_musicnn", PACKAGES["musicnn"].weights_sha256):
        assert part in judge.checkpoint
    with pytest.raises(UserError, match="has one set of weights; name it 'musicnn'"):
        get_evaluator("musicnn:big")


def test_the_shipped_weights_have_their_notice_and_are_those_stated() -> None:
    assert "Jordi Pons" in (SHIPPED / "musicnn" / "LICENSE.md").read_text()
    tensors = {name: value.numpy() for name, value in Musicnn(PACKAGES["musicnn"]).network.state_dict().items()}
    ours = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    assert digest(ours) == PACKAGES["musicnn"].weights_sha256
    assert sum(value.size for value in ours.values()) == 792_079


def test_band_levels_survive_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    clips = [music(1.0), music(1.0, 5)]
    plain = LogMel().evaluate(clips, RATE)
    for _ in range(2):  # computed, then read
        kept = CachedEvaluator(LogMel()).evaluate(clips, RATE)
        assert kept.band_levels is not None
        assert np.array_equal(kept.band_levels, plain.band_levels)
        assert np.array_equal(kept.embeddings, plain.embeddings)


def inner(evaluator: Evaluator) -> Evaluator:
    """The evaluator without its cache."""
    return evaluator.inner if isinstance(evaluator, CachedEvaluator) else evaluator
