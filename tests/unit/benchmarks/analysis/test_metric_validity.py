"""A metric that does not order ceilings and floors, or fails the ladder of degradations, gives no verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paradigm_bench.benchmarks.analysis.metric_validity import (
    margin,
    moves_with_loudness,
    same_within,
    unusable,
    why_no_verdict,
)
from paradigm_bench.benchmarks.analysis.validation import ChainInfo, Validation
from paradigm_bench.benchmarks.metrics.degradations import CHAINS
from paradigm_bench.benchmarks.metrics.ladder import MetricLadder, StepScore
from paradigm_bench.benchmarks.metrics.metric import Metric
from paradigm_bench.benchmarks.study.cells import Content, EvaluationConfig, Identity
from paradigm_bench.common.config import to_dict
from paradigm_bench.common.files import write_json


def between(low: float, high: float) -> Metric:
    return Metric((low + high) / 2, low, high, n=64)


FAD = {
    "real": between(12, 19), "codec_continuous": between(13, 20), "codec_quantised": between(13, 21),
    "shuffled_captions": between(12, 19), "noise": between(96, 98), "silence": Metric(128.0),
}  # fmt: skip


def test_a_distance_in_order_is_usable_though_shuffled_captions_sound_real() -> None:
    assert unusable("fad_builtin", FAD) == ""
    assert unusable("fad_builtin", {**FAD, "ar": between(500, 600)}) == ""  # arms are not looked at


def test_the_same_figures_read_the_other_way_are_not() -> None:
    assert "noise (97) does not differ enough from real (15.5)" in unusable("recall_builtin", FAD)


def test_metrics_that_read_captions_have_another_floor() -> None:
    scores = {"real": between(0.9, 1.0), "shuffled_captions": between(0.85, 0.95), "noise": between(0.1, 0.2)}
    assert "shuffled_captions (0.9) does not differ enough from real (0.95)" in unusable("clap_builtin", scores)
    assert unusable("density_builtin", scores) == ""


@pytest.mark.parametrize("noise", [between(15, 30), Metric(19.0)])
def test_touching_intervals_do_not_tell_apart(noise: Metric) -> None:
    assert "noise" in unusable("kad_builtin", {**FAD, "noise": noise})


def test_a_codec_clearly_better_than_the_real_thing_is_suspect() -> None:
    assert "codec_quantised (2) seems better" in unusable("mad_builtin", {**FAD, "codec_quantised": between(1, 3)})


def test_nothing_to_compare_is_no_verdict() -> None:
    assert unusable("fad_builtin", {"real": between(1, 2)}) == ""
    assert unusable("fad_builtin", {"real": Metric(None), "noise": between(0, 1)}) == ""


def test_sameness_is_a_share_of_the_way_to_the_nearest_floor() -> None:
    assert same_within("fad_builtin", FAD) == pytest.approx(0.05 * (97 - 15.5))
    scores = {"real": Metric(1.0), "shuffled_captions": Metric(0.2), "noise": Metric(0.0)}
    assert same_within("adherence_builtin", scores) == pytest.approx(0.04)
    assert same_within("fad_builtin", {"real": Metric(1.0)}) is None
    assert same_within("fad_builtin", {"real": Metric(1.0), "noise": Metric(1.0)}) is None


def test_controls_need_real_audio_to_be_told_from_audio_of_other_clips() -> None:
    scores = {"real": between(0.4, 0.48), "shuffled_captions": between(0.39, 0.5), "noise": between(0.1, 0.2)}
    assert "shuffled_captions" in unusable("downbeat_f1", scores)
    assert "shuffled_captions" in unusable("pitch_accuracy_any_octave", scores)
    assert unusable("reward", scores) == ""  # it reads no controls


def test_every_fill_without_a_model_is_a_floor_of_spans() -> None:
    scores = {"real": between(0, 0.1), "retrieved": between(0, 0.1), "frozen": between(0.05, 0.2)}
    assert "frozen" in unusable("seam", scores)
    assert unusable("seam", {**scores, "frozen": between(1, 2)}) == ""
    assert same_within("seam", {**scores, "frozen": between(1, 2)}) == pytest.approx(0.05 * 1.45)


# The same questions, asked of a table


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only noise is required of fidelity, so that one chain decides."""
    kept = {name: chain for name, chain in CHAINS.items() if name in ("noise", "exchanged")}
    monkeypatch.setattr("paradigm_bench.benchmarks.metrics.degradations.CHAINS", kept)


STEPS = tuple(StepScore(s, d, d, d - 1, d + 1, p, c, p) for s, d, c, p in [(40, 0, 0, 1), (30, 2, 2, 0), (0, 9, 7, 0)])
WRONG = (*STEPS[:2], StepScore(0, 1, 1, 0.5, 1.5, 0.0, -1, 0.0))
CHAIN = ChainInfo("white noise", "dB SNR", "fidelity", ("40", "30", "0"))


def table(**metrics: Metric) -> Any:
    """A table of real audio and noise, whose real clips score ``metrics``."""
    floors = {name: Metric(99.0, 98.0, 100.0, m.n) for name, m in metrics.items()}
    rows = [
        SimpleNamespace(system=name, kind="reference", good=[SimpleNamespace(metrics=scores)])
        for name, scores in (("real", metrics), ("noise", floors))
    ]
    judges = (Identity("musicnn", "m1"), Identity("logmel", "l1"))
    evaluation = EvaluationConfig("test", 64, 4.0, 16_000, Identity("builtin", "b1"), judges)
    config = SimpleNamespace(data=SimpleNamespace(corpus=Content("toy", "abc")), evaluation=evaluation)
    newest = SimpleNamespace(axis="fidelity", config=config)
    return SimpleNamespace(study="mine", folder=Path("nowhere/mine"), rows=rows, newest=newest)


@pytest.fixture
def validated(tmp_path: Path) -> Any:
    """A table whose corpus has a validation: kad orders noise by musicnn, and not by logmel."""
    noise = {"kad_musicnn": STEPS, "fad_musicnn": STEPS, "kad_logmel": WRONG}
    held = {name: MetricLadder(0.0, "lower", {"noise": steps}) for name, steps in noise.items()}
    exchanged = (StepScore(100, 0.2, -0.8, -0.9, -0.7, 0.0, -0.8, 0.0),)
    held["adherence_builtin"] = MetricLadder(1.0, "higher", {"exchanged": exchanged})
    evaluators = tuple(Identity(name, name[0] + "1") for name in ("builtin", "musicnn", "logmel"))
    exchange = ChainInfo("exchanged clips", "%", "captions", ("100",))
    found = Validation(
        Content("toy", "abc"), "test", 4.0, 16_000, 128, evaluators, {"noise": CHAIN, "exchanged": exchange}, held
    )
    write_json(tmp_path / "validations" / "toy-1.json", to_dict(found))
    real = {
        name: Metric(0.5, 0.0, 1.0, 64) for name in ("kad_musicnn", "kad_logmel", "fad_musicnn", "kad_musicnn_window")
    }
    good = table(**real, kad_builtin=Metric(0.5, 0.0, 1.0, 64))
    good.folder = tmp_path / "mine"
    return good


def test_without_a_validation_no_metric_of_fidelity_decides() -> None:
    reason = why_no_verdict(table(kad_musicnn=between(0, 1)), "kad_musicnn")
    assert reason == "not validated on this corpus: run bench validate-metrics mine"
    assert margin(table(kad_musicnn=between(0, 1)), "kad_musicnn") is None
    assert why_no_verdict(table(reward=between(200, 201)), "reward") == ""


def test_windows_of_another_length_are_told_no_command_that_cannot_work() -> None:
    held = table(kad_musicnn_window=between(0, 1), kad_musicnn=between(0, 1))
    assert "run bench validate-metrics" in why_no_verdict(held, "kad_musicnn_window")
    held.newest.axis = "frame_rate"
    assert why_no_verdict(held, "kad_musicnn_window") == "clips of this length were not validated on this corpus"
    assert "run bench validate-metrics" in why_no_verdict(held, "kad_musicnn")


def test_a_validated_metric_decides_with_its_margin(validated: Any) -> None:
    for name in ("kad_musicnn", "kad_musicnn_window"):
        assert why_no_verdict(validated, name) == ""
        assert margin(validated, name) == 2
        assert not moves_with_loudness(validated, name)


def test_where_spans_are_filled_whole_clips_do_not_decide(validated: Any) -> None:
    for row in validated.rows:
        row.good[0].metrics["kad_musicnn_span"] = row.good[0].metrics["kad_musicnn"]
    assert why_no_verdict(validated, "kad_musicnn_span") == ""
    assert "kad_musicnn_span is of the filled span" in why_no_verdict(validated, "kad_musicnn")


def test_controls_without_a_floor_decide_nothing() -> None:
    held = table(chord_iou=between(0.6, 0.8))
    held.rows.pop()
    assert "not both measured" in why_no_verdict(held, "chord_iou")


def test_one_that_fails_the_ladder_does_not(validated: Any) -> None:
    assert why_no_verdict(validated, "kad_logmel") == (
        "does not order white noise: 0 dB SNR scores better than 30 dB SNR"
    )


def test_floors_and_ceilings_come_before_the_ladder(validated: Any) -> None:
    validated.rows[1].good[0].metrics["kad_musicnn"] = between(0.5, 2)
    assert "noise (1.25) does not differ enough from real" in why_no_verdict(validated, "kad_musicnn")


def test_a_frechet_distance_needs_many_clips(validated: Any) -> None:
    assert "fad of 64 clips is mostly bias; it needs 256" in why_no_verdict(validated, "fad_musicnn")
    for row in validated.rows:
        row.good[0].metrics["fad_musicnn"] = dataclasses.replace(row.good[0].metrics["fad_musicnn"], n=256)
    assert why_no_verdict(validated, "fad_musicnn") == ""


def test_a_taggers_distance_never_decides(validated: Any) -> None:
    for name in ("kad_builtin", "fad_builtin", "kl_builtin", "is_builtin", "precision_builtin"):
        assert "attribute tagger" in why_no_verdict(validated, name)


def test_captions_take_their_margin_from_the_ladder_or_else_from_the_table(validated: Any) -> None:
    assert margin(validated, "adherence_builtin") == pytest.approx(0.04)
    assert why_no_verdict(validated, "adherence_builtin") == ""
    other = table(clap_clap_music=Metric(0.9, 0.8, 1.0, 64))
    other.rows[1].good[0].metrics["clap_clap_music"] = Metric(0.5, 0.4, 0.6, 64)
    assert margin(other, "clap_clap_music") == pytest.approx(0.02)
