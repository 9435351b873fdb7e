"""Which metrics order known degradations, and from which step on: rules of decision, on metrics of known behaviour."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.validation import (
    LEAST_PROMPTS,
    PACKAGED,
    ChainInfo,
    Validation,
    find_validation,
    load_validations,
    read_validation,
)
from paradigm_bench.benchmarks.metrics.degradations import CHAINS
from paradigm_bench.benchmarks.metrics.ladder import MetricLadder, SetScore, step_scores
from paradigm_bench.benchmarks.study.cells import Content, EvaluationConfig, Identity
from paradigm_bench.common.config import to_dict
from paradigm_bench.common.errors import UserError


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only noise is required of fidelity, so that one chain decides."""
    kept = {name: chain for name, chain in CHAINS.items() if chain.required_of != "fidelity" or name == "noise"}
    monkeypatch.setattr("paradigm_bench.benchmarks.metrics.degradations.CHAINS", kept)


N = 64
PROMPTS = [f"p{i}" for i in range(N)]
STEPS = (40.0, 30.0, 20.0, 10.0, 0.0)
NOISE = ChainInfo("white noise", "dB SNR", "fidelity", tuple(f"{s:g}" for s in STEPS))
EXCHANGED = ChainInfo("exchanged clips", "% of clips", "captions", ("5", "100"))
LOUDNESS = ChainInfo("loudness", "dB", "loudness", ("-6",))


def scored(mean: float, spread: float = 1.0, seed: int = 0) -> SetScore:
    """A score whose clips have a spread of their own; scores of one seed share it and differ by their means."""
    noise = np.random.default_rng(seed).standard_normal(N)
    return SetScore(mean, mean + spread * (noise - noise.mean()))


def ladder(means: list[float], better: str = "lower", steps: tuple[float, ...] = STEPS) -> tuple:
    """Steps of a metric; clean audio scores 0."""
    rng = np.random.default_rng(3)
    sets = [SetScore(m, m + 0.3 * (noise := rng.standard_normal(N)) - 0.3 * noise.mean()) for m in means]
    return tuple(step_scores(scored(0.0, 0.3, seed=9), steps, sets, PROMPTS, better == "higher"))


def validation(name: str = "kad_musicnn", better: str = "lower", **chains: tuple) -> Validation:
    held = MetricLadder(0.0, better, chains)  # type: ignore[arg-type]
    about = {"noise": NOISE, "exchanged": EXCHANGED, "loudness": LOUDNESS}
    return Validation(
        Content("toy", "abc"), "test", 4.0, 16_000, N, (Identity("musicnn", "m1"),),
        {chain: about[chain] for chain in chains}, {name: held},
    )  # fmt: skip


def test_a_metric_that_rises_with_every_step_orders_the_chain() -> None:
    found = validation(noise=ladder([0.0, 0.5, 2, 4, 9]))
    assert found.orders("kad_musicnn", "noise") is True
    assert found.problem("kad_musicnn") == ""
    assert found.notices_from("kad_musicnn", "noise") == "30"
    assert found.margin("kad_musicnn") == pytest.approx(0.5, abs=1e-9)


def test_a_metric_that_calls_a_worse_step_better_does_not() -> None:
    found = validation(noise=ladder([0.0, 1, 5, 3, 9]))
    assert found.orders("kad_musicnn", "noise") is False
    assert found.problem("kad_musicnn") == "does not order white noise: 10 dB SNR scores better than 20 dB SNR"


def test_a_metric_that_finds_the_first_step_better_than_clean_audio_does_not() -> None:
    assert "40 dB SNR scores better than clean audio" in validation(noise=ladder([-1, 1, 2, 3, 9])).problem(
        "kad_musicnn"
    )


def test_a_deaf_metric_does_not() -> None:
    found = validation(noise=ladder([0.0, 0.02, -0.02, 0.01, 0.03]))
    assert found.notices_from("kad_musicnn", "noise") is None
    assert found.problem("kad_musicnn") == "does not notice white noise, not even at 0 dB SNR"


def test_the_margin_of_a_metric_that_hardly_notices_mild_noise_is_not_zero() -> None:
    assert validation(noise=ladder([0.0, 0.0, 0.0, 1, 9])).margin("kad_musicnn") == pytest.approx(0.09)


def test_effects_say_what_is_noticed_and_how() -> None:
    found = validation(noise=ladder([-1.0, 0.0, 2, 4, 9]))
    assert found.effects("kad_musicnn", "noise") == ["better", "", "worse", "worse", "worse"]
    assert found.notices_from("kad_musicnn", "noise") == "40"


def test_steps_that_cannot_be_told_apart_are_in_order() -> None:
    found = validation(noise=ladder([0.0, 0.03, 0.0, 4, 3.97]))
    assert found.orders("kad_musicnn", "noise") is True


def test_a_tiny_gain_counts_as_none_however_certain() -> None:
    """At its ceiling a metric falls back by 0.5% of its reach on every clip alike."""
    values = scored(0.0, 0.5)
    sets = [SetScore(m, values.items + m) for m in (1, 2, 5, 10.0, 9.95)]  # type: ignore[operator]
    steps = step_scores(values, STEPS, sets, PROMPTS, higher_is_better=False)
    assert steps[-1].p_change is not None
    assert steps[-1].p_change < 0.01
    assert validation(noise=tuple(steps)).orders("kad_musicnn", "noise") is True


def test_for_a_metric_where_higher_is_better_the_signs_turn() -> None:
    falling, rising = ladder([0, -1, -2, -3, -5], "higher"), ladder([0, 1, 2, 3, 5], "higher")
    assert validation("density_musicnn", "higher", noise=falling).orders("density_musicnn", "noise") is True
    assert validation("density_musicnn", "higher", noise=rising).orders("density_musicnn", "noise") is False


def test_many_steps_do_not_condemn_a_metric_that_has_no_preference() -> None:
    """Of metrics that score pure chance and then clearly notice the last step, Holm lets at least 95% pass."""
    rng, passed = np.random.default_rng(0), 0
    for _ in range(200):
        clean, *sets = (SetScore(v.mean(), v) for v in rng.standard_normal((6, N)))
        sets[-1] = SetScore(sets[-1].value + 9, sets[-1].items + 9)  # type: ignore[operator]
        passed += validation(noise=tuple(step_scores(clean, STEPS, sets, PROMPTS, False))).problem("kad_musicnn") == ""
    assert passed >= 188


def test_loudness_alone() -> None:
    assert validation(noise=ladder([0, 1, 2, 3, 9]), loudness=ladder([3], steps=(-6.0,))).moves_with_loudness(
        "kad_musicnn"
    )
    still = validation(noise=ladder([0, 1, 2, 3, 9]), loudness=ladder([0.01], steps=(-6.0,)))
    assert not still.moves_with_loudness("kad_musicnn")


def test_a_metric_that_reads_captions_has_its_own_chain_and_margin() -> None:
    deaf_to_noise = ladder([0, 0, 0, 0, 0], "higher")
    exchanged = ladder([-0.4, -4.0], "higher", (5.0, 100.0))
    found = validation("adherence_builtin", "higher", noise=deaf_to_noise, exchanged=exchanged)
    assert found.problem("adherence_builtin") == ""
    assert found.margin("adherence_builtin") == pytest.approx(0.2)
    still = validation("clap_builtin", "higher", exchanged=ladder([0.0, 0.01], "higher", (5.0, 100.0)))
    assert "does not notice exchanged clips" in still.problem("clap_builtin")


def test_a_metric_without_scores_per_clip_is_not_tested() -> None:
    steps = step_scores(SetScore(0.0), STEPS, [SetScore(float(m)) for m in range(1, 6)], PROMPTS, False)
    found = validation("fad_inf_musicnn", noise=tuple(steps))
    assert found.orders("fad_inf_musicnn", "noise") is None
    assert "not tested" in found.problem("fad_inf_musicnn")
    assert validation().margin("mad_musicnn") is None


def test_every_required_chain_must_be_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.benchmarks.metrics.degradations.CHAINS", CHAINS)
    found = validation(noise=ladder([0, 1, 2, 3, 9]))
    untested = "its order of these was not tested: low-pass, clipping, dropouts"
    assert found.problem("kad_musicnn") == untested
    assert validation(noise=ladder([0, 1, 5, 3, 9])).problem("kad_musicnn").startswith("does not order white noise")
    assert validation(loudness=ladder([0], steps=(-6.0,))).problem("adherence_builtin").endswith("exchanged clips")


def test_few_clips_decide_nothing() -> None:
    found = dataclasses.replace(validation(noise=ladder([0, 1, 2, 3, 9])), prompts=LEAST_PROMPTS - 1)
    assert found.problem("kad_musicnn") == "validated with 31 clips only; it needs 32"
    assert dataclasses.replace(found, prompts=LEAST_PROMPTS).problem("kad_musicnn") == ""


def test_a_missing_step_shifts_no_other() -> None:
    found = validation(noise=ladder([0.0, 5, 3], steps=(40.0, 20.0, 10.0)))
    assert found.notices_from("kad_musicnn", "noise") == "20"
    assert found.problem("kad_musicnn") == "does not order white noise: 10 dB SNR scores better than 20 dB SNR"


def test_clips_that_a_metric_does_not_apply_to_are_left_out() -> None:
    clean = scored(0.0)
    holes = np.where(np.arange(N) < 60, np.nan, 0.0)
    (step,) = step_scores(clean, [0.0], [SetScore(1.0, clean.items + 1 + holes)], PROMPTS, False)  # type: ignore[operator]
    assert step.low == step.high == pytest.approx(1.0)
    (none,) = step_scores(clean, [0.0], [SetScore(1.0, np.full(N, np.nan))], PROMPTS, False)
    assert none.p is None


def stored(folder: Path, found: Validation, name: str = "toy-1.json") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(json.dumps(to_dict(found)))
    return file


def record(
    corpus: str = "abc", split: str = "test", seconds: float = 4.0, rate: int = 16_000, judge: str = "m1"
) -> SimpleNamespace:
    judges = (Identity("musicnn", judge),)
    evaluation = EvaluationConfig(split, 32, seconds, rate, Identity("builtin", "b1"), judges=judges)
    data = SimpleNamespace(corpus=Content("toy", corpus))
    return SimpleNamespace(config=SimpleNamespace(data=data, evaluation=evaluation))


def test_a_validation_comes_back_from_its_file(tmp_path: Path) -> None:
    found = validation(noise=ladder([0, 1, 2, 3, 9]))
    assert read_validation(stored(tmp_path, found)) == found


def test_the_validation_of_a_record_must_agree_in_everything_but_n(tmp_path: Path) -> None:
    old = dataclasses.replace(validation(noise=ladder([0, 1, 2, 3, 9])), created="2026-01-01")
    stored(tmp_path / "validations", old)
    assert find_validation(record(), tmp_path, "musicnn") == old  # type: ignore[arg-type]
    assert find_validation(record(), tmp_path) == old  # type: ignore[arg-type]
    others = [
        {"corpus": Content("toy", "abd")},
        {"split": "train"},
        {"seconds": 8.0},
        {"rate": 44_100},
        {"judge": "m2"},
    ]
    for other in others:
        assert find_validation(record(**other), tmp_path, "musicnn") is None, other  # type: ignore[arg-type]
    assert find_validation(record(), tmp_path, "builtin") is None  # type: ignore[arg-type]
    new = dataclasses.replace(old, created="2026-02-01")
    stored(tmp_path / "validations", new, "toy-2.json")
    assert find_validation(record(), tmp_path, "musicnn") == new  # type: ignore[arg-type]


def test_the_validation_of_most_clips_counts_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = dataclasses.replace(validation(noise=ladder([0, 1, 2, 3, 9])), prompts=128, created="2026-01-01")
    small = dataclasses.replace(packaged, prompts=8, created="2026-02-01")
    monkeypatch.setattr("paradigm_bench.benchmarks.analysis.validation.PACKAGED", tmp_path / "packaged")
    stored(tmp_path / "packaged", packaged)
    stored(tmp_path / "validations", small)
    assert find_validation(record(), tmp_path, "musicnn") == packaged  # type: ignore[arg-type]
    again = dataclasses.replace(packaged, created="2026-03-01")
    stored(tmp_path / "validations", again, "toy-2.json")
    assert find_validation(record(), tmp_path, "musicnn") == again  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_named_once_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "validations"
    stored(folder, validation(noise=ladder([0, 1, 2, 3, 9])))
    (folder / "broken.json").write_text('{"schema_version": 1, "corpus": 3}')
    assert len(load_validations(folder)) == 1
    assert "broken.json" in capsys.readouterr().err
    load_validations(folder)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema_version": 9}'])
def test_a_file_of_another_version_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="run bench validate-metrics again"):
        read_validation(tmp_path / "x.json")


def test_the_packaged_validations_can_be_read() -> None:
    for file in PACKAGED.glob("*.json"):
        assert read_validation(file).metrics
        assert read_validation(file).prompts >= LEAST_PROMPTS
