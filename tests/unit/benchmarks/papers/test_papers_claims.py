"""Tests of the tests: fabricated records in which a claim is seen, not seen, undecided, and not able to decide it."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from papers_toys import MARGIN, REPOSITORY, ToyValidation, quality, speed

from paradigm_bench.benchmarks.analysis import metric_validity, published
from paradigm_bench.benchmarks.analysis.pooling import differences
from paradigm_bench.benchmarks.analysis.records import save_record
from paradigm_bench.benchmarks.analysis.result_table import make_table
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.papers.claim_tests import (
    MIXED,
    NOT_SEEN,
    NOT_TESTED,
    SEEN,
    UNDECIDED,
    ContrastResult,
    judge,
    overall,
)
from paradigm_bench.benchmarks.papers.claims import (
    evaluate_claims,
    load_claim_tests,
    read_claim_tests,
    verdict_counts,
)
from paradigm_bench.benchmarks.papers.claims_page import claims_table, write_claims_page
from paradigm_bench.benchmarks.papers.contrasts import Contrast, ContrastPair, Side
from paradigm_bench.benchmarks.papers.record_index import RecordIndex
from paradigm_bench.benchmarks.papers.requirements import in_words
from paradigm_bench.benchmarks.study.load import study_names
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.budget import TrainingCost

PROMPTS, NOISE = 32, 0.05
OF_ANOTHER_CORPUS = {"quickstart-music"}  # results of a study that comes with the suite, on music of one's own
Validate = Callable[..., None]


@pytest.fixture(autouse=True)
def validate(monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Makes every metric valid on the toys' corpus, but for those that a test calls invalid."""

    def chosen(problems: dict[str, str] | None = None, margins: dict[str, float] | None = None) -> None:
        toy = ToyValidation(problems, margins)
        monkeypatch.setattr(metric_validity, "find_validation", lambda record, results, evaluator="": toy)

    chosen()
    return chosen


def arm(
    results: Path, name: str, mean: float | dict[str, float], metric: str = "clap_builtin", seeds: int = 3,
    study: str = "s", moved: float | None = 0.0, prompts: int = PROMPTS, **settings: Any,
) -> None:  # fmt: skip
    """An arm whose scores lie about ``mean``: prompts differ much, arms on one prompt little.

    Args:
        moved: how far the judge's distance fell in the second half of the training; None: there is no snapshot.
    """
    means = {"kad_musicnn": 1.0, **(mean if isinstance(mean, dict) else {metric: mean})}
    for seed in range(seeds):
        own = np.random.default_rng([seed, *name.encode()])
        shared = np.random.default_rng(0).normal(0, 0.2, prompts)
        scores = {key: list(value + shared + own.normal(0, NOISE, prompts)) for key, value in means.items()}
        quality(results, study, name, scores, seed, **settings)
        if moved is not None:
            before = {**scores, "kad_musicnn": list(np.asarray(scores["kad_musicnn"]) + moved)}
            quality(results, study, name, before, seed, at_updates=5, **settings)


def reference(results: Path, name: str, scores: dict[str, float], study: str = "s") -> None:
    """A floor or a ceiling, with the same score for every prompt."""
    quality(results, study, name, {key: [value] * PROMPTS for key, value in scores.items()}, kind="reference")


def outcome(results: Path, **contrast: Any) -> ContrastResult:
    sides = {side: Side(arm) if isinstance(arm, str) else arm for side, arm in contrast.items() if side in "ab"}
    given = {"study": "s", "metric": "clap", "a": Side("ar"), "b": Side("fm"), **contrast, **sides}
    return judge([Contrast(**given)], RecordIndex(results))[0]


def missing(found: ContrastResult) -> str:
    assert found.verdict == NOT_TESTED
    return "; ".join(in_words(found.lacks))


# What is decided where nothing is missing


@pytest.mark.parametrize(("b", "verdict"), [(0.4, SEEN), (0.6, NOT_SEEN), (0.503, UNDECIDED)])
@pytest.mark.parametrize("metric", ["clap_builtin", "kad_musicnn"])
def test_one_arm_better_than_another(tmp_path: Path, metric: str, b: float, verdict: str) -> None:
    sign = -1 if metric == "kad_musicnn" else 1  # a distance: lower is better
    arm(tmp_path, "ar", sign * 0.5, metric)
    arm(tmp_path, "fm", sign * b, metric)
    found = outcome(tmp_path, metric=metric.partition("_")[0])
    assert (found.verdict, found.lacks) == (verdict, ())
    (one,) = found.by
    assert (one.metric, one.n, one.prompts, one.seeds, one.margin) == (metric, 96, PROMPTS, 3, MARGIN)
    assert one.effect == pytest.approx(sign * (0.5 - b), abs=0.03)
    assert sorted([one.low, one.effect, one.high]) == [one.low, one.effect, one.high]  # type: ignore[type-var]


@pytest.mark.parametrize(("expect", "verdict"), [("better", UNDECIDED), ("far_better", UNDECIDED), ("same", SEEN)])
def test_a_certain_difference_inside_the_margin_is_neither_seen_nor_not_seen(
    tmp_path: Path, validate: Validate, expect: str, verdict: str
) -> None:
    validate(margins={"clap_builtin": 0.2})
    arm(tmp_path, "ar", 0.5)
    arm(tmp_path, "fm", 0.4)
    for a, b in (("ar", "fm"), ("fm", "ar")):
        found = outcome(tmp_path, a=a, b=b, expect=expect)
        assert found.verdict == verdict
        assert (found.by[0].p or 0.0) < 0.01


@pytest.mark.parametrize(("b", "verdict"), [(0.51, SEEN), (0.8, NOT_SEEN), (0.55, UNDECIDED)])
def test_one_arm_as_good_as_another(tmp_path: Path, b: float, verdict: str) -> None:
    arm(tmp_path, "ar", 0.5)
    arm(tmp_path, "fm", b)
    assert outcome(tmp_path, expect="same").verdict == verdict


@pytest.mark.parametrize(("b", "verdict"), [(0.2, SEEN), (0.8, NOT_SEEN), (0.44, UNDECIDED)])
def test_one_arm_far_better_than_another(tmp_path: Path, b: float, verdict: str) -> None:
    """An advantage whose interval reaches into the margin is not sharp, even if the arm is better."""
    arm(tmp_path, "ar", 0.5)
    arm(tmp_path, "fm", b)
    assert outcome(tmp_path, expect="far_better").verdict == verdict


@pytest.mark.parametrize(("b", "verdict"), [(0.6, SEEN), (0.4, NOT_SEEN), (0.503, UNDECIDED)])
def test_what_has_no_better_end_is_lower_or_higher(tmp_path: Path, b: float, verdict: str) -> None:
    arm(tmp_path, "ar", 0.5, "entropy_early")
    arm(tmp_path, "fm", b, "entropy_early")
    assert outcome(tmp_path, metric="entropy_early", expect="lower").verdict == verdict


@pytest.mark.parametrize(("small", "verdict"), [(0.1, SEEN), (0.6, NOT_SEEN), (0.303, UNDECIDED)])
def test_one_gain_larger_than_another(tmp_path: Path, small: float, verdict: str) -> None:
    """AR gains 0.3 from a larger batch; FM gains less, more, or as much."""
    for name, mean in (("ar", 0.8), ("ar-small", 0.5), ("fm", 0.8), ("fm-small", 0.8 - small)):
        arm(tmp_path, name, mean)
    assert outcome(tmp_path, b="ar-small", minus=ContrastPair(Side("fm"), Side("fm-small"))).verdict == verdict


# Judges


@pytest.mark.parametrize(
    ("musicnn", "logmel", "verdict", "note"),
    [
        (0.6, 0.6, SEEN, ""), (1.4, 1.4, NOT_SEEN, ""),
        (0.6, 1.4, UNDECIDED, "judges disagree"), (0.6, 1.0, UNDECIDED, "judges disagree"),
    ],
)  # fmt: skip
def test_judges_must_agree(tmp_path: Path, musicnn: float, logmel: float, verdict: str, note: str) -> None:
    arm(tmp_path, "ar", {"kad_musicnn": musicnn, "kad_logmel": logmel})
    arm(tmp_path, "fm", {"kad_musicnn": 1.0, "kad_logmel": 1.0})
    found = outcome(tmp_path, metric="kad")
    assert (found.verdict, found.note) == (verdict, note)
    assert [one.metric for one in found.by] == ["kad_musicnn", "kad_logmel"]


def test_a_judge_that_is_not_valid_is_not_asked(tmp_path: Path, validate: Validate) -> None:
    arm(tmp_path, "ar", {"kad_musicnn": 0.6, "kad_logmel": 1.4})
    arm(tmp_path, "fm", {"kad_musicnn": 1.0, "kad_logmel": 1.0})
    validate({"kad_logmel": "does not order noise"})
    found = outcome(tmp_path, metric="kad")
    assert found.verdict == SEEN
    assert [(one.metric, one.verdict, one.why) for one in found.by][1] == (
        "kad_logmel", NOT_TESTED, "does not order noise"
    )  # fmt: skip
    validate({"kad_logmel": "does not order noise", "kad_musicnn": "does not order clipping"})
    told = missing(outcome(tmp_path, metric="kad"))
    assert "valid here (kad_musicnn: does not order clipping; kad_logmel: does not order noise)" in told


@pytest.mark.parametrize(("prompts", "by"), [(PROMPTS, "kad_musicnn"), (256, "fad_musicnn")])
def test_kad_stands_in_for_fad_of_few_clips(tmp_path: Path, prompts: int, by: str) -> None:
    for name, mean in (("ar", 0.6), ("fm", 1.0)):
        arm(tmp_path, name, {"fad_musicnn": mean, "kad_musicnn": mean}, prompts=prompts)
    found = outcome(tmp_path, metric="fad")
    assert (found.verdict, found.by[0].metric) == (SEEN, by)
    assert ("KAD by the same judges stands in" in found.note) == (by == "kad_musicnn")


def test_windows_are_compared_with_windows(tmp_path: Path) -> None:
    for name, mean in (("ar", 0.6), ("fm", 1.0)):
        arm(tmp_path, name, {"kad_musicnn": 1.0, "kad_musicnn_window": mean})
    assert [one.metric for one in outcome(tmp_path, metric="kad").by] == ["kad_musicnn"]
    found = outcome(tmp_path, metric="kad_window")
    assert ([one.metric for one in found.by], found.verdict) == (["kad_musicnn_window"], SEEN)


def test_distances_by_the_tagger_decide_nothing(tmp_path: Path) -> None:
    for name, mean in (("ar", 0.5), ("fm", 0.1)):
        arm(tmp_path, name, {"kl_builtin": mean})
    assert "scores of kl by an independent judge" in missing(outcome(tmp_path, metric="kl"))


def test_an_evaluator_that_an_arm_learnt_from_decides_nothing_about_it(tmp_path: Path) -> None:
    arm(tmp_path, "ar", {"kad_musicnn": 0.6, "kad_logmel": 0.6})
    arm(tmp_path, "fm", {"kad_musicnn": 1.0, "kad_logmel": 1.0}, trained_on=["musicnn"])
    found = outcome(tmp_path, metric="kad")
    assert (found.by[0].why, [one.verdict for one in found.by]) == ("fm learnt from its scores", [NOT_TESTED, SEEN])


# What a verdict needs


@pytest.mark.parametrize(
    ("moved", "told"),
    [(0.5, "fm: kad_musicnn still changes, by -0.5 after update 5 (margin 0.05)"), (None, "fm: no snapshot shows")],
)
def test_arms_that_still_learn_are_not_tested(tmp_path: Path, moved: float | None, told: str) -> None:
    arm(tmp_path, "ar", 0.9)
    arm(tmp_path, "fm", 0.1, moved=moved)
    found = outcome(tmp_path)
    assert f"arms past their learning ({told}" in missing(found)
    assert found.by[0].effect == pytest.approx(0.8, abs=0.03)  # shown all the same
    assert found.by[0].p is None


@pytest.mark.parametrize(
    ("elsewhere", "tested"),
    [({}, True), ({"train__batch": 64}, False), ({"data__corpus__fingerprint": "other"}, False)],
)
def test_what_only_samples_has_learnt_where_it_was_trained(
    tmp_path: Path, elsewhere: dict[str, Any], tested: bool
) -> None:
    for name, mean in (("fm-50", 0.9), ("fm-10", 0.1)):
        arm(tmp_path, name, mean, moved=None, sampler__steps=int(name[3:]), model__paradigm="fm")
    arm(tmp_path, "fm", 0.5, study="trained", **elsewhere)
    found = outcome(tmp_path, a="fm-50", b="fm-10")
    assert found.verdict == (SEEN if tested else NOT_TESTED)


def test_a_tuned_arm_has_learnt_where_the_untuned_one_has(tmp_path: Path) -> None:
    arm(tmp_path, "fm", 0.1, study="trained")
    arm(tmp_path, "fm", 0.1)
    tune = {"tau": 1, "reward": {"name": "other", "identity": "o"}}
    arm(tmp_path, "fm-tuned", 0.9, moved=None, model__paradigm="fm", sampler__label="fm", tune=tune)
    assert outcome(tmp_path, a="fm-tuned").verdict == SEEN


def test_fewer_than_three_seeds_are_not_tested(tmp_path: Path) -> None:
    for name, mean in (("ar", 0.9), ("fm", 0.1)):
        arm(tmp_path, name, mean, seeds=2)
    assert missing(outcome(tmp_path)) == "3 training seeds (there are 2)"


@pytest.mark.parametrize("b_may_fail", [False, True])
def test_arms_at_the_floor_of_captions_are_not_tested_unless_the_claim_is_that_they_fail(
    tmp_path: Path, b_may_fail: bool
) -> None:
    reference(tmp_path, "real", {"clap_builtin": 2.0})
    reference(tmp_path, "shuffled_captions", {"clap_builtin": 0.1})
    arm(tmp_path, "ar", 1.5)
    arm(tmp_path, "fm", 0.1)
    found = outcome(tmp_path, b_may_fail=b_may_fail)
    if b_may_fail:
        assert found.verdict == SEEN
    else:
        assert missing(found) == "arms above the floors (fm: it follows no caption)"
    turned = outcome(tmp_path, a="fm", b="ar", b_may_fail=b_may_fail)
    assert "fm: it follows no caption" in missing(turned)  # the better side must have learnt


@pytest.mark.parametrize("floor", ["noise", "silence", "sine_chords"])
def test_arms_below_a_floor_are_not_tested(tmp_path: Path, floor: str) -> None:
    reference(tmp_path, floor, {"kad_musicnn": 0.8})
    arm(tmp_path, "ar", 0.5, "kad_musicnn")
    arm(tmp_path, "fm", 0.9, "kad_musicnn")
    assert missing(outcome(tmp_path, metric="kad")) == (
        f"arms above the floors (fm: no better than {floor} by kad_musicnn)"
    )


def test_floors_and_ceilings_must_differ(tmp_path: Path) -> None:
    """A metric that does not tell real audio from that of other prompts (F1 of down-beats may not) decides nothing."""
    for name in ("real", "shuffled_captions"):
        reference(tmp_path, name, {"downbeat_f1": 0.3})
    for name, mean in (("ar", 0.9), ("fm", 0.5)):
        arm(tmp_path, name, mean, "downbeat_f1")
    assert "downbeat_f1: shuffled_captions (0.3) does not differ enough from real (0.3)" in missing(
        outcome(tmp_path, metric="downbeat_f1")
    )


def test_sameness_needs_a_margin_and_a_claim_may_bring_one_where_the_metric_has_none(tmp_path: Path) -> None:
    for name in ("ar", "fm"):
        arm(tmp_path, name, 0.5, "si_snr")
    assert "a margin for si_snr" in missing(outcome(tmp_path, metric="si_snr", expect="same"))
    assert outcome(tmp_path, metric="si_snr", expect="same", margin=0.1).verdict == SEEN
    for name, value in (("real", 100.0), ("noise", -60.0)):  # of these the metric would have a margin of 8 dB
        reference(tmp_path, name, {"si_snr": value})
    assert outcome(tmp_path, metric="si_snr", expect="same", margin=0.1).by[0].margin == 0.1
    for name, mean in (("ar", 0.5), ("fm", 0.7)):
        arm(tmp_path, name, mean, study="t")
    assert outcome(tmp_path, study="t", expect="same", margin=1.0).verdict == NOT_SEEN  # the metric's own counts


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, validate: Validate) -> None:
    validate({"clap_builtin": "it hears nothing"})
    arm(tmp_path, "ar", 0.9, moved=None, seeds=1)
    arm(tmp_path, "fm", 0.1, moved=0.5, seeds=1)
    told = missing(outcome(tmp_path))
    assert told == (
        "arms past their learning (ar: no snapshot shows that learning has stopped; fm: kad_musicnn still changes, by "
        "-0.5 after update 5 (margin 0.05)); 3 training seeds (there is 1); "
        "a metric that is valid here (clap_builtin: it hears nothing)"
    )


def test_what_has_not_run_says_how_to_make_it(tmp_path: Path) -> None:
    assert missing(outcome(tmp_path, study="fm_steps")) == (
        "study `fm_steps` has not run here; `bench run fm_steps` runs it"
    )
    arm(tmp_path, "ar", 0.9)
    assert missing(outcome(tmp_path, run="bench run s --scale tiny")) == (
        "no record of fm in s; `bench run s --scale tiny`"
    )
    arm(tmp_path, "fm", 0.1, "reward_x")
    assert "scores of clap, which its records, made by an earlier version, do not have" in missing(outcome(tmp_path))


def test_unlike_records_are_not_compared(tmp_path: Path) -> None:
    arm(tmp_path, "ar", 0.9)
    arm(tmp_path, "fm", 0.1, evaluation__evaluator__identity="other")
    assert "were judged differently" in missing(outcome(tmp_path))
    arm(tmp_path, "mar", 0.1, train__batch=64)
    assert "ar and mar differ in train.batch" in missing(outcome(tmp_path, b="mar"))
    assert outcome(tmp_path, b="mar", varies=("train.batch",)).verdict == SEEN


def test_arms_on_other_latents_are_compared_only_where_the_claim_is_about_them(tmp_path: Path) -> None:
    for rate, mean in ((25, 0.9), (100, 0.1)):
        latents = {"name": f"codec_{rate}", "fingerprint": str(rate)}
        arm(tmp_path, "fm", mean, frame_rate__hz=rate, data__representation=latents)
    sides = {"a": Side("fm", cell={"frame_rate.hz": 25}), "b": Side("fm", cell={"frame_rate.hz": 100})}
    assert "data.representation" in missing(outcome(tmp_path, **sides))
    assert outcome(tmp_path, varies=("data.representation",), **sides).verdict == SEEN


def test_references_need_no_training_seeds(tmp_path: Path) -> None:
    """A trained arm beside a reference still needs its own."""
    for name, score in {"codec_continuous": 0.9, "codec_quantised": 0.4}.items():
        reference(tmp_path, name, {"clap_builtin": score})
    assert outcome(tmp_path, a=Side("codec_continuous"), b=Side("codec_quantised")).lacks == ()
    arm(tmp_path, "fm", 0.4, seeds=2)
    assert "3 training seeds (there are 2)" in missing(outcome(tmp_path, a=Side("codec_continuous")))


# One error budget, and no contradiction with the tables


def test_contrasts_of_a_paper_share_their_error_budget(tmp_path: Path) -> None:
    for i, (a, b) in enumerate(itertools.pairwise("pqrs")):
        study = f"s{i}"  # no two arms share a table, whose own correction would come on top
        arm(tmp_path, a, 0.50, study=study)
        arm(tmp_path, b, 0.491, study=f"{study}-other")
    contrasts = [
        Contrast("clap", Side(a), Side(b, study=f"s{i}-other"), study=f"s{i}")
        for i, (a, b) in enumerate(itertools.pairwise("pqrs"))
    ]
    alone = [judge([one], RecordIndex(tmp_path))[0].by[0].p or 0.0 for one in contrasts]
    together = [found.by[0].p or 0.0 for found in judge(contrasts, RecordIndex(tmp_path))]
    least = alone.index(min(alone))
    assert together[least] == pytest.approx(min(1.0, 3 * alone[least]))
    assert all(t >= a for t, a in zip(together, alone))


@pytest.mark.parametrize("seed", range(6))
def test_claims_and_tables_never_contradict_each_other(tmp_path: Path, seed: int) -> None:
    """Fabricated arms with differences of every size: what a claim decides, the study's table decides alike."""
    rng = np.random.default_rng(seed)
    names = ("ar", "fm", "mar", "mntp", "ntp")
    for name in names:
        means = {"kad_musicnn": 1.0 + rng.normal(0, 0.06), "clap_builtin": 0.5 + rng.normal(0, 0.06)}
        arm(tmp_path, name, means)
    contrasts = [
        Contrast(metric, Side(a), Side(b), expect=expect, study="s")
        for metric in ("kad", "clap") for a, b in itertools.permutations(names, 2) for expect in ("better", "same")
    ]  # fmt: skip
    index = RecordIndex(tmp_path)
    table = make_table("s", tmp_path / "s", index.records("s"))
    told = {(one.metric, one.a, one.b): one for one in differences(table)}
    mirrored = {"better": "worse", "worse": "better"}
    verdicts = {
        key: one.judgement.verdict if key == (one.metric, one.a, one.b) else mirrored.get(v, v)
        for one in told.values()
        for v in [one.judgement.verdict]
        for key in [(one.metric, one.a, one.b), (one.metric, one.b, one.a)]
    }
    may = {
        (SEEN, "better"): {"better"}, (NOT_SEEN, "better"): {"worse"},
        (SEEN, "same"): {"same"}, (NOT_SEEN, "same"): {"better", "worse"},
    }  # fmt: skip
    decided = 0
    for found in judge(contrasts, index):
        (one,) = found.by
        key = (one.metric, found.contrast.a.arm, found.contrast.b.arm)
        table_has = told.get(key) or told[key[0], key[2], key[1]]
        sign = 1 if key in told else -1
        assert one.effect == pytest.approx(sign * table_has.comparison.difference.estimate)
        assert (one.high or 0) - (one.low or 0) == pytest.approx(
            table_has.comparison.difference.high - table_has.comparison.difference.low
        )
        assert one.margin == table_has.comparison.margin
        if found.verdict != UNDECIDED:
            decided += 1
            assert verdicts[key] in may[found.verdict, found.contrast.expect]
    assert decided > 5


# Speed and counts


@pytest.mark.parametrize(("b", "verdict"), [(1.5, SEEN), (0.7, NOT_SEEN), (1.01, UNDECIDED), (1.08, UNDECIDED)])
@pytest.mark.parametrize("metric", ["latency_s", "throughput_clips_per_s"])
def test_one_arm_faster_than_another(tmp_path: Path, metric: str, b: float, verdict: str) -> None:
    speed(tmp_path, "s", "ar", 1.0)
    speed(tmp_path, "s", "fm", b)
    found = outcome(tmp_path, metric=metric)
    assert found.verdict == verdict
    assert found.by[0].statistic == "ratio"
    assert found.by[0].effect == pytest.approx(1 / b if metric == "latency_s" else b)


@pytest.mark.parametrize(("b", "verdict"), [(1.02, SEEN), (1.5, NOT_SEEN), (1.08, UNDECIDED)])
def test_one_arm_as_fast_as_another(tmp_path: Path, b: float, verdict: str) -> None:
    speed(tmp_path, "s", "ar", 1.0)
    speed(tmp_path, "s", "fm", b)
    assert outcome(tmp_path, metric="latency_s", expect="same").verdict == verdict


@pytest.mark.parametrize("device", ["cpu", "", "NVIDIA A100"])
def test_a_claim_about_a_gpu_is_not_decided_elsewhere(tmp_path: Path, device: str) -> None:
    for name, seconds in (("ar", 1.0), ("fm", 2.0)):
        speed(tmp_path, "s", name, seconds, device=device)
    found = outcome(tmp_path, metric="latency_s", hardware="gpu")
    if device == "NVIDIA A100":
        assert found.verdict == SEEN
    else:
        assert missing(found).startswith("times of a GPU, which the claim is about (these are of: ")
        assert found.by[0].effect == pytest.approx(0.5)


@pytest.mark.parametrize(("many", "verdict"), [(9.0, SEEN), (1.5, NOT_SEEN), (3.01, UNDECIDED)])
def test_one_difference_in_speed_larger_than_another(tmp_path: Path, many: float, verdict: str) -> None:
    """At few iterations, more steps cost 2 s; at many they cost 8, 0.5 or about 2."""
    for name, seconds in (("few-short", 1.0), ("few-long", 3.0), ("many-short", 1.0), ("many-long", many)):
        speed(tmp_path, "s", name, seconds, spread=0.002)
    minus = ContrastPair(Side("few-long"), Side("few-short"))
    found = outcome(tmp_path, metric="latency_s", a="many-long", b="many-short", minus=minus, expect="higher")
    assert found.verdict == verdict
    (one,) = found.by
    assert one.effect == pytest.approx((many - 1) / 2)
    assert (one.low or 0) < (many - 1) / 2 < (one.high or 0)


@pytest.mark.parametrize(("key", "verdict"), [("cap_seconds", SEEN), ("warm_ups", NOT_TESTED)])
def test_times_compare_however_long_they_were_sampled_if_warmed_up_alike(
    tmp_path: Path, key: str, verdict: str
) -> None:
    for name, seconds, held in (("ar", 1.0, 1), ("fm", 2.0, 3)):
        speed(tmp_path, "s", name, seconds, **{f"protocol__{key}": held})
    assert outcome(tmp_path, metric="latency_s").verdict == verdict


def test_a_difference_in_speed_that_may_be_nothing_is_no_measure(tmp_path: Path) -> None:
    for name, seconds in (("a", 9.0), ("b", 1.0), ("c", 1.0), ("d", 1.01)):
        speed(tmp_path, "s", name, seconds)
    found = outcome(
        tmp_path, metric="latency_s", a="a", b="b", minus=ContrastPair(Side("c"), Side("d")), expect="higher"
    )
    assert found.verdict == UNDECIDED
    assert "may be nothing" in found.by[0].why


@pytest.mark.parametrize(("flops", "verdict"), [(4e9, SEEN), (6e9, NOT_SEEN), (None, NOT_TESTED)])
def test_counted_operations_are_compared_exactly(tmp_path: Path, flops: float | None, verdict: str) -> None:
    for name, count in (("dropped", flops), ("whole", 1e10)):
        record = quality(tmp_path, "s", name, {"clap_builtin": [0.5, 0.6]})
        save_record(tmp_path / "s", replace(record, attempt=2, training=TrainingCost(10, 1.0, 1.0, flops=count)), [])
    found = outcome(tmp_path, metric="training_flops", a="dropped", b="whole", expect="lower", margin=0.5)
    assert found.verdict == verdict
    assert [one.effect for one in found.by] == ([] if flops is None else [pytest.approx(flops / 1e10)])


# Claims


def test_a_claim_is_as_certain_as_its_parts() -> None:
    contrast = Contrast("clap", Side("a"), Side("b"))
    for verdicts, expected in (
        ((SEEN, SEEN), SEEN), ((NOT_SEEN, NOT_SEEN), NOT_SEEN), ((SEEN, NOT_SEEN), MIXED),
        ((SEEN, NOT_SEEN, UNDECIDED), MIXED), ((SEEN, UNDECIDED), UNDECIDED), ((NOT_SEEN, UNDECIDED), UNDECIDED),
        ((SEEN, NOT_SEEN, NOT_TESTED), NOT_TESTED),
    ):  # fmt: skip
        assert overall([ContrastResult(contrast, verdict) for verdict in verdicts]) == expected


def test_every_claim_says_what_was_compared_there_and_here() -> None:
    tests = load_claim_tests()
    assert {claim.id for claim in published.claims()} == set(tests)
    assert all(len(test.paper) > 15 and len(test.stand_in) > 15 for test in tests.values())
    for path in (REPOSITORY / "benchmarks" / "papers" / "claims").glob("*.yaml"):
        assert len(read_claim_tests(path).setting) > 20
    sides = [(s.study or c.study, s) for test in tests.values() for c in test.contrasts for s in c.sides]
    assert not {study for study, _ in sides} - set(study_names()) - OF_ANOTHER_CORPUS
    for test in tests.values():  # what is said to stand in is what the contrasts use
        assert all(c.study in test.stand_in for c in test.contrasts if c.study != "masked_fm_spans")


def test_what_an_audit_found_is_mended() -> None:
    tests = load_claim_tests()
    assert {c.metric for c in tests["T24"].contrasts} == {"fad"}  # KL is not in the paper's table
    assert tests["T24"].lacks  # the paper's test set is other music than its training's
    for name in ("T12", "T14a", "T14b"):  # the paper trains another model without controls
        assert not tests[name].contrasts
    gpu = [c for name, test in tests.items() for c in test.contrasts if c.hardware == "gpu" and name < "T20"]
    assert all(side.cell["model.backbone.n_layers"] == 24 for c in gpu for side in c.sides)
    speeds = [
        c for test in tests.values() for c in test.contrasts if c.metric in ("latency_s", "throughput_clips_per_s")
    ]
    assert all(c.hardware == "gpu" for c in speeds)  # every such claim names a GPU
    own = {name for name, test in tests.items() for c in test.contrasts if c.margin is not None}
    assert own == {"T25", "M19"}  # T11 and F9 have the margins of their metrics
    assert not any(name in tests for name in ("T23", "T1", "T19", "F9"))  # split


def test_the_page_of_claims_says_verdict_scale_and_what_is_missing(tmp_path: Path) -> None:
    values = {"kad": (0.5, 0.9, 0.4), "kl": (0.5, 0.9, 0.4), "clap": (0.9, 0.5, 0.2)}
    for i, name in enumerate(("mntp", "ntp", "mntp-no-target")):
        scores = {"kad_musicnn": values["kad"][i], "fad_musicnn": values["kad"][i], "kl_musicnn": values["kl"][i],
                  "clap_builtin": values["clap"][i]}  # fmt: skip
        arm(tmp_path, name, scores, study="mntp_vs_ntp", moved=None if name == "mntp-no-target" else 0.0)
    found = evaluate_claims(RecordIndex(tmp_path), ["mntp2025"])
    told = {result.claim.id: result for result in found}
    assert (told["M2"].verdict, told["M9"].verdict, told["M10a"].verdict) == (SEEN, NOT_TESTED, NOT_TESTED)
    text = write_claims_page(found, tmp_path).read_text()
    scale = "4 layers of width 128, 10 updates of 16 × 4 s, judged by musicnn, logmel, builtin"
    assert f"- At this scale: {scale}." in text
    assert "**M2: seen at this scale.** MNTP beats NTP (Sec. 5.1)." in text
    assert "- The paper compared: FD, FAD, KL and CLAP of masked against plain next-token prediction." in text
    assert "- Stands in here: FAD, KL and CLAP of `mntp` against `ntp` in study mntp_vs_ntp." in text
    assert "- FAD needs 256 clips in each set, so KAD by the same judges stands in for it." in text
    assert (
        "- Missing:\n    - arms past their learning (mntp-no-target: no snapshot shows that learning has stopped)\n"
        in text
    )
    assert f"[{told['M2'].records[0][1].stem}](../mntp_vs_ntp/records/" in text
    assert "**X85**" in text
    assert "The pages of control and frame rates\n  correct over families of their own" in text
    assert verdict_counts(found).startswith("1 seen at this scale, 0 not seen at this scale, 0 mixed, 0 undecided, ")
    assert ["M2", SEEN] in [row[:2] for row in claims_table(found).body]
    with open(tmp_path / "papers" / "claims.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["claim"] in ("M2", "M9")]
    assert [row["metric"] for row in rows if row["claim"] == "M2"] == ["kad_musicnn", "kl_musicnn", "clap_builtin"]
    assert {row["metric_verdict"] for row in rows if row["claim"] == "M9"} == {NOT_TESTED}
    assert all(row["compared_there"] and row["stands_in_here"] for row in rows)
    assert rows[0]["n"] == "96"


def test_a_crossover_on_a_gpu_is_read_from_its_study(tmp_path: Path) -> None:
    """AR slower at batch 8, faster at 64, on records as scripts/gpu.py makes them."""
    for name, batch, seconds in (("ar", 8, 2.0), ("fm-50", 8, 1.0), ("ar", 64, 2.0), ("fm-50", 64, 8.0)):
        settings = {
            "setting__batch": batch,
            "setting__seconds": 10.0,
            "model__backbone": {"n_layers": 24, "d_model": 1024},
        }
        speed(tmp_path, "gpu_speed", name, seconds, device="NVIDIA H100", **settings)
    told = {result.claim.id: result for result in evaluate_claims(RecordIndex(tmp_path), ["tal2025"])}
    assert (told["T19a"].verdict, told["T19b"].verdict) == (SEEN, NOT_TESTED)
    assert [one.contrast.a.cell["setting.batch"] for one in told["T19b"].contrasts if not one.lacks] == [8]
    assert any("batch 32" in one for one in told["T19b"].missing)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1: {paper: p, stand_in: s}", "T1: give either contrasts, or a stand_in that begins with 'nothing: '"),
        ("T1: {paper: p, contrasts: []}", "stand_in"),
        ("T1: {paper: p, stand_in: s, contrasts: [{metric: fad, a: ar, b: fm, expct: same}]}", "did you mean 'expect'"),
        ("T1: {paper: p, stand_in: s, contrasts: [{metric: fad, a: ar, b: fm, expect: sane}]}", "did you mean 'same'"),
    ],
)
def test_broken_claim_tests_are_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tal2025.yaml").write_text(text)
    with pytest.raises(UserError, match=told):
        read_claim_tests(tmp_path / "tal2025.yaml")


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
    of_paper = Counter(claim.paper for claim in published.claims())
    assert f"0 undecided, {of_paper['tal2025']} not tested here" in capsys.readouterr().out
    assert f"0 undecided, {of_paper.total()} not tested here" in Path("my_results/papers/claims.md").read_text()
    assert status(["claims", "--results", "my_results", "--paper", "tal2024"]) != 0
