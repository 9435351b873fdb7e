"""What makes sampling fast changes nothing: packed weights, captured steps, buckets, parts of a clip, other dtypes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.testing import assert_close

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig, linear
from paradigm_bench.backbones.linear import Linear
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.delay import delay, pattern_mask
from paradigm_bench.paradigms.session import Session
from tests.helpers import BACKBONE, assert_greedy, make, sample, some_conditions

PREFIX = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text="prefix", positions="rotary")
NAMES = paradigms.names()
Step = Callable[[], None]


@pytest.fixture
def pack_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PACKED_FROM", 1)


@pytest.mark.usefixtures("pack_everything")
def test_packed_linear_is_linear_and_follows_its_weights() -> None:
    torch.manual_seed(0)
    ours, x = Linear(48, 40), torch.randn(2, 3, 48)
    for _ in range(2):
        with torch.no_grad():
            assert linear.packs(ours.weight, x)
            assert_close(ours(x), nn.functional.linear(x, ours.weight, ours.bias), rtol=1e-5, atol=1e-5)
            ours.weight.mul_(-2)
    ours(x).sum().backward()  # training takes the plain path
    assert ours.weight.grad is not None


@pytest.mark.parametrize("name", NAMES)
def test_packed_weights_give_the_same_clips(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, conditions = make(name, std=0.08), some_conditions([4, 2])
    settings = {"temperature": 0.0, "guidance": 2.0} if name == "ar" else {}
    plain = sample(model, conditions, 9, [1, 2], **settings)
    with monkeypatch.context() as patch:
        patch.setattr(linear, "PACKED_FROM", 1)
        packed = sample(model, conditions, 9, [1, 2], **settings)
    if isinstance(model, AR):
        column, real = delay(packed, 11), pattern_mask(9, 3).expand(2, -1, -1)
        assert_greedy(model, column, real, conditions, guidance=2.0)
    else:
        assert_close(packed, plain, rtol=1e-4, atol=1e-4)


@contextlib.contextmanager
def cursor_put_back(session: Session) -> Iterator[None]:
    """Undo the one thing that doing a step leaves behind for the next: where the next position goes."""
    cursor = session.cache.cursor if hasattr(session, "cache") else torch.zeros(1)
    at = cursor.clone()
    yield
    cursor.copy_(at)


class Twice:
    """Every step is done twice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kinds: list[object] = []
        monkeypatch.setattr(Session, "run", self.run_of())

    def run_of(self) -> Callable[[Session, object, Step], None]:
        def run(session: Session, kind: object, step: Step) -> None:
            with cursor_put_back(session):
                step()
            step()
            self.kinds.append(kind)

        return run


@pytest.mark.parametrize("backbone", [BACKBONE, PREFIX], ids=["cross", "prefix"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_may_be_repeated(name: str, backbone: BackboneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    model, conditions = make(name, backbone=backbone, std=0.08), some_conditions([4, 2])
    once = sample(model, conditions, 9, [1, 2])
    steps = Twice(monkeypatch)
    assert_close(sample(model, conditions, 9, [1, 2]), once, rtol=1e-5, atol=1e-5)
    assert steps.kinds


@pytest.mark.parametrize("backbone", [BACKBONE, PREFIX], ids=["cross", "prefix"])
@pytest.mark.parametrize("name", ["ar", "mntp"])
def test_one_graph_serves_a_bucket(name: str, backbone: BackboneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In buckets of four positions the clip is the same, and there is one kind of step per bucket."""
    model, conditions = make(name, backbone=backbone, std=0.08), some_conditions([4, 2])
    exact, real, kinds = sample(model, conditions, 9, [1, 2]), paradigms.ar.KVCache, set()
    for module in (paradigms.ar, paradigms.mntp):
        monkeypatch.setattr(module, "KVCache", lambda *given: real(*given, bucket=4))
    monkeypatch.setattr(Session, "run", lambda session, kind, step: (kinds.add(kind), step()))
    assert_close(sample(model, conditions, 9, [1, 2]), exact, rtol=1e-5, atol=1e-5)
    assert len(kinds) <= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_session_serves_new_clips(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that were used before, as on a GPU, leave no trace."""
    model, first, second = make(name, std=0.08), some_conditions([4, 2], seed=1), some_conditions([4, 2], seed=2)
    fresh = sample(model, second, 9, [3, 4])
    held: dict[object, Session] = {}
    monkeypatch.setattr(model._sessions, "get", lambda key, made, device: held.setdefault(key, made()))
    sample(model, first, 9, [1, 2])
    assert torch.equal(sample(model, second, 9, [3, 4]), fresh)
    assert len(held) == 1


@pytest.mark.parametrize("name", NAMES)
def test_steps_never_wait_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without data, anything that would read a number back to the host raises; so would a capture."""
    model, conditions, real = make(name), some_conditions([4, 2]), Session.run

    def run(session: Session, kind: object, step: Step) -> None:
        real(session, kind, step)
        with cursor_put_back(session), FakeTensorMode(allow_non_fake_inputs=True):
            step()

    monkeypatch.setattr(Session, "run", run)
    sample(model, conditions, 5, [1, 2])
    with pytest.raises(DataDependentOutputException), FakeTensorMode():
        bool(torch.zeros(1).any())


@pytest.mark.parametrize("name", ["ar", "mntp", "ntp"])
@pytest.mark.parametrize("chunk", [1, 4, 9])
def test_a_stream_is_the_clip_in_parts(name: str, chunk: int) -> None:
    model, conditions = make(name, std=0.08), some_conditions([4, 2])
    assert model.streams
    sampler = model.sampler({"guidance": 2.0})
    parts = list(model.stream(conditions, 9, sampler, ItemRNG([1, 2]), chunk))
    axis = 2 if name == "ar" else 1
    assert [part.shape[axis] for part in parts] == [chunk] * (9 // chunk) + [9 % chunk] * (9 % chunk > 0)
    assert torch.equal(torch.cat(parts, dim=axis), model.generate(conditions, 9, sampler, ItemRNG([1, 2])))


def test_the_first_part_comes_before_the_clip_is_decided() -> None:
    model, calls = make("ar"), []
    logits = model.logits
    model.logits = lambda *given: calls.append(1) or logits(*given)
    next(model.stream(some_conditions([4]), 50, model.sampler({}), ItemRNG([1]), 5))
    assert len(calls) == 5 + 3 - 1  # the delay of three codebooks


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_samples(name: str) -> None:
    model, conditions = make(name, std=0.05).bfloat16(), some_conditions([4, 2])
    clips = sample(model, conditions, 5, [1, 2])
    assert clips.shape[0] == 2
    assert clips.dtype == (torch.int64 if name == "ar" else torch.float32)
    assert bool(torch.isfinite(clips.float()).all())
