"""Parts of MAR's reference code that are options: position code on z, norms, null condition, decay of the head."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Conditions
from paradigm_bench.paradigms.mar import MAR
from paradigm_bench.training.optimiser import decayed
from tests.helpers import BACKBONE, HEAD, make, sample, some_batch, some_conditions

ALL = {"token_code": True, "norms": True, "null_code": True}


def mar(**options: Any) -> MAR:
    model = make("mar", {"buffer_tokens": 3, "head": HEAD, **options})
    assert isinstance(model, MAR)
    return model


@torch.no_grad()
def context(model: MAR, conditions: Conditions, masked: int = 4) -> torch.Tensor:
    latents = torch.randn(len(conditions), 6, 6, generator=torch.Generator().manual_seed(0))
    order = torch.arange(6).expand(len(conditions), -1)
    return model.context(latents, order, masked, model.read_text(conditions))


def test_the_token_code_is_added_to_the_condition_of_its_position() -> None:
    model, conditions = mar(token_code=True), some_conditions([3, 5])
    with_code = context(model, conditions)
    code_TC = model.token_code(torch.arange(1, 7))
    model.token_code = None
    assert_close(with_code - context(model, conditions), code_TC.expand(2, -1, -1), rtol=1e-3, atol=1e-5)
    assert (code_TC[1] - code_TC[0]).abs().amax() > 0.01


def test_the_norms_stand_before_the_encoder_and_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling what enters a norm changes nothing; scaling the output of the encoder's last block neither."""
    model, conditions = mar(norms=True), some_conditions([3, 5])
    seen: list[torch.Tensor] = []
    for norm in (model.norm_in, model.norm_encoded):
        norm.register_forward_hook(lambda module, args, out: seen.append(out))
    context(model, conditions)
    assert [tuple(out.shape) for out in seen] == [(2, 3 + 2, 32)] * 2  # buffer and the two kept tokens, once each
    run = model.backbone.run

    def scaled(h: torch.Tensor, start: int, *args: Any, **keywords: Any) -> Any:
        out, text = run(h, start, *args, **keywords)
        return (5.0 if start == 0 else 1.0) * out, text

    before = context(model, conditions)
    monkeypatch.setattr(model.backbone, "run", scaled)
    assert_close(context(model, conditions), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("text", ["cross", "prefix"])
def test_the_null_code_is_seen_by_clips_without_text_alone(text: str) -> None:
    backbone = dataclasses.replace(BACKBONE, text=text)
    model = make("mar", {"buffer_tokens": 3, "head": HEAD, "null_code": True}, backbone=backbone)
    conditions = some_conditions([3, 5]).drop(torch.tensor([True, False]))
    before = context(model, conditions)
    with torch.no_grad():
        model.null_code += torch.randn(32, generator=torch.Generator().manual_seed(0))
    change = (context(model, conditions) - before).abs().amax(dim=(1, 2))
    assert change[0] == 0
    assert change[1] > 1e-3
    assert_close(context(model, conditions.null())[1:], context(model, conditions)[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"mae": False}])
def test_guided_sampling_with_all_parts_equals_branches_of_their_own(options: dict[str, Any]) -> None:
    """The null branch, which leaves its text out of the batch, has the null code too."""
    model = mar(**ALL, **options)
    both = some_conditions([3, 5]).branches(2)
    with torch.no_grad():
        stacked = model.read_text(some_conditions([3, 5]), branches=2)
        latents, order = torch.randn(4, 6, 6), torch.arange(6).expand(4, -1)
        together = model.context(latents, order, 4, stacked)
        whole = model.context(latents, order, 4, model.read_text(both))
    assert_close(together, whole, rtol=1e-4, atol=1e-5)
    assert sample(model, some_conditions([3, 5]), 6, [1, 2]).shape == (2, 6, 6)


def test_all_parts_learn_and_cost_what_torch_counts() -> None:
    model, batch = mar(**ALL).train(), some_batch(some_conditions([3, 5]))
    frames, words = batch.latents_BTD.shape[1], batch.conditions.text.shape[1]
    counts, costs = [], []
    for parts in (model, mar()):
        with FlopCounterMode(display=False) as counter:
            loss = parts.loss(batch, ItemRNG(list(range(len(batch.conditions)))), ItemRNG([7])).mean
        counts.append(counter.get_total_flops())
        costs.append(parts.forward_cost(len(batch.conditions), frames, words, 0))
        loss.backward()
    assert counts[0] - counts[1] == pytest.approx(costs[0] - costs[1])
    for part in (model.norm_in, model.norm_encoded, model.token_code):
        assert all(p.grad is not None and p.grad.abs().amax() > 0 for p in part.parameters())
    assert model.null_code.grad is not None


def test_decay_spares_buffer_tokens_and_on_demand_the_head() -> None:
    heads = {decay: mar(head={**HEAD, "decay": decay}) for decay in (True, False)}
    names = {decay: decayed(model) for decay, model in heads.items()}
    assert not any(name in ("buffer", "head.error.weight") for name in names[True])
    assert "head.blocks.0.modulation.weight" in names[True]
    assert [name for name in names[True] if not name.startswith("head.")] == names[False]
