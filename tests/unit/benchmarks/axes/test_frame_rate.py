"""The axis "frame_rate": its points, its windows, the whole job at the smallest size, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from fidelity_toys import _own_cache, home, settings

from paradigm_bench.benchmarks.axes.frame_rate.axis import FrameRate
from paradigm_bench.benchmarks.axes.frame_rate.cells import FrameRateConfig
from paradigm_bench.benchmarks.axes.frame_rate.measure import WindowEvalSet
from paradigm_bench.benchmarks.axes.frame_rate.settings import points_of
from paradigm_bench.benchmarks.run.estimate.devices import Device
from paradigm_bench.benchmarks.run.estimate.plan import make_plan
from paradigm_bench.benchmarks.study.axis import Context, Measurement
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.benchmarks.study.sweep import expand
from paradigm_bench.common.errors import UserError
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.codecs import recipes as codec_trained
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig, save_codec

__all__ = ["_own_cache", "home"]  # fixtures


@pytest.fixture(scope="module")
def codecs(home: Path) -> Path:
    """Codecs of 25 and 50 Hz in folders named by their rates."""
    torch.manual_seed(0)
    small = dataclasses.replace(CodecConfig(), width=16, codebooks=2, cardinality=16)
    for rate, stride in ((25, 2), (50, 1)):
        save_codec(BuiltinCodec(dataclasses.replace(small, stride=stride)), home / f"codec_{rate}", {})
    return home


def study(home: Path, *extra: str, paradigms: tuple[str, ...] = ("fm",)) -> Study:
    """25 and 50 Hz at 0.8 s and at 20 frames: three points, clips of 0.8 and 0.4 s."""
    own = [f"representation={home}/codec_{{rate}}", "train.snapshots=[]", "seeds=[0]",
           "frame_rate={rates: [25, 50], seconds: [0.8], frames: [20]}",
           "evaluation.references=[real, codec_continuous]"]  # fmt: skip
    return load_study("frame_rate", [*settings(home), *own, *extra], paradigms)


@pytest.fixture(scope="module")
def measured(codecs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Cell, Measurement]]:
    """Every reference, and one arm at one point, measured in this process."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(codecs / "cache"))
    axis, context = FrameRate(), Context("s", tmp_path_factory.mktemp("results"), codecs / "runs")
    every, found = expand(study(codecs)), []
    cells = [cell for cell in every if cell.kind == "reference" or cell.label == "50 Hz, 0.4 s"]
    axis.prepare(cells, context)
    for group in dict.fromkeys(cell.group for cell in cells):
        own = [cell for cell in cells if cell.group == group]
        opened = axis.open(own, context)
        found += [(cell, opened.measure(cell)) for cell in own]
    monkeypatch.undo()
    return found


def test_a_point_that_both_modes_share_is_one(codecs: Path) -> None:
    made = [(point.rate, point.frames, point.seconds) for point in points_of(study(codecs))]
    assert made == [(25.0, 20, 0.8), (50.0, 40, 0.8), (50.0, 20, 0.4)]
    packaged = points_of(load_study("frame_rate"))
    assert [point.frames for point in packaged if point.seconds == 4] == [50, 100, 200, 400]
    assert [point.seconds for point in packaged if point.frames == 100] == [4, 8, 2, 1]
    assert packaged[0].study.representation == "codec_trained:12.5@400"


def test_every_point_has_its_ceilings_and_says_what_it_is(measured: list[tuple[Cell, Measurement]]) -> None:
    assert len(measured) == 3 * 2 + 1
    for cell, made in measured:
        at = cell.config["frame_rate"]
        assert cell.label == f"{at['hz']:g} Hz, {at['seconds']:g} s"
        assert at["frames"] == at["hz"] * at["seconds"]
        assert cell.config["data"]["representation"]["name"] == f"codec_{at['hz']:g}"
        assert {"fad_builtin", "fad_builtin_window", "clap_builtin_window"} <= set(made.metrics)
        assert made.environment["scoring"]["seconds"] == at["seconds"]
        assert made.environment["scoring"]["window"]["seconds"] == 0.4
        assert made.training is None or made.training.tokens == 2 * 2 * at["frames"]
        assert "fad_builtin_window" in made.items[0]


def test_windows_of_real_audio_are_the_same_at_every_point(measured: list[tuple[Cell, Measurement]]) -> None:
    def scores(system: str, name: str) -> set[float | None]:
        return {made.metrics[name].value for cell, made in measured if cell.system == system}

    assert len(scores("real", "fad_builtin_window")) == 1
    assert len(scores("real", "fad_builtin")) == 2  # whole clips of two durations
    assert len(scores("codec_continuous", "fad_builtin_window")) == 3


def test_windows_lie_where_they_lie_in_the_whole_clip(codecs: Path) -> None:
    from paradigm_bench.benchmarks.axes.eval_set import beginnings
    from paradigm_bench.benchmarks.axes.fidelity.cells import data_of

    cells = {cell.label: cell for cell in FrameRate().expand(study(codecs)) if cell.kind == "reference"}
    made = {}
    for label, cell in cells.items():
        data = data_of(cell)
        eval_set = WindowEvalSet(cell.read(FrameRateConfig).evaluation, cell.how, data)
        rate = eval_set.crops.sample_rate
        whole_BN = beginnings(eval_set.crops.prompts, rate, round(0.8 * rate))
        for whole_N, crop_N in zip(whole_BN, eval_set.crops.prompt_audio_BN):
            assert crop_N.tobytes() in whole_N.tobytes()
        made[label] = eval_set
    long, short = made["25 Hz, 0.8 s"], made["50 Hz, 0.4 s"]
    assert np.array_equal(long.windows.prompt_audio_BN, short.windows.prompt_audio_BN)
    assert np.array_equal(long.windows.tagger.reference.embeddings, short.windows.tagger.reference.embeddings)
    assert len(set(long.at)) > 2  # not all beginnings
    assert set(short.at) == {0}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("frame_rate.seconds=[0.5]", r"frame_rate.seconds 0.5 is 12.5 frames at 25 Hz; choose a duration with a whole"),
        ("frame_rate.rates=[25, 75]", r"no representation or folder .*codec_75"),
        ("frame_rate.frames=[30]", r"30 frames at 25 Hz last 1.2 s, and 0 test clips of builtin are that long; lower "),
        ("frame_rate.window=0.6", r"is 0.6 s but must lie between 0.1 and 0.4 s, the shortest clip \(50 Hz, 0.4 s\)"),
        ("frame_rate.rates=[0]", r"frame_rate.rates has 0 but must be above 0"),
        ("frame_rate.rates=[]", r"frame_rate: give rates, and seconds or frames"),
        ("representation=codec_builtin", r"'codec_builtin' has one frame rate; write \{rate\} in place of the rate"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(codecs: Path, change: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as refused:
        FrameRate().expand(study(codecs, change))
    assert "\n" not in str(refused.value)


def test_a_representation_of_another_rate_is_refused(codecs: Path) -> None:
    chosen = study(codecs, f"representation={codecs}/codec_50", "frame_rate.rates=[25]")
    with pytest.raises(UserError, match=r"codec_50' has 50 frames per second, not 25; choose another one"):
        FrameRate().expand(chosen)


def test_a_codec_is_trained_once_by_its_recipe(codecs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def train(corpora: object, config: object, folder: Path, command: str, report: object) -> None:
        asked.append((config.model.stride, config.steps, config.crop_frames, command))  # type: ignore[attr-defined]
        small = dataclasses.replace(CodecConfig(), width=16, codebooks=2, cardinality=16, stride=4)
        save_codec(BuiltinCodec(small), folder, {"steps": 3})

    monkeypatch.setattr(codec_trained, "train_codec", train)
    first, again = (load_representation("codec_trained:12.5@3") for _ in range(2))
    assert asked == [(4, 3, 16, "codec_trained:12.5@3")]  # as many seconds in a crop as at 25 Hz
    assert first.fingerprint == again.fingerprint
    assert first.spec.frame_rate_hz == 12.5
    for wrong in ("", "25", "fast@3", "25@0", "25@many"):
        with pytest.raises(UserError, match=r"expected RATE@STEPS"):
            load_representation(f"codec_trained:{wrong}")
    with pytest.raises(UserError, match=r"30: expected one of 12.5, 25, 50, 100"):
        load_representation("codec_trained:30@3")


def test_plans_know_every_point_without_weights() -> None:
    device = Device(
        "toy", bf16_flops_per_s=1e15, fp32_flops_per_s=1e14, copy_bytes_per_s=1e12, memory_bytes=8e10, mfu=0.5
    )
    made = make_plan(load_study("frame_rate_paper"), device, hours=1.0)
    assert len(made.runs) == 2 * 8
    tokens = {run.setting: run.tokens for run in made.runs}
    assert tokens["at 100 Hz, 10 s"] == tokens["at 25 Hz, 40 s"] == 4 * tokens["at 25 Hz, 10 s"] == 1e6 * 256 * 1000
