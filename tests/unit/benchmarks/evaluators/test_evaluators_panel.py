"""The panel: what it gives for the real audio, for noise, for the wrong captions, and what it refuses."""

import numpy as np
import pytest

from paradigm_bench.benchmarks.evaluators import Evaluator, EvaluatorOutput, score_set
from paradigm_bench.benchmarks.metrics.statistics import compare, verdict
from paradigm_bench.common.errors import UserError

RATE, N = 16_000, 24
CLASSES = {"key": ["C", "D", "E"], "level": ["high", "low"]}


class Meter(Evaluator):
    """A transparent evaluator: the mean of a clip decides its key, the spread its level."""

    name, identity, classes = "meter", "meter-1", CLASSES

    def evaluate(self, audio, sample_rate, captions=None):
        features = np.array([[wav.mean(), wav.std()] for wav in audio])
        key, level = np.clip(np.rint(10 * features[:, 0]).astype(int), 0, 2), (features[:, 1] < 0.1).astype(int)
        posteriors = {"key": 0.97 * np.eye(3)[key] + 0.01, "level": 0.98 * np.eye(2)[level] + 0.01}
        named = [CLASSES["key"][k] for k in key]
        similarity = None if captions is None else np.array([c == n for c, n in zip(captions, named)], float)
        return EvaluatorOutput(features, posteriors, similarity, silent=sum(not wav.any() for wav in audio))


def clips(seed: int, spread: float = 0.05) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(0.1 * (i % 3) + rng.normal(0, spread, 4000)).astype(np.float32) for i in range(N)]


CAPTIONS = [CLASSES["key"][i % 3] for i in range(N)]
ASKED = [{"key": CAPTIONS[i], **({"level": "low"} if i < N // 2 else {})} for i in range(N)]


def test_real_audio_against_itself_is_the_ceiling():
    scores = score_set(clips(0), clips(0), CAPTIONS, ASKED, Meter(), RATE)
    assert scores.set_metrics["fad_meter"] == pytest.approx(0.0, abs=1e-9)
    assert scores.set_metrics["kl_meter"] == pytest.approx(0.0, abs=1e-3)
    for name in ("adherence_meter", "adherence_key_meter", "adherence_level_meter", "clap_meter"):
        assert scores.set_metrics[name] == 1.0
    assert {key: scores.details[key] for key in ("n_reference", "n_generated", "silent_clips")} == {
        "n_reference": N,
        "n_generated": N,
        "silent_clips": 0,
    }
    assert (scores.details["evaluator_identity"], scores.details["policy"]["peak_dbfs"]) == ("meter-1", -1.0)


def test_wrong_captions_cost_adherence_and_not_the_distance():
    scores = score_set(clips(0), clips(0), CAPTIONS[1:] + CAPTIONS[:1], ASKED[1:] + ASKED[:1], Meter(), RATE)
    assert scores.set_metrics["fad_meter"] == pytest.approx(0.0, abs=1e-9)
    assert scores.set_metrics["adherence_key_meter"] == scores.set_metrics["clap_meter"] == 0.0
    assert scores.chance["adherence_key_meter"].uniform == pytest.approx(1 / 3)


def test_attributes_not_asked_for_do_not_count():
    scores = score_set(clips(0), clips(1, spread=0.5), CAPTIONS, ASKED, Meter(), RATE)
    level = scores.per_item["adherence_level_meter"]
    assert np.isnan(level[N // 2 :]).all()
    assert (level[: N // 2] == 0).all()
    mean, key = scores.per_item["adherence_meter"], scores.per_item["adherence_key_meter"]
    np.testing.assert_array_equal(mean[N // 2 :], key[N // 2 :])
    key_only = score_set(clips(0), clips(1), CAPTIONS, [{"key": c} for c in CAPTIONS], Meter(), RATE)
    assert "adherence_level_meter" not in key_only.per_item


def test_paired_clips_are_those_of_the_captions_and_the_reference_that_of_the_distance():
    generated, turned = clips(0), clips(0)[1:] + clips(0)[:1]
    own = score_set(turned, generated, CAPTIONS, ASKED, Meter(), RATE, paired=clips(3))
    other = score_set(turned, generated, CAPTIONS, ASKED, Meter(), RATE)
    assert own.set_metrics["fad_meter"] == other.set_metrics["fad_meter"] == pytest.approx(0.0, abs=1e-9)
    assert own.set_metrics["kl_meter"] < 0.01 < 1.0 < other.set_metrics["kl_meter"]


def test_a_set_evaluated_before_scores_the_same():
    evaluator = Meter()
    fresh = score_set(clips(0), clips(1), CAPTIONS, ASKED, evaluator, RATE)
    reused = score_set(evaluator.evaluate(clips(0), RATE), clips(1), CAPTIONS, ASKED, evaluator, RATE)
    assert reused.set_metrics == fresh.set_metrics


def test_intervals_and_comparisons_cover_every_metric():
    near = score_set(clips(0), clips(1), CAPTIONS, ASKED, Meter(), RATE)
    far = score_set(clips(0), clips(2, spread=0.5), CAPTIONS, ASKED, Meter(), RATE)
    prompts = np.arange(N)
    intervals = near.intervals(prompts)
    assert set(intervals) == set(near.set_metrics)
    for name, found in intervals.items():
        assert found.low - 1e-9 <= near.set_metrics[name] <= found.high + 1e-9
    assert intervals["adherence_level_meter"].n_items == N // 2
    shares = [scores.contributions()["fad_meter"] for scores in (near, far)]
    assert shares[0].mean() == pytest.approx(near.set_metrics["fad_meter"])
    gap = compare(*shares, prompts, higher_is_better=False)
    assert verdict(gap) == "better"


def test_unequal_sets_and_broken_clips_are_refused():
    with pytest.raises(UserError, match=r"24 reference, 23 generated.*equal n"):
        score_set(clips(0), clips(1)[:-1], CAPTIONS, ASKED, Meter(), RATE)
    with pytest.raises(UserError, match="23 captions"):
        score_set(clips(0), clips(1), CAPTIONS[:-1], ASKED, Meter(), RATE)
    broken = clips(1)
    broken[7] = np.full(4000, np.nan, np.float32)
    with pytest.raises(UserError, match="generated: clip 7 holds NaN"):
        score_set(clips(0), broken, CAPTIONS, ASKED, Meter(), RATE)
