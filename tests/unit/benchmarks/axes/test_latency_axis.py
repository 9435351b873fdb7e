"""The latency axis: what a cell is, what its record holds, and that every way to fail is a record of its own cell."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from paradigm_bench.benchmarks.axes.latency.axis import Latency
from paradigm_bench.benchmarks.axes.latency.cells import LatencyConfig, latent_of
from paradigm_bench.benchmarks.axes.latency.estimate import hopeless, meta_model, needed_bytes
from paradigm_bench.benchmarks.axes.latency.measure import LatencyGroup
from paradigm_bench.benchmarks.axes.latency.metrics import Timed, measurement
from paradigm_bench.benchmarks.axes.latency.model import Subject, decoder_of
from paradigm_bench.benchmarks.axes.latency.tracker.sampling import Sample, Series
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.study.axis import Context, Measurement, UnsupportedError
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.load import load_study, study_names
from paradigm_bench.benchmarks.study.sweep import expand
from paradigm_bench.common.device_rates import Rates
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.memory import Peak
from paradigm_bench.representations.shapes import ENCODEC_STRIDES

QUICK = [
    "backbone.overrides={d_model: 32, n_layers: 2, n_heads: 2, d_ff: 64}",
    "latency.seconds=0.2", "latency.text_tokens=3", "latency.first_audio_seconds=0.1", "latency.device=cpu",
    "latency.threads=1",
    "latency.stop={samples: 2, seconds: 0, spread: 1e9, cap_samples: 2, warm_ups: 1}",
]  # fmt: skip
SAMPLERS = "arms=[{paradigm: %s, sampler: {%s}}]"
SHORT = {
    "fm": "steps: 2",
    "mar": "iterations: 2, diffusion_steps: 2",
    "mntp": "diffusion_steps: 2",
    "masked_fm": "steps: 2, iterations: 2",
    "ar": "top_k: 5",
}


def cells_of(*settings: str, study: str = "latency", paradigm: str = "", scale: str = "tiny") -> list[Cell]:
    arms = [SAMPLERS % (paradigm, SHORT[paradigm])] if paradigm else []
    return expand(load_study(study, [f"backbone.preset={scale}", *QUICK, *arms, *settings]))


def group(cells: list[Cell], folder: Path) -> LatencyGroup:
    return Latency().open(cells, Context("s", folder / "results", folder / "runs"))


def test_a_cell_says_everything_that_decides_its_time() -> None:
    cells = expand(load_study("latency", ["latency.device=cpu", "latency.peers=true", "latency.decoder=true"]))
    assert [cell.system for cell in cells] == [
        "ar", "ar (transformers)", "fm", "fm (torchdiffeq)", "fm (gemms)", "mar", "mar (diffusers)",
        "ntp", "ntp (diffusers)", "mntp", "mntp (diffusers)", "masked_fm",
    ]  # fmt: skip
    for ours, peer in itertools.pairwise(cells[:2]):
        assert (ours.group, ours.config["peer"], ours.kind) == (peer.group, None, "paradigm")
        assert (peer.config["peer"], peer.kind) == ("transformers", "reference")
    config = cells[0].config
    assert config["model"]["backbone"]["d_model"] == 1024
    assert config["setting"] == {
        "batch": 1, "seconds": 10.0, "frames": 500, "text_tokens": 64, "device": "cpu", "dtype": "fp32",
        "hardware": config["setting"]["hardware"], "threads": os.cpu_count(), "decoder": "encodec", "compile": False,
        "first_audio_seconds": 1.0,
    }  # fmt: skip
    assert config["protocol"]["samples"] == 11
    assert len({cell.group for cell in cells}) == 6


@pytest.mark.parametrize("name", [name for name in study_names() if load_study(name).axis == "latency"])
def test_packaged_studies_expand_to_distinct_titles(name: str) -> None:
    cells = expand(load_study(name, ["latency.device=cpu"]))
    assert len({cell.title for cell in cells}) == len(cells)


def test_packaged_sweeps_have_the_papers_sizes() -> None:
    def count(name: str) -> int:
        return len(expand(load_study(name, ["latency.device=cpu"])))

    assert count("impact_table8") == 5 * 7
    assert count("latency_steps") == 2 * (4 + 1 + 5 * 5)
    assert count("latency_layers") == 5 * 4 * 2


def test_impacts_clip_is_256_tokens() -> None:
    config = expand(load_study("impact_table8", ["latency.device=cpu"]))[0].config
    assert (config["setting"]["frames"], config["latent"]["dim"], config["setting"]["text_tokens"]) == (256, 128, 78)


@pytest.mark.parametrize("rate", sorted(ENCODEC_STRIDES))
def test_the_random_encodec_decodes_at_the_latents_rate(rate: int) -> None:
    latent = latent_of("400m", rate)
    decoder = decoder_of("encodec", latent)
    assert decoder is not None
    codes = torch.randint(2048, (1, 4, 3))
    with torch.no_grad():
        audio_BN = decoder.decode(decoder.dequantise(codes))
    assert audio_BN.shape == (1, 3 * 32000 // rate)
    assert decoder.spec.codebooks == 4


@pytest.mark.parametrize("paradigm", ["ar", "fm", "mar", "mntp"])
def test_a_record_holds_times_bound_and_raw_samples(paradigm: str, tmp_path: Path) -> None:
    ours, peer, *_ = cells_of("latency.peers=true", "latency.batch=2", paradigm=paradigm)
    both = group([ours, peer], tmp_path)
    made, theirs = both.measure(ours), both.measure(peer)
    value = {name: metric.value for name, metric in made.metrics.items()}
    latency = value["latency_s"]
    assert made.status == theirs.status == "ok"
    assert latency is not None
    assert value["throughput_clips_per_s"] == pytest.approx(2 / latency)
    assert value["real_time_factor"] == pytest.approx(latency / 0.2)
    assert value["bound_s"] == pytest.approx((value["bound_ratio"] or 0) * latency)
    assert value["bound_s"] == theirs.metrics["bound_s"].value
    assert ("time_to_first_audio_s" in value) == (paradigm in ("ar", "mntp"))
    assert [row["round"] for row in made.items] == [0, 1]
    assert sum(row["wall_s"] for row in made.items) / 2 == pytest.approx(latency)
    assert not any(name.startswith("p9") for name in value)
    assert {"samples", "quiet machine"} >= {line.split(":")[0] for line in made.environment["speed"]["unmet"]} - {
        "spread"
    }
    assert (value["step_s"] or 0) < latency


def test_masked_fm_has_a_bound_without_a_peer(tmp_path: Path) -> None:
    (cell,) = cells_of("latency.peers=true", paradigm="masked_fm")
    made = group([cell], tmp_path).measure(cell)
    value = {name: metric.value for name, metric in made.metrics.items()}
    assert made.status == "ok"
    assert value["evaluations"] == 1 + 2 * (1 + 1 + 2)  # text; two passes: the backbone, its output read, two steps
    assert (value["bound_s"] or 0) > 0
    assert value["bound_s"] == pytest.approx((value["bound_ratio"] or 0) * (value["latency_s"] or 0))


def test_the_decoders_time_is_not_the_samplers(tmp_path: Path) -> None:
    (cell,) = cells_of("latency.decoder=true", paradigm="fm")
    metrics = group([cell], tmp_path).measure(cell).metrics
    seconds = {name: metrics[name].value or 0.0 for name in ("latency_s", "decoder_s", "bound_s", "bound_ratio")}
    sampler = seconds["latency_s"] - seconds["decoder_s"]  # of other samples each: on a busy machine not even positive
    assert seconds["bound_ratio"] == pytest.approx(seconds["bound_s"] / sampler if sampler > 0 else 0.0)


def test_samples_repeat_the_same_clips() -> None:
    (cell,) = cells_of(paradigm="ar")
    subject = Subject(cell.read(LatencyConfig))
    work = subject.work(subject.model.generate)
    assert torch.equal(work(), work())


class Broken:
    own_weights = False
    error: Exception = ValueError("broken")

    def __init__(self, model: Any) -> None:
        raise type(self).error


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ImportError("No module named 'x'"), UnsupportedError), (UserError("no such solver"), UnsupportedError),
     (MemoryError("too much"), MemoryError)],
)  # fmt: skip
def test_a_peer_that_fails_leaves_our_record_whole(
    error: Exception, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "error", error)
    monkeypatch.setattr("paradigm_bench.benchmarks.axes.latency.measure.BASELINES.load", lambda name: Broken)
    ours, peer, *_ = cells_of("latency.peers=true", paradigm="fm")
    both = group([ours, peer], tmp_path)
    assert both.measure(ours).status == "ok"
    with pytest.raises(kind, match=str(error).split()[0]):
        both.measure(peer)


def test_what_breaks_for_all_is_every_cells_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def load(config: LatencyConfig) -> None:
        loads.append(config.model.paradigm if config.model else "")
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("paradigm_bench.benchmarks.axes.latency.measure.Subject", load)
    ours, peer, *_ = cells_of("latency.peers=true", paradigm="fm")
    both = group([ours, peer], tmp_path)
    for cell in (ours, peer):
        with pytest.raises(torch.OutOfMemoryError):
            both.measure(cell)
    assert loads == ["fm"]


def test_a_cell_that_clearly_does_not_fit_is_recorded_without_being_tried(tmp_path: Path) -> None:
    (cell,) = cells_of("latency.batch=100000000", paradigm="ar", scale="400m")
    found = group([cell], tmp_path).measure(cell)
    assert found.status == "oom"
    assert found.reason.startswith("not tried: needs about ")
    (small,) = cells_of(paradigm="ar")
    assert hopeless(small.read(LatencyConfig)) is None


def test_needed_memory_counts_weights_and_cache() -> None:
    (one,) = cells_of("latency.seconds=10", paradigm="ar")
    (many,) = cells_of("latency.seconds=10", "latency.batch=101", paradigm="ar")
    rows, layers, width, frames, tokens = 2 * 100, 2, 32, 250, 3
    cache, text = 2 * layers * rows * frames * width * 4, 2 * layers * 100 * tokens * width * 4
    more, less = (needed_bytes(c, meta_model(c)) for c in (cell.read(LatencyConfig) for cell in (many, one)))
    assert more - less == cache + text


def test_more_throttled_than_kept_is_throttled() -> None:
    (cell,) = cells_of(paradigm="fm")

    def made(kept: int, thrown: int) -> Measurement:
        series = Series(lambda: None, 0.1, samples=[Sample(0.1)] * kept, throttled=thrown)
        return measurement(
            Timed(series, Peak(None), 0.0, 0.0), Subject(cell.read(LatencyConfig)), Rates(1e9, 1e9, 1), {}
        )

    assert [made(3, 2).status, made(2, 3).status, made(0, 9).status] == ["ok", "throttled", "throttled"]
    assert made(0, 9).metrics == {}


def test_estimates_come_from_the_bound_and_from_earlier_records(tmp_path: Path) -> None:
    cells = cells_of("latency.peers=true", paradigm="fm")
    found, basis = Latency().estimate(cells, tmp_path)
    assert all(found[cell.id].seconds > 5 and found[cell.id].bytes > 5e8 for cell in cells)  # type: ignore[operator]
    assert "bound" in basis


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--paradigm fmm", "unknown paradigm 'fmm' (did you mean 'fm'?)"),
        ("--device cuda", "torch finds no GPU"),
        ("--device gpu", "'gpu' is not one of auto, cpu, cuda"),
        ("--dtype fp8", "'fp8' is not one of"),
        ("--scale 400n", "unknown preset '400n' (did you mean '400m'?)"),
        ("--scale tiny --set latency.frame_rate=50", "latency.frame_rate is 50 but must be 25 at scale tiny"),
        ("--set latency.frame_rate=30", "latency.frame_rate is 30 but must be one of 25, 50, 100"),
        ("--set latency.batch=0", "latency.batch is 0 but must be above 0"),
        ("--set latency.stop.cap_samples=1", "cap_samples 1 is below samples 11"),
        ("--sweep latency.bach=1", "unknown key 'bach' (did you mean 'batch'?)"),
        ("--sweep arms.fm.sampler.stps=1", "unknown key 'stps' (did you mean 'steps'?)"),
        ("--threads -1", "Invalid value for '--threads'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    line: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    folders = ["--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    assert status(["run", "--axis", "latency", *line.split(), *folders]) == 2
    stderr = capsys.readouterr().err.strip()
    assert message in stderr
    assert "\n" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_time_and_memory_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "run --axis latency --paradigm fm --scale tiny --device cpu --sweep latency.batch=1,8 --dry-run"
    assert status([*line.split(), "--results", str(tmp_path / "r")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "time" in lines[0]
    assert [row.split()[1:4] for row in lines[2:4]] == [["fm", "batch", "1"], ["fm", "batch", "8"]]
    assert "GB" in lines[2]
    assert list(tmp_path.iterdir()) == []
