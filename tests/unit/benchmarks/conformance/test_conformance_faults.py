"""One deliberate fault at a time: exactly the check that is for it fails, and says what is wrong and how to fix it."""

from __future__ import annotations

import pytest

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.conformance import CHECKS, ConformanceCase, run_checks
from paradigm_bench.paradigms.base import Paradigm
from paradigm_bench.paradigms.conformance import ConformanceSettings, MemorisationSettings
from tests import broken_paradigms as broken

SLOW = ("cost", "learning", "playback")
QUICK = [name for name in CHECKS if name not in SLOW]
FAULTS = [
    (broken.BadName, "declaration", "name is 'My Paradigm'", "small letters, digits and '_'"),
    (broken.Transposed, "shapes", "generate gives (3, 7, 9), not (3, 9, 7)", "return latents (B, T, D)"),
    (broken.IdleLayer, "gradients", "no gradient reaches idle.weight, idle.bias", "use them in loss, drop them"),
    (broken.Unsaved, "saving", "was saved and loaded makes other clips", "a persistent buffer"),
    (broken.Forgetful, "determinism", "the same seeds give other clips", "keep nothing from one call to the next"),
    (broken.GlobalNoise, "global_rng", "generate draws from a global random stream", "draw everything from rng"),
    (broken.SharedNoise, "seeds", "two seeds give the same clip", "each clip from its own stream"),
    (broken.BatchNorm, "batch", "a clip alone is not the clip in a batch (cross)", "mix nothing over the batch"),
    (broken.ReadsPadding, "padding", "other ids in a caption's padding change the clips", "self.read_text(conditions)"),
    (broken.SummedLoss, "weighting", "the loss is not the mean of its items", "return Loss.from_items"),
    (broken.WeighsByBatch, "weighting", "the loss is not the mean of its items", "average within each clip first"),
    (broken.IgnoresText, "text", "another caption gives the same clips", "at every pass"),
    (
        broken.OtherGuidance,
        "guidance",
        "guidance 0 is not what comes without",
        "null + w (conditional - null)",
    ),
    (broken.IgnoresControls, "controls", "other controls give the same losses", "self.read_controls"),
    (broken.TouchesKnown, "known_frames", "inpaint changes known frames", "torch.where(known, target, filled)"),
    (broken.ClaimsInpainting, "known_frames", "target_positions", "docstring of paradigms.base"),
    (broken.PeeksInSpan, "span_context", "depends on what stood in the span", "hide the span of target"),
    (broken.LateStream, "streaming", "the first part comes after 14 of 14 passes", "or set streams = False"),
    (broken.FullPrecisionBuffer, "precision", "scatter(): Expected self.dtype", "correct the code there"),
    (broken.ReadsBack, "device", "on tensors without data the loss stops", "take what the host must know from shared"),
    (
        broken.NoiseOnHost,
        "device",
        "on tensors without data the loss stops",
        "take what the host must know from shared",
    ),
    (broken.SometimesIdle, "unused", "an update leaves worded without a gradient", "leave leaves_parameters_unused"),
    (broken.SeesTheFuture, "streaming", "changes with the control of its last frame", "look at no later frame"),
]


@pytest.mark.parametrize(("paradigm", "check", "message", "fix"), FAULTS)
def test_fault(paradigm: type[Paradigm], check: str, message: str, fix: str) -> None:
    failed = [finding for finding in run_checks(ConformanceCase(paradigm), QUICK) if finding.status == "fail"]
    assert [finding.check for finding in failed] == [check]
    assert message in failed[0].message
    assert fix in failed[0].fix


@pytest.mark.parametrize(
    ("paradigm", "check", "message", "fix"),
    [
        (broken.HalfCost, "cost", "operations where torch counts", "every pass, branch of guidance and layer"),
        (broken.Crashes, "cost", "KeyError at", "correct the code there"),
        (broken.Uphill, "learning", "on one batch the loss goes from", "whether gradients point the right way"),
    ],
)
def test_slow_fault(
    paradigm: type[Paradigm], check: str, message: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ConformanceSettings(
        paradigm.conformance.options,
        paradigm.conformance.sampler,
        memorisation=MemorisationSettings(updates=60, copies=4),
    )
    monkeypatch.setattr(paradigm, "conformance", short)
    failed = [
        f for f in run_checks(ConformanceCase(paradigm), SLOW if check != "cost" else ("cost",)) if f.status == "fail"
    ]
    assert [finding.check for finding in failed] == [check]
    assert message in failed[0].message
    assert fix in failed[0].fix


def test_a_target_that_leaks_is_learned_and_not_played_back() -> None:
    """With the settings with which the model without the leak passes (test_conformance)."""
    (failed,) = [
        finding for finding in run_checks(ConformanceCase(broken.LeakyTarget), SLOW) if finding.status == "fail"
    ]
    assert failed.check == "playback"
    assert "that it learned by heart, it is off by" in failed.message
    assert "a target that leaks" in failed.fix


def test_the_command_fails_with_the_mend(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["check", "tests.broken_paradigms:SharedNoise", "--only", "seeds", "--only", "batch"]
    assert status(line) == 1
    out = capsys.readouterr().out
    assert "FAIL    seeds  " in out
    assert "fix: draw noise for each clip from its own stream" in out
    assert "skipped batch         waits for seeds" in out
    assert "0 passed, 1 failed, 1 skipped" in out
