"""Captured steps, simulated on a CPU: how many are captured over unequal prompts, and that none is ever timed."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.axes.latency.tracker.sampling import Sample, warm_up
from paradigm_bench.benchmarks.axes.latency.tracker.statistics import StopRule
from paradigm_bench.benchmarks.conformance.case import LATENT, TEXT
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms import pipeline
from paradigm_bench.paradigms.base import Conditions, Paradigm
from paradigm_bench.paradigms.session import (
    HELD,
    Session,
    capture_count,
    capture_failures,
    plain_steps,
    simulated_captures,
)
from paradigm_bench.representations.text.encoders import TextSpec
from tests.helpers import BACKBONE, SAMPLERS, make, sample, some_conditions

LONG = TextSpec("tokens", 0, TEXT.vocabulary, max_length=100)
PREFIX = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text="prefix", positions="rotary")
BATCHES = ([20, 12, 31], [37, 5, 8], [34, 30, 2], [30, 30, 1], [9, 26, 28])  # tokens of each caption
BUCKETS = 2  # of 32 and of 64 tokens
FRAMES = 9


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Buckets of four positions, as few as graphs need, and no failures of other tests."""
    real = paradigms.ar.KVCache
    for module in (paradigms.ar, paradigms.mntp):
        monkeypatch.setattr(module, "KVCache", lambda *given: real(*given, bucket=4))
    monkeypatch.setattr("paradigm_bench.paradigms.session._Captures.failures", [])
    with simulated_captures():
        yield


def captions(lengths: list[int], seed: int) -> Conditions:
    return some_conditions(lengths, seed)


def kinds(model: Paradigm) -> int:
    """Kinds of steps that a clip of ``FRAMES`` frames takes, by what each loop is made of."""
    sampler = model.sampler(SAMPLERS[model.name])
    buckets = {
        "ar": -(-(FRAMES + LATENT.codebooks - 1) // 4),
        "mntp": -(-FRAMES // 4),
        "ntp": -(-FRAMES // 4),
        "fm": 1,
    }
    return buckets.get(model.name) or sampler.iterations


@pytest.mark.parametrize("name", paradigms.names())
def test_one_capture_per_kind_and_bucket_over_unequal_prompts(name: str) -> None:
    model = make(name, text=LONG, std=0.05)
    start = capture_count()
    rounds = []
    for again in range(3):
        drawn = [sample(model, captions(lengths, i), FRAMES, [again, 7, 8]) for i, lengths in enumerate(BATCHES)]
        rounds.append(capture_count() - start)
        with plain_steps():
            plain = [sample(model, captions(lengths, i), FRAMES, [again, 7, 8]) for i, lengths in enumerate(BATCHES)]
        for one, other in zip(drawn, plain, strict=True):
            check_same(one, other)
    assert rounds == [BUCKETS * kinds(model)] * 3
    assert capture_failures() == []


def check_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", [BACKBONE, PREFIX], ids=["cross", "prefix"])
@pytest.mark.parametrize("name", paradigms.names())
def test_padding_to_a_bucket_changes_no_clip(name: str, backbone: BackboneConfig) -> None:
    model, conditions = make(name, text=LONG, backbone=backbone, std=0.05), captions([5, 40], 0)
    with plain_steps():
        exact = sample(model, conditions, FRAMES, [1, 2])
    check_same(sample(model, conditions, FRAMES, [1, 2]), exact)


def test_text_is_never_padded_beyond_the_encoder() -> None:
    model = make("fm", std=0.05)  # of at most 16 tokens
    assert model.read_text(some_conditions([3])).mask_BL.shape[1] == 3
    with torch.no_grad():
        assert model.read_text(some_conditions([3])).mask_BL.shape[1] == TEXT.max_length


@pytest.mark.parametrize("name", paradigms.names())
def test_a_step_is_captured_on_its_second_use(name: str) -> None:
    model = make(name, text=LONG, std=0.05)
    counts = []
    for _ in range(3):
        before = capture_count()
        sample(model, captions([5, 4], 0), 1 if name == "ntp" else 2, [1, 2])
        counts.append(capture_count() - before)
    assert counts[2] == 0
    assert sum(counts) > 0
    if name in ("fm", "mar", "masked_fm"):  # each kind is used once a clip
        assert counts[0] == 0


@pytest.mark.parametrize("name", paradigms.names())
def test_a_failed_capture_falls_back_to_plain_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(session: Session, step: Callable[[], None]) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    model, conditions = make(name, text=LONG, std=0.05), captions([5, 4], 0)
    with plain_steps():
        exact = sample(model, conditions, FRAMES, [1, 2])
    monkeypatch.setattr(Session, "capture", fails)
    before = capture_count()
    for _ in range(3):
        check_same(sample(model, conditions, FRAMES, [1, 2]), exact)
    assert capture_count() == before
    (line,) = capture_failures()  # the first failure ends all capturing
    assert "not captured (operation not permitted" in line
    assert "\n" not in line


def test_running_out_of_memory_in_a_capture_is_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(session: Session, step: Callable[[], None]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model, conditions = make("fm", text=LONG), captions([5], 0)
    sample(model, conditions, FRAMES, [1])
    monkeypatch.setattr(Session, "capture", fails)
    with pytest.raises(torch.OutOfMemoryError):
        sample(model, conditions, FRAMES, [1])
    assert len(capture_failures()) == 1  # and the process captures no more


def test_few_sessions_are_kept_and_all_are_dropped_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("fm", text=LONG)
    for frames in range(2, 10):
        sample(model, captions([5], 0), frames, [1])
    assert len(model._sessions._held) == HELD
    real, calls = paradigms.fm.Integration, []

    def crowded(*given: object) -> object:
        calls.append(len(model._sessions._held))
        if model._sessions._held:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*given)

    monkeypatch.setattr(paradigms.fm, "Integration", crowded)
    sample(model, captions([5], 0), 20, [1])
    assert calls == [HELD - 1, 0]


@pytest.mark.parametrize("name", paradigms.names())
def test_a_session_leaves_the_callers_conditions_alone(name: str) -> None:
    """Captions of exactly a bucket are not padded, so that nothing else makes a copy."""
    model, first, second = make(name, text=LONG, std=0.05), captions([32, 7], 0), captions([32, 30], 1)
    masks = first.text_mask_BL.clone(), second.text_mask_BL.clone()
    drawn = [sample(model, conditions, FRAMES, [1, 2]) for conditions in (first, second, first)]
    assert torch.equal(first.text_mask_BL, masks[0])
    assert torch.equal(second.text_mask_BL, masks[1])
    check_same(drawn[2], drawn[0])


def test_running_out_of_memory_in_a_first_step_drops_the_other_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("fm", text=LONG, std=0.05)
    for frames in (2, 3, 4):
        sample(model, captions([5], 0), frames, [1])
    with plain_steps():
        exact = sample(model, captions([5], 0), 5, [1])
    real = paradigms.fm.Integration._solve

    def crowded(session: paradigms.fm.Integration) -> None:
        if len(model._sessions._held) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(session)

    monkeypatch.setattr(paradigms.fm.Integration, "_solve", crowded)
    check_same(sample(model, captions([5], 0), 5, [1]), exact)
    assert len(model._sessions._held) == 1


@pytest.mark.parametrize("name", paradigms.names())
def test_a_model_that_has_sampled_is_freed_at_once(name: str) -> None:
    """Not only when Python looks for cycles, which it does not do when a GPU's memory runs out."""
    model = make(name, text=LONG, std=0.05)
    for _ in range(3):
        sample(model, captions([5], 0), 3, [1])
    watched = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert watched() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["ar", "mntp", "ntp"])
def test_two_streams_at_a_time_do_not_mix(name: str) -> None:
    model, sampler = make(name, text=LONG, std=0.05), make(name).sampler(SAMPLERS[name])
    both = [(captions([5, 4], seed), [seed, 9]) for seed in (1, 2)]
    whole = [sample(model, conditions, FRAMES, seeds) for conditions, seeds in both]
    streams = [model.stream(conditions, FRAMES, sampler, ItemRNG(seeds), 3) for conditions, seeds in both]
    parts = list(zip(*streams, strict=True))
    axis = 2 if name == "ar" else 1
    for i, clip in enumerate(whole):
        check_same(torch.cat([part[i] for part in parts], dim=axis), clip)
    before = capture_count()
    sample(model, *both[0][:1], FRAMES, [1, 9])  # type: ignore[arg-type]
    assert capture_count() == before, "the session is free again"


def test_a_converted_model_forgets_its_graphs() -> None:
    model = make("fm", text=LONG, std=0.05)
    sample(model, captions([5], 0), FRAMES, [1])
    assert model._sessions._held
    model.double().float()
    assert not model._sessions._held


def test_a_copied_model_has_sessions_of_its_own() -> None:
    model = make("fm", text=LONG, std=0.05)
    for _ in range(2):
        sample(model, captions([5], 0), FRAMES, [1])
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.weight.mul_(2)
    with plain_steps():
        exact = sample(other, captions([5], 0), FRAMES, [1])
    for _ in range(3):
        check_same(sample(other, captions([5], 0), FRAMES, [1]), exact)


@pytest.mark.parametrize(("batches", "drawn"), [(1, 3), (2, 3), (6, 6)])
def test_seconds_per_clip_leave_captures_out(batches: int, drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in model on a stand-in GPU: the first call takes 100 s, the second captures for 10 s, others take 1 s."""
    clock, calls, captured = [0.0], [], [0]
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(pipeline, "warm_up_count", lambda: captured[0])
    monkeypatch.setattr(pipeline, "to_audio", lambda drawn, *rest: np.zeros((2, 5)))
    monkeypatch.setattr(pipeline, "_wait_for", lambda device: None)

    def draw(part: slice) -> Tensor:
        calls.append(part)
        captured[0] += len(calls) in (1, 2)
        clock[0] += {1: 100.0, 2: 10.0}.get(len(calls), 1.0)
        return torch.zeros(2)

    model = torch.nn.Linear(1, 1, device="meta")
    codec = torch.nn.Linear(1, 1)
    codec.device = torch.device("cpu")  # type: ignore[assignment]
    monkeypatch.setattr(codec, "to", lambda device: codec)
    made = pipeline.in_batches(draw, 2 * batches, 2, model, codec, 5)  # type: ignore[arg-type]
    assert len(made.audio_BN) == 2 * batches
    assert len(calls) == drawn
    assert made.sampling_seconds == 0.5


def test_warm_up_goes_on_until_nothing_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even for work so slow that it is not repeated otherwise."""
    captured = [0]

    def take(work: object, device: str, round_: int = 0) -> Sample:
        captured[0] += len(taken) in (1, 2)
        taken.append(1)
        return Sample(100.0)

    taken: list[int] = []
    monkeypatch.setattr("paradigm_bench.benchmarks.axes.latency.tracker.sampling.take_sample", take)
    monkeypatch.setattr(
        "paradigm_bench.benchmarks.axes.latency.tracker.sampling._warmed_up",
        lambda device: captured[0] * (device == "cuda"),
    )
    series = warm_up(lambda: None, StopRule(), "cuda")
    assert len(series.warm_ups) == 3
    taken.clear()
    assert len(warm_up(lambda: None, StopRule(), "cpu").warm_ups) == 0


def test_drawing_by_streams_shares_the_clips_graphs() -> None:
    model, conditions = make("ar", text=LONG, std=0.05), captions([5, 4], 0)
    sampler = model.sampler(SAMPLERS["ar"])
    sample(model, conditions, FRAMES, [1, 2])
    before = capture_count()
    parts = list(model.stream(conditions, FRAMES, sampler, ItemRNG([1, 2]), 4))
    assert capture_count() == before
    check_same(torch.cat(parts, dim=2), sample(model, conditions, FRAMES, [1, 2]))
