"""Distances to training clips: disguised copies are found, other clips are not; by hand and by scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from scipy.spatial.distance import cdist

from paradigm_bench.benchmarks.metrics.replication import (
    HOP_SECONDS,
    Alignment,
    Standardised,
    coarse,
    levelled,
    spectrogram,
    too_near,
)
from paradigm_bench.corpora import load_corpus

RATE = 16_000
COPIES = 12


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return np.stack([clip.audio(RATE)[: 4 * RATE] for clip in load_corpus("builtin", clips=250).clips("train")[:120]])


@pytest.fixture(scope="module")
def held_out() -> np.ndarray:
    return np.stack([clip.audio(RATE)[: 4 * RATE] for clip in load_corpus("builtin", clips=800).clips("test")[:40]])


@pytest.fixture(scope="module")
def spectrograms(training: np.ndarray) -> np.ndarray:
    return np.stack([spectrogram(levelled(audio), RATE) for audio in training])


def in_noise(audio: np.ndarray, decibels: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(audio.shape)
    return audio + noise * np.sqrt(np.mean(audio**2)) * 10 ** (-decibels / 20)


DISGUISES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact": lambda x: x,
    "quieter": lambda x: 0.1 * x,
    "later": lambda x: np.roll(x, round(0.73 * RATE)),
    "earlier": lambda x: np.roll(x, -round(1.31 * RATE)),
    "in noise at 20 dB": lambda x: in_noise(x, 20),
    "in noise at 10 dB": lambda x: in_noise(x, 10),
    "low-passed at 3 kHz": lambda x: sosfilt(butter(4, 3000, fs=RATE, output="sos"), x),
    "later, in noise": lambda x: in_noise(np.roll(x, RATE), 20),
}


def search(audio: np.ndarray, spectrograms: np.ndarray) -> tuple[float, int, float]:
    """Distance, index and shift of the nearest clip, as an axis searches it: first coarsely, then the ten best."""
    fine = spectrogram(levelled(audio), RATE)
    first = Alignment(np.stack([coarse(one) for one in spectrograms])).distances(coarse(fine))[0].argsort()[:10]
    distance, shift = Alignment(spectrograms[first]).distances(fine)
    return float(distance.min()), int(first[distance.argmin()]), float(shift[distance.argmin()])


@pytest.fixture(scope="module")
def limit(held_out: np.ndarray, spectrograms: np.ndarray) -> float:
    return too_near(np.array([search(audio, spectrograms)[0] for audio in held_out]))


@pytest.mark.parametrize("disguise", DISGUISES)
def test_copies_are_found_and_are_nearer_than_real_clips(
    disguise: str, training: np.ndarray, spectrograms: np.ndarray, limit: float
) -> None:
    found = [search(DISGUISES[disguise](audio), spectrograms) for audio in training[:COPIES]]
    assert [index for _, index, _ in found] == list(range(COPIES))
    assert np.mean([distance < limit for distance, *_ in found]) > 0.9
    if disguise in ("later", "earlier"):
        shift = {"later": 0.73, "earlier": -1.31}[disguise]
        assert np.median([shift for *_, shift in found]) == pytest.approx(shift, abs=HOP_SECONDS)


def test_other_clips_are_no_copies(held_out: np.ndarray, spectrograms: np.ndarray, limit: float) -> None:
    rng = np.random.default_rng(0)
    others = [*load_others(), *rng.normal(0, 0.1, (5, 4 * RATE))]
    assert np.mean([search(audio, spectrograms)[0] < limit for audio in others]) < 0.15


def load_others() -> list[np.ndarray]:
    return [clip.audio(RATE)[: 4 * RATE] for clip in load_corpus("builtin", clips=800).clips("valid")[:35]]


def test_alignment_is_the_largest_correlation_of_all_shifts() -> None:
    """Against every shift's Pearson correlation about zero, computed one by one."""
    rng = np.random.default_rng(0)
    one, others = rng.normal(size=(30, 4)), rng.normal(size=(3, 30, 4))
    expected = []
    for other in others:
        scores = {}
        for shift in range(-15, 16):
            a, b = (one[shift:], other[: 30 - shift]) if shift >= 0 else (one[:shift], other[-shift:])
            scores[shift] = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
        best = max(scores, key=lambda s: scores[s])
        expected.append((1 - scores[best], best * HOP_SECONDS))
    distance, shift = Alignment(others).distances(one)
    assert distance == pytest.approx([d for d, _ in expected], abs=1e-5)
    assert shift == pytest.approx([s for _, s in expected])


def test_distances_of_embeddings_are_scipys() -> None:
    rng = np.random.default_rng(0)
    training, clips = rng.normal(3, [1, 5, 0.1], (50, 3)), rng.normal(3, [1, 5, 0.1], (7, 3))
    distance, index = Standardised(training).nearest(clips, 4)
    expected = cdist(clips, training, "seuclidean", V=training.var(axis=0)) / np.sqrt(6)
    assert distance == pytest.approx(np.sort(expected, axis=1)[:, :4])
    assert index.tolist() == expected.argsort(axis=1)[:, :4].tolist()
    constant = np.concatenate([training, np.ones((50, 1))], axis=1)  # a dimension that says nothing
    assert np.isfinite(Standardised(constant).nearest(constant, 2)[0]).all()
    assert Standardised(constant).nearest(constant, 2)[0][:, 0] == pytest.approx(0, abs=1e-9)


def test_silence_is_like_nothing(spectrograms: np.ndarray) -> None:
    assert not levelled(np.zeros(100, np.float32)).any()
    distance, _ = Alignment(spectrograms[:5]).distances(spectrogram(np.zeros(4 * RATE, np.float32), RATE))
    assert distance == pytest.approx(1)


def test_the_limit_leaves_one_per_cent_below() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    assert np.mean(values < too_near(values)) == pytest.approx(0.01)
