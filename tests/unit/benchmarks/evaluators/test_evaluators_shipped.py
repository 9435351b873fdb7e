"""The shipped weights: they load, are small, have a record, and detect attributes of the built-in music."""

import numpy as np
import pytest

from paradigm_bench.benchmarks.evaluators import get_evaluator, score_set
from paradigm_bench.benchmarks.evaluators.builtin.evaluator import SHIPPED
from paradigm_bench.benchmarks.evaluators.builtin.examples import reconstruct
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation

N, RATE = 48, 16_000


@pytest.fixture(scope="module")
def scored():
    """Scores of real audio, codec output and noise on the same prompts, and the evaluator."""
    corpus = load_corpus("builtin", clips=1)
    evaluator, codec = get_evaluator("builtin", corpus=corpus), load_representation("codec_builtin")
    clips, others = corpus.clips("test")[:N], corpus.clips("test")[N : 2 * N]
    real = [clip.audio(RATE) for clip in clips]
    systems = {
        "real": real,
        "codec": [reconstruct(wav, codec, "codes", seed=0) for wav in real],
        "noise": list(np.random.default_rng(0).normal(0, 0.1, (N, len(real[0]))).astype(np.float32)),
    }
    reference = evaluator.evaluate([clip.audio(RATE) for clip in others], RATE)
    captions, asked, paired = [c.caption for c in clips], [c.attributes for c in clips], evaluator.evaluate(real, RATE)
    return evaluator, {
        name: score_set(reference, audio, captions, asked, evaluator, RATE, paired=paired).set_metrics
        for name, audio in systems.items()
    }


def test_attributes_of_real_music_are_detected_through_the_codec_too(scored):
    _, scores = scored
    for attribute in ("root", "lead", "comp", "drums", "tempo"):
        assert scores["real"][f"adherence_{attribute}_builtin"] >= 0.97
    assert scores["real"]["adherence_key_builtin"] >= 0.95
    assert scores["codec"]["adherence_builtin"] >= 0.95
    assert scores["noise"]["adherence_builtin"] <= 0.35


def test_every_metric_puts_real_before_codec_before_noise(scored):
    _, scores = scored
    for name in ("fad_builtin", "kad_builtin", "kl_builtin"):
        assert scores["real"][name] < scores["codec"][name] < 0.5 * scores["noise"][name]
    assert scores["real"]["clap_builtin"] >= scores["codec"]["clap_builtin"] > scores["noise"]["clap_builtin"] + 0.3


def test_weights_are_small_and_say_how_they_were_made(scored):
    evaluator, _ = scored
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 4_000_000
    assert evaluator.record["representation"]["name"] == "codec_builtin"
    assert set(evaluator.record["valid"]) == {"clean", "continuous", "blurred", "codes"}
    assert evaluator.record["made_by"].startswith("python -m benchmarks.evaluators.builtin.training --corpus builtin ")
