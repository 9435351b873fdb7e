"""Tests of the tests: synthetic records in which a claim is true, false and undecided, and such as cannot decide it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from papers_toys import REPOSITORY, quality, speed

from paradigm_bench.benchmarks.analysis.records import save_record
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.papers.claim_tests import Contrast, ContrastResult, Pair, Side, judge, overall
from paradigm_bench.benchmarks.papers.claims import (
    claims_table,
    evaluate_claims,
    load_claim_tests,
    verdict_counts,
    write_claims_page,
)
from paradigm_bench.benchmarks.papers.record_index import RecordIndex
from paradigm_bench.benchmarks.study.load import study_names
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.budget import TrainingCost

PROMPTS, NOISE = 32, 0.05
LOWER = {"fad_builtin": "lower"}
OF_ANOTHER_CORPUS = {"quickstart-music"}  # results of a study that comes with the suite, on music of one's own


def arm(results: Path, name: str, mean: float, metric: str = "clap_builtin", seeds: int = 3, **settings: Any) -> None:
    """An arm whose scores lie about ``mean``: prompts differ much, arms on one prompt little."""
    for seed in range(seeds):
        prompts = np.random.default_rng(0).normal(0, 0.2, PROMPTS)
        own = np.random.default_rng([seed, len(name), int(1e4 * abs(mean))]).normal(0, NOISE, PROMPTS)
        quality(results, "s", name, {metric: list(mean + prompts + own)}, seed, LOWER, **settings)


def outcome(results: Path, **contrast: Any) -> ContrastResult:
    sides = {side: Side(arm) if isinstance(arm, str) else arm for side, arm in contrast.items() if side in "ab"}
    return judge([Contrast(**{"study": "s", "metric": "clap", **contrast, **sides})], RecordIndex(results))[0]


@pytest.mark.parametrize(("b", "verdict"), [(0.4, "holds"), (0.6, "fails"), (0.503, "undecided")])
@pytest.mark.parametrize("metric", ["clap_builtin", "fad_builtin"])
def test_one_arm_better_than_another(tmp_path: Path, metric: str, b: float, verdict: str) -> None:
    sign = -1 if metric == "fad_builtin" else 1  # a distance: lower is better
    arm(tmp_path, "ar", sign * 0.5, metric)
    arm(tmp_path, "fm", sign * b, metric)
    found = outcome(tmp_path, metric=metric.partition("_")[0], a="ar", b="fm")
    assert found.verdict == verdict
    assert (found.n, found.prompts, found.seeds) == (96, PROMPTS, 3)
    assert found.effect == pytest.approx(sign * (0.5 - b), abs=0.03)
    assert sorted([found.low, found.effect, found.high]) == [found.low, found.effect, found.high]


@pytest.mark.parametrize(("b", "verdict"), [(0.51, "holds"), (0.8, "fails"), (0.6, "undecided")])
def test_one_arm_as_good_as_another(tmp_path: Path, b: float, verdict: str) -> None:
    arm(tmp_path, "ar", 0.5)
    arm(tmp_path, "fm", b)
    assert outcome(tmp_path, a="ar", b="fm", expect="same", margin=0.1).verdict == verdict


@pytest.mark.parametrize(("b", "verdict"), [(0.2, "holds"), (0.47, "fails"), (0.8, "fails"), (0.4, "undecided")])
@pytest.mark.parametrize("metric", ["clap_builtin", "fad_builtin"])
def test_one_arm_far_better_than_another(tmp_path: Path, metric: str, b: float, verdict: str) -> None:
    """A small advantage, however certain, is no sharp one."""
    sign = -1 if metric == "fad_builtin" else 1
    arm(tmp_path, "ar", sign * 0.5, metric)
    arm(tmp_path, "fm", sign * b, metric)
    family = metric.partition("_")[0]
    assert outcome(tmp_path, metric=family, a="ar", b="fm", expect="far_better", margin=0.1).verdict == verdict


def test_arms_that_follow_no_caption_are_named(tmp_path: Path) -> None:
    for name, clap in (("real", 0.9), ("shuffled_captions", 0.02), ("ar", 0.5), ("fm", 0.03)):
        scores = list(clap + np.random.default_rng(1).normal(0, 0.05, PROMPTS))
        far = list(3 - 2 * np.asarray(scores))
        for seed in range(2):
            record = quality(tmp_path, "s", name, {"clap_builtin": scores, "fad_builtin": far}, seed, LOWER)
            if name in ("real", "shuffled_captions"):
                save_record(tmp_path / "s", replace(record, kind="reference"))
    found = outcome(tmp_path, metric="fad", a="ar", b=Side("fm", cell={"model.paradigm": "fm"}))
    assert (found.verdict, found.floored) == ("holds", ("fm (paradigm fm)",))


def test_sameness_needs_a_margin(tmp_path: Path) -> None:
    arm(tmp_path, "ar", 0.5)
    arm(tmp_path, "fm", 0.5)
    found = outcome(tmp_path, a="ar", b="fm", expect="same")
    assert found.verdict == "undecided"
    assert "no references" in found.why


@pytest.mark.parametrize(("b", "verdict"), [(0.6, "holds"), (0.4, "fails"), (0.503, "undecided")])
def test_what_has_no_better_end_is_lower_or_higher(tmp_path: Path, b: float, verdict: str) -> None:
    arm(tmp_path, "ar", 0.5, "entropy_early")
    arm(tmp_path, "fm", b, "entropy_early")
    assert outcome(tmp_path, metric="entropy_early", a="ar", b="fm", expect="lower").verdict == verdict


@pytest.mark.parametrize(("small", "verdict"), [(0.3, "holds"), (0.7, "fails"), (0.503, "undecided")])
def test_one_gain_larger_than_another(tmp_path: Path, small: float, verdict: str) -> None:
    """AR gains 0.3 from a larger batch; FM gains more, less, or as much."""
    for name, mean in (("ar", 0.8), ("ar-small", 0.5), ("fm", 0.8), ("fm-small", 1.3 - small - 0.3)):
        arm(tmp_path, name, mean)
    minus = Pair(Side("fm"), Side("fm-small"))
    assert outcome(tmp_path, a="ar", b="ar-small", minus=minus).verdict == verdict


@pytest.mark.parametrize(("b", "verdict"), [(1.5, "holds"), (0.7, "fails"), (1.01, "undecided")])
@pytest.mark.parametrize("metric", ["latency_s", "throughput_clips_per_s"])
def test_one_arm_faster_than_another(tmp_path: Path, metric: str, b: float, verdict: str) -> None:
    speed(tmp_path, "s", "ar", 1.0)
    speed(tmp_path, "s", "fm", b)
    found = outcome(tmp_path, metric=metric, a="ar", b="fm")
    assert found.verdict == verdict
    assert found.statistic == "ratio"
    assert found.effect == pytest.approx(1 / b if metric == "latency_s" else b)


@pytest.mark.parametrize(("b", "verdict"), [(1.02, "holds"), (1.5, "fails"), (1.08, "undecided")])
def test_one_arm_as_fast_as_another(tmp_path: Path, b: float, verdict: str) -> None:
    speed(tmp_path, "s", "ar", 1.0)
    speed(tmp_path, "s", "fm", b)
    assert outcome(tmp_path, metric="latency_s", a="ar", b="fm", expect="same").verdict == verdict


@pytest.mark.parametrize(("many", "verdict"), [(9.0, "holds"), (1.5, "fails"), (3.01, "undecided")])
def test_one_difference_in_speed_larger_than_another(tmp_path: Path, many: float, verdict: str) -> None:
    """At few iterations, more steps cost 2 s; at many they cost 8, 0.5 or about 2."""
    for name, seconds in (("few-short", 1.0), ("few-long", 3.0), ("many-short", 1.0), ("many-long", many)):
        speed(tmp_path, "s", name, seconds, spread=0.002)
    minus = Pair(Side("few-long"), Side("few-short"))
    given = {"metric": "latency_s", "a": "many-long", "b": "many-short", "minus": minus, "expect": "higher"}
    found = outcome(tmp_path, **given)
    assert found.verdict == verdict
    assert found.effect == pytest.approx((many - 1) / 2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < (many - 1) / 2 < found.high


@pytest.mark.parametrize(("key", "verdict"), [("cap_seconds", "holds"), ("warm_ups", "not testable")])
def test_times_compare_however_long_they_were_sampled_if_warmed_up_alike(
    tmp_path: Path, key: str, verdict: str
) -> None:
    for name, seconds, held in (("ar", 1.0, 1), ("fm", 2.0, 3)):
        speed(tmp_path, "s", name, seconds, **{f"protocol__{key}": held})
    assert outcome(tmp_path, metric="latency_s", a="ar", b="fm").verdict == verdict


def test_a_difference_in_speed_that_may_be_nothing_is_no_measure(tmp_path: Path) -> None:
    for name, seconds in (("a", 9.0), ("b", 1.0), ("c", 1.0), ("d", 1.01)):
        speed(tmp_path, "s", name, seconds)
    found = outcome(tmp_path, metric="latency_s", a="a", b="b", minus=Pair(Side("c"), Side("d")), expect="higher")
    assert found.verdict == "undecided"
    assert "may be nothing" in found.why


@pytest.mark.parametrize(("flops", "verdict"), [(4e9, "holds"), (6e9, "fails"), (None, "not testable")])
def test_counted_operations_are_compared_exactly(tmp_path: Path, flops: float | None, verdict: str) -> None:
    for name, count in (("dropped", flops), ("whole", 1e10)):
        record = quality(tmp_path, "s", name, {"clap_builtin": [0.5, 0.6]})
        save_record(tmp_path / "s", replace(record, attempt=2, training=TrainingCost(10, 1.0, 1.0, flops=count)), [])
    found = outcome(tmp_path, metric="training_flops", a="dropped", b="whole", expect="lower", margin=0.5)
    assert found.verdict == verdict
    assert found.effect == (None if flops is None else pytest.approx(flops / 1e10))


def test_arms_on_other_latents_are_compared_only_where_the_claim_is_about_them(tmp_path: Path) -> None:
    for rate, mean in ((25, 0.9), (100, 0.1)):
        latents = {"name": f"codec_{rate}", "fingerprint": str(rate)}
        arm(tmp_path, "fm", mean, frame_rate__hz=rate, data__representation=latents)
    sides = {"a": Side("fm", cell={"frame_rate.hz": 25}), "b": Side("fm", cell={"frame_rate.hz": 100})}
    assert "data.representation" in outcome(tmp_path, **sides).why
    assert outcome(tmp_path, varies=("data.representation",), **sides).verdict == "holds"


def test_contrasts_of_a_claim_share_their_error_budget(tmp_path: Path) -> None:
    for name, mean in (("ar", 0.50), ("fm", 0.491), ("mar", 0.50), ("mntp", 0.50), ("ntp", 0.50)):
        arm(tmp_path, name, mean)
    contrasts = [Contrast("clap", Side("ar"), Side(b), study="s") for b in ("fm", "mar", "mntp", "ntp")]
    alone, together = (judge(chosen, RecordIndex(tmp_path))[0] for chosen in (contrasts[:1], contrasts))
    assert together.p == pytest.approx(min(1.0, 4 * (alone.p or 0.0)))
    assert together.p


def test_what_is_missing_is_not_testable_and_says_how_to_make_it(tmp_path: Path) -> None:
    nothing = outcome(tmp_path, study="fm_steps", a="ar", b="fm")
    assert (nothing.verdict, nothing.why) == (
        "not testable", "study `fm_steps` has not run here; `bench run fm_steps` runs it"
    )  # fmt: skip
    arm(tmp_path, "ar", 0.9)
    lacking = outcome(tmp_path, a="ar", b="fm", run="bench run s --scale tiny")
    assert lacking.verdict == "not testable"
    assert lacking.why == "no record of fm in s; `bench run s --scale tiny`"
    arm(tmp_path, "fm", 0.1, "fad_builtin")
    assert "no clap in common" in outcome(tmp_path, a="ar", b="fm").why
    bad = judge([Contrast("fad", Side("fm"), Side("ar"), study="s")], RecordIndex(tmp_path))
    assert overall(bad) == "not testable"


def test_unlike_records_are_not_compared(tmp_path: Path) -> None:
    arm(tmp_path, "ar", 0.9)
    arm(tmp_path, "fm", 0.1, evaluation__evaluator__identity="other")
    assert "were judged differently" in outcome(tmp_path, a="ar", b="fm").why
    arm(tmp_path, "mar", 0.1, train__updates=10, train__batch=64)
    unlike = outcome(tmp_path, a="ar", b="mar")
    assert (unlike.verdict, "ar and mar differ in train.batch" in unlike.why) == ("not testable", True)
    assert outcome(tmp_path, a="ar", b="mar", varies=("train.batch",)).verdict == "holds"


def test_a_claim_holds_where_all_of_its_contrasts_do() -> None:
    contrast = Contrast("clap", Side("a"), Side("b"))
    for verdicts, expected in (
        (("holds", "holds"), "holds"), (("holds", "undecided"), "undecided"),
        (("undecided", "fails"), "fails"), (("fails", "not testable"), "not testable"),
    ):  # fmt: skip
        assert overall([ContrastResult(contrast, verdict) for verdict in verdicts]) == expected


def test_every_claim_has_a_test_over_studies_that_exist() -> None:
    tests = load_claim_tests()
    found = evaluate_claims(RecordIndex(REPOSITORY / "results"))
    assert {result.claim.id for result in found} == set(tests)
    sides = [(s.study or c.study, s) for test in tests.values() for c in test.contrasts for s in c.sides]
    unknown = {study for study, _ in sides} - set(study_names())
    assert not unknown - OF_ANOTHER_CORPUS
    assert all(result.why for result in found if result.verdict == "not testable")


def test_the_page_of_claims_says_scale_evaluator_and_records(tmp_path: Path) -> None:
    results = tmp_path
    for name, mean in (("ntp", -0.5), ("mntp", -0.9), ("mntp-no-target", -0.4)):
        scores = {key: list(sign * (mean + np.linspace(0, 0.1, 8))) for key, sign in
                  (("fad_builtin", 1), ("kl_builtin", 1), ("clap_builtin", -1))}  # fmt: skip
        for seed in (0, 1):
            quality(results, "mntp_vs_ntp", name, scores, seed, {"fad_builtin": "lower", "kl_builtin": "lower"})
    found = evaluate_claims(RecordIndex(results), ["mntp2025"])
    told = {result.claim.id: result for result in found}
    assert (told["M2"].verdict, told["M9"].verdict, told["M10"].verdict) == ("holds", "holds", "not testable")
    text = write_claims_page(found, results).read_text()
    assert "At this scale: 4 layers of width 128, 10 updates of 16 × 4 s, evaluator builtin." in text
    assert f"[{told['M2'].records[0][1].stem}](../mntp_vs_ntp/records/" in text
    assert "**X85**" in text
    assert verdict_counts(found) == "2 hold, 0 fail, 0 are undecided, 18 are not testable"
    assert ["M2", "holds"] in [row[:2] for row in claims_table(found).body]
    with open(results / "papers" / "claims.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["claim"] == "M2"]
    assert [row["metric"] for row in rows] == ["fad_builtin", "kl_builtin", "clap_builtin"]
    assert rows[0]["n"] == "16"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1: {scope: all}", "T1: give either contrasts or the reason"),
        ("T1: {contrasts: [{metric: fad, a: ar, b: fm, expct: same}]}", "did you mean 'expect'"),
        ("T1: {contrasts: [{metric: fad, a: ar, b: fm, expect: sane}]}", "did you mean 'same'"),
    ],
)
def test_broken_claim_tests_are_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(UserError, match=told):
        load_claim_tests(tmp_path / "claims.yaml")


def test_an_unknown_paper(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'tal2025'"):
        evaluate_claims(RecordIndex(tmp_path), ["tal2024"])


def test_claims_are_tested_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published claims come with the package; nothing of a checkout is needed."""
    monkeypatch.chdir(tmp_path)
    quality(Path("my_results"), "small_cpu", "ar", {"clap_builtin": [0.5, 0.6]})
    assert status(["claims", "--results", "my_results", "--paper", "tal2025"]) == 0
    assert "0 hold, 0 fail, 0 are undecided, 26 are not testable" in capsys.readouterr().out
    assert "80 are not testable" in Path("my_results/papers/claims.md").read_text()
