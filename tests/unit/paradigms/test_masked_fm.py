"""masked_fm: which frames are masked when, what each head may see, and mar's head with either objective."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch
from paradigm_bench.paradigms.flow_transformer import FlowTransformer
from paradigm_bench.paradigms.heads import FlowHead, HeadOptions, HeadSampler
from paradigm_bench.paradigms.masked_fm import MaskedFM, MaskedFMSampler, masked_frames, passes
from paradigm_bench.paradigms.masks import span_order
from paradigm_bench.paradigms.ode import ODESettings, grid, integrate
from tests.helpers import BACKBONE, HEAD, SAMPLERS, make, perturb, sample, some_batch, some_conditions
from tests.unit.paradigms.test_engines import Twice

MLP = {"head": {"kind": "mlp", "depth": 2}}
TRANSFORMER = {"head": {"kind": "transformer", "depth": 2}}
HEADS = pytest.mark.parametrize("options", [TRANSFORMER, MLP], ids=["transformer", "mlp"])


@pytest.mark.parametrize("frames", [12, 10, 3])
def test_an_order_of_spans_keeps_them_whole(frames: int) -> None:
    order = span_order(ItemRNG([1, 2, 3, 4, 5]), frames, 4)
    assert order.sort(dim=1).values.tolist() == [list(range(frames))] * 5
    for row in order.tolist():
        starts = [i for i, frame in enumerate(row) if frame % 4 == 0]
        assert all(row[i : i + 4][j] == row[i] + j for i in starts for j in range(min(4, frames - row[i])))
    assert frames == 3 or len({tuple(row) for row in order.tolist()}) > 1
    assert [masked_frames(ratio, 10, 4) for ratio in (0.01, 0.5, 0.7, 1.0)] == [4, 8, 8, 10]


def test_the_passes_of_algorithm_1_by_hand() -> None:
    """Ten spans over four passes: floor(10 cos(pi i / 8)) = 9, 7, 3, and then none are left."""
    keep, anew = (MaskedFMSampler(iterations=4, repredict=repredict) for repredict in (False, True))
    assert passes(40, 4, keep) == [(40, 36), (36, 28), (28, 12), (12, 0)]
    assert passes(40, 4, anew) == [(40, 0), (36, 0), (28, 0), (12, 0)]
    assert passes(38, 4, keep)[:2] == [(38, 36), (36, 28)]
    assert passes(5, 4, MaskedFMSampler(iterations=16)) == [(5, 4), (4, 0)]


@HEADS
@pytest.mark.parametrize("repredict", [False, True])
def test_passes_mask_reveal_and_keep(options: dict, repredict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass hides the planned spans; what was revealed stays unless it is masked again."""
    model, seen = make("masked_fm", options), []
    context = model.context

    def spy(latents: Tensor, masked_BM: Tensor, *rest: Any) -> Tensor:
        seen.append((latents[:2].clone(), masked_BM[:2]))
        assert torch.equal(masked_BM[:2], masked_BM[2:])  # both branches of guidance see the same
        return context(latents, masked_BM, *rest)

    monkeypatch.setattr(model, "context", spy)
    clips = sample(model, some_conditions([4, 2]), 20, [1, 2], iterations=3, repredict=repredict)
    assert [masked.shape[1] for _, masked in seen] == [20, 16, 8]
    states = [latents for latents, _ in seen[1:]] + [clips]
    for (before, masked), after, kept in zip(seen, states, [4, 8, 8]):
        hidden = torch.zeros(2, 20, dtype=torch.bool).scatter(1, masked, True)
        assert torch.equal(after[~hidden], before[~hidden])
        changed = (after != before).any(dim=2)
        assert changed.sum(dim=1).tolist() == [masked.shape[1] if repredict else kept] * 2
    nested = all(
        set(later[0].tolist()) <= set(first[0].tolist()) for (_, first), (_, later) in itertools.pairwise(seen)
    )
    assert nested != repredict


@HEADS
@pytest.mark.parametrize("repredict", [False, True])
def test_clips_ignore_batch_mates_and_repeated_steps(
    options: dict, repredict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, conditions = make("masked_fm", options), some_conditions([3, 6, 1])
    together = sample(model, conditions, 10, [11, 12, 13], repredict=repredict)
    alone = sample(model, conditions[1:2], 10, [12], repredict=repredict)
    assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4)
    steps = Twice(monkeypatch)
    assert_close(sample(model, conditions, 10, [11, 12, 13], repredict=repredict), together, rtol=1e-5, atol=1e-5)
    assert len(steps.kinds) == 3


@HEADS
def test_loss_is_on_the_masked_frames_which_the_backbone_does_not_see(options: dict) -> None:
    """Targets move the loss only where they are masked; there the backbone's output stays the same."""
    model, batch = make("masked_fm", {**options, "ratio": [0.5, 0.5]}), some_batch(some_conditions([2, 3]), 16)
    seen: list[Tensor] = []
    context: Callable[..., Tensor] = model.context

    def spy(latents: Tensor, masked_BM: Tensor, *rest: Any) -> Tensor:
        seen[:] = [masked_BM, context(latents, masked_BM, *rest)]
        return seen[1]

    model.context = spy  # type: ignore[method-assign]

    def loss(latents: Tensor) -> Tensor:
        return model.loss(Batch(latents, None, batch.conditions), ItemRNG([1, 2]), ItemRNG([3])).per_item_B

    base, masked_BM, z = loss(batch.latents_BTD), *seen
    assert masked_BM.shape == (2, 8)
    moved = batch.latents_BTD.scatter_add(1, masked_BM[..., None].expand(-1, -1, 6), torch.full((2, 8, 6), 3.0))
    assert (loss(moved) > 1.5 * base).all()
    assert torch.equal(seen[1], z)


def test_spans_may_be_drawn_from_left_to_right(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames, seen = make("masked_fm", TRANSFORMER), 10, []
    assert isinstance(model, MaskedFM)
    context = model.context

    def spy(latents: Tensor, masked_BM: Tensor, *rest: object) -> Tensor:
        seen.append(masked_BM.sort(dim=1).values.tolist())
        return context(latents, masked_BM, *rest)

    monkeypatch.setattr(model, "context", spy)
    settings = model.sampler({"iterations": 3, "steps": 2, "order": "causal"})
    model.generate(some_conditions([3, 1]), frames, settings, ItemRNG([1, 2]))
    masked = [count for count, _ in passes(frames, model.options.span, settings)]
    assert seen == [[list(range(frames - n, frames))] * 2 * settings.branches for n in masked]


def test_masked_frames_of_one_pass_hear_each_other_in_the_transformer_alone() -> None:
    """The noise of one masked frame reaches the others through the transformer, not through the per-token head."""
    for options, heard in ((TRANSFORMER, True), (MLP, False)):
        model, calls = make("masked_fm", options), []
        assert isinstance(model, MaskedFM)

        class Noise(ItemRNG):
            def normal(self, *shape: int, calls: list = calls) -> Tensor:
                drawn = super().normal(*shape)
                drawn[0, 0] += float(len(calls))  # of the first frame alone
                calls.append(shape)
                return drawn

        settings = model.sampler({"iterations": 1, "steps": 3})
        first, second = (model.generate(some_conditions([3]), 8, settings, Noise([1])) for _ in range(2))
        assert not torch.equal(first[0, 0], second[0, 0])
        assert torch.allclose(first[0, 1:], second[0, 1:], atol=1e-5) != heard


def test_flow_of_the_token_head_equals_its_plain_integration() -> None:
    torch.manual_seed(0)
    head = perturb(FlowHead(HeadOptions(width=16, depth=2), 4, d_model=6), 0.2)
    z, noise = torch.randn(6, 6), torch.randn(1, 3, 4)

    def field(x: Tensor, t: float) -> Tensor:
        both = head.velocity(x.repeat(2, 1), torch.full((6,), t), z)
        return both[3:] + 2.5 * (both[:3] - both[3:])

    settings = HeadSampler(diffusion_steps=7, guidance=2.5, temperature=0.8)
    with torch.no_grad():
        assert_close(
            head.sample(z, noise, settings), integrate(field, 0.8 * noise[0], settings.ode), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_the_grid_has_the_times_at_which_the_solver_looks(solver: str) -> None:
    settings, looked = ODESettings(solver, steps=3), []  # type: ignore[arg-type]
    integrate(lambda x, t: looked.append(t) or x, torch.zeros(1), settings)  # type: ignore[func-returns-value]
    assert grid(settings, torch.device("cpu")).tolist() == pytest.approx(looked)


@torch.no_grad()
def test_one_time_for_all_rows_is_that_time_in_each() -> None:
    """The layer norms into which sampling folds the time's modulation."""
    shape = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64)
    head = perturb(FlowTransformer(shape, 6, 32, 2, 1))
    x, z = torch.randn(3, 5, 6), torch.randn(3, 5, 32)
    one, each = (head.velocity(x, torch.full((n,), 0.3), z) for n in (1, 3))
    assert_close(one, each, rtol=1e-4, atol=1e-4)


def test_mar_takes_a_flow_head_of_the_same_network_and_its_old_identity_stays() -> None:
    from paradigm_bench.common.config import to_dict

    flow, diffusion = (make("mar", {"head": {**HEAD, "objective": o}}) for o in ("flow", "diffusion"))
    shapes = {k: v.shape for k, v in diffusion.state_dict().items() if not k.startswith("head.error.")}
    assert {k: v.shape for k, v in flow.state_dict().items()} == shapes
    assert "objective" not in to_dict(diffusion.options)["head"]
    assert to_dict(flow.options)["head"]["objective"] == "flow"
    clips = [sample(model, some_conditions([3, 5]), 7, [1, 2]) for model in (flow, diffusion)]
    assert not torch.allclose(*clips, atol=0.1)
    one = flow.generate(some_conditions([3]), 7, flow.sampler(SAMPLERS["mar"]), ItemRNG([1]))
    assert torch.isfinite(one).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"span": 0}, "span must be 1 frame or more, not 0"),
        ({"ratio": [0.7, 0.5]}, r"ratio must be \[lowest, highest\]"),
        ({"ratio": [0.5]}, r"ratio must be \[lowest, highest\]"),
        ({"head": {"width": 20}}, "head.width 20 is no multiple of the heads' 8"),
        ({"head": {"kind": "mpl"}}, "did you mean 'mlp'"),
    ],
)
def test_impossible_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make("masked_fm", options, backbone=BACKBONE)
