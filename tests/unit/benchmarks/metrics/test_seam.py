"""The seam distance: 0 for real audio, far from 0 for every fault of a filled span, and below 0 for no system."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import energy_distance

from paradigm_bench.benchmarks.metrics.seam import STATISTICS, RealSpans, statistics
from paradigm_bench.corpora import load_corpus

RATE = 16_000
CLIPS = 24
SHARED = Path(os.environ.get("PB_SHARED") or Path(__file__).resolve().parents[5] / "shared")
Edit = Callable[[np.ndarray, int, int, np.ndarray], None]


def click(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[begin] += 0.5 if audio_N[begin] < 0 else -0.5


def late_click(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[end - 1] += 0.5 if audio_N[end - 1] < 0 else -0.5


def silence(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[begin:end] = 0.0


def frozen(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[begin:end] = np.resize(audio_N[begin - RATE // 20 : begin], end - begin)


def splice(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[begin:end] = other_N[begin:end]


def noise(audio_N: np.ndarray, begin: int, end: int, other_N: np.ndarray) -> None:
    audio_N[begin:end] = np.random.default_rng(begin).normal(0, np.sqrt(np.mean(audio_N**2)), end - begin)


@pytest.fixture(scope="module", params=["builtin", "music"])
def clips(request: pytest.FixtureRequest) -> np.ndarray:
    """Three disjoint sets of real clips: two to be scored and the reference, (3, CLIPS, N)."""
    if request.param == "builtin":
        chosen = load_corpus("builtin", clips=800).clips("test")
    else:
        if not (folder := SHARED / "realdata" / request.param).is_dir():
            pytest.skip(f"no {folder}; set PB_SHARED to the folder that holds realdata/")
        chosen = load_corpus(str(folder)).clips("test")
    audio = [clip.audio(RATE)[: 4 * RATE] for clip in chosen[:: len(chosen) // (3 * CLIPS)][: 3 * CLIPS]]
    order = np.random.default_rng(0).permutation(3 * CLIPS)
    return np.stack(audio)[order].reshape(3, CLIPS, -1)


@pytest.fixture(scope="module")
def spans() -> list[tuple[float, float]]:
    return [(start, start + 2) for start in np.random.default_rng(1).uniform(0.4, 1.6, CLIPS).round(2)]


@pytest.fixture(scope="module")
def real(clips: np.ndarray, spans: list[tuple[float, float]]) -> RealSpans:
    return RealSpans(list(clips[2]), RATE, spans)


def test_untouched_audio_is_at_zero(clips: np.ndarray, spans: list[tuple[float, float]], real: RealSpans) -> None:
    ranks = [real.unusual(list(part), spans) for part in clips[:2]]
    assert [real.distance(one) for one in ranks] == pytest.approx([0, 0], abs=0.08)
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("fault", [click, late_click, silence, frozen, splice, noise])
def test_every_fault_is_far_from_real(
    fault: Edit, clips: np.ndarray, spans: list[tuple[float, float]], real: RealSpans
) -> None:
    edited = clips[0].copy()
    for i, (begin, end) in enumerate(spans):
        fault(edited[i], round(begin * RATE), round(end * RATE), clips[0][(i + 1) % CLIPS])
    ranks = real.unusual(list(edited), spans)
    assert real.distance(ranks) > 0.7
    assert np.median(ranks) > 0.95  # nearly every clip by itself, too
    for few in (slice(0, 8), slice(8, 16), slice(16, 24)):
        assert real.distance(ranks[few]) > real.distance(real.unusual(list(clips[0][few]), spans[few])) + 0.3


def test_nothing_is_better_than_real_audio(real: RealSpans) -> None:
    """Systems that are too typical, too unusual, or alternate between both all lie above 0; a system like real at 0."""
    middle, typical, abrupt, both = np.full(40, 0.5), np.zeros(40), np.ones(40), np.arange(40) % 2.0
    assert [real.distance(x) for x in (typical, abrupt)] == pytest.approx([1, 1], abs=0.01)
    assert [real.distance(x) for x in (middle, both)] == pytest.approx([0.25, 0.25], abs=0.03)
    rng = np.random.default_rng(0)
    for a, b in rng.uniform(0.2, 5, (40, 2)):  # any law of unusualness, in expectation
        assert np.mean([real.distance(rng.beta(a, b, 16)) for _ in range(200)]) > -0.02
    assert np.mean([real.distance(rng.uniform(size=16)) for _ in range(2000)]) == pytest.approx(0, abs=0.01)


def test_it_is_the_energy_distance_of_scipy(real: RealSpans) -> None:
    ranks, uniform = np.random.default_rng(0).beta(5, 2, 1500), (np.arange(1500) + 0.5) / 1500
    assert real.distance(ranks) == pytest.approx(1.5 * energy_distance(ranks, uniform) ** 2, abs=0.01)


def test_statistics_by_hand() -> None:
    time = np.arange(2 * RATE) / RATE
    same = np.tile(np.random.default_rng(0).normal(0, 0.1, RATE // 100), 200)  # successive 10 ms are alike
    louder = np.where((time >= 0.5) & (time < 1.5), 0.2, 0.1) * same
    found = dict(zip(STATISTICS, statistics(louder, RATE, (0.5, 1.5))))
    assert [found[f"jump_{where}"] for where in ("begin", "end")] == pytest.approx([20 * np.log10(2)] * 2, abs=0.01)
    assert [np.exp(found[f"flux_{ms}ms_begin"]) for ms in (10, 50)] == pytest.approx([np.log(2)] * 2, abs=0.05)
    assert found["level"] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert found["dip"] == pytest.approx(0, abs=0.01)
    assert np.exp([found["activity"], found["variety"]]) == pytest.approx([1e-3, 1e-3], abs=1e-4)


def test_a_boundary_at_the_edge_of_the_clip_is_none() -> None:
    found = dict(zip(STATISTICS, statistics(np.random.default_rng(0).normal(size=RATE), RATE, (0.0, 0.5))))
    assert all(found[name] == 0 for name in STATISTICS if name.endswith("_begin"))
    assert all(found[name] != 0 for name in STATISTICS if not name.endswith("_begin"))
