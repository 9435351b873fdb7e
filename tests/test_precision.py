"""Every paradigm and its options in half precision: training, sampling and filling, near to single precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import paradigms
from backbones import BackboneConfig
from benchmarks.conformance.case import Case
from benchmarks.conformance.filling import KNOWN_BT
from benchmarks.conformance.toys import (
    BACKBONES,
    CONTROLS,
    EMBEDDED,
    TEXT,
    some_batch,
    some_conditions,
    some_embeddings,
)
from common.seeds import ItemRNG
from paradigms.base import Batch, Conditions, Paradigm
from tests.helpers import SAMPLERS

FRAMES = KNOWN_BT.shape[1]
HEAD = {"width": 32, "depth": 2, "repeats": 2}
OPTIONS: dict[str, list[dict]] = {
    "ar": [{}, {"fill_middle": True}],
    "fm": [{}, {"time_weight": False, "sigma": 0.1}],
    "mar": [
        {},
        {"mae": False},
        {"head": {**HEAD, "objective": "flow"}},
        {"head": {**HEAD, "weighting": "velocity"}},
        {"text_layers": 1},
    ],
    "masked_fm": [{}, {"head": {"kind": "mlp", "depth": 2}}, {"span": 1, "head": {"depth": 2, "repeats": 2}}],
    "mntp": [{"hidden": hidden} for hidden in ("skipped", "dropped", "zeroed", "noised")]
    + [{"head": {**HEAD, "objective": "flow"}}, {"drop": "mar"}],
    "ntp": [{}],
}
CASES = [(name, options) for name in paradigms.names() for options in OPTIONS[name]]
MORE_BACKBONES = {
    **BACKBONES,
    "skips": BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, skips=True),
    "text": BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, positions="rotary"),
}


def losses(model: Paradigm, batch: Batch, half: bool) -> Tensor:
    """Per-item losses, and gradients in the model."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model.loss(batch, ItemRNG([1, 2]), ItemRNG([5]))
    loss.mean.backward()
    return loss.per_item_B.detach().float()


def gradients(model: Paradigm) -> Tensor:
    """All gradients in one vector; zero where a parameter has none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])


def check_training(model: Paradigm, batch: Batch) -> None:
    """bf16 has 8 bits, so a loss of many terms agrees to some percent; a wrong branch of the code is far off."""
    model.train()
    single, wanted = losses(model, batch, half=False), gradients(model)
    half, found = losses(model, batch, half=True), gradients(model)
    assert torch.allclose(half, single, rtol=0.05, atol=0.02), (half, single)
    assert bool(torch.isfinite(found).all())
    assert float(torch.nn.functional.cosine_similarity(found, wanted, dim=0)) > 0.98
    assert all(p.dtype == torch.float32 for p in model.parameters())


def check_sampling(model: Paradigm, batch: Batch, conditions: Conditions, **settings: float) -> None:
    """Converted to bf16, as on a GPU, models draw and fill finite clips, and keep known frames bit for bit."""
    model = model.eval().bfloat16()
    if conditions.text.is_floating_point():
        conditions = Conditions(conditions.text.bfloat16(), conditions.text_mask_BL, conditions.controls)
    sampler = model.sampler({**SAMPLERS[model.name], **settings})
    drawn = model.generate(conditions, FRAMES, sampler, ItemRNG([1, 2]))
    assert bool(torch.isfinite(drawn.float()).all())
    filled = model.inpaints and (model.name != "ar" or model.options.fill_middle)
    if filled:
        target = batch.codes_BKT if model.view == "codes" else batch.latents_BTD
        known = KNOWN_BT[:, None].expand_as(target) if model.view == "codes" else KNOWN_BT[..., None].expand_as(target)
        made = model.inpaint(target, KNOWN_BT, conditions, sampler, ItemRNG([1, 2]))
        assert torch.equal(made[known], target[known])
        assert bool(torch.isfinite(made.float()).all())


@pytest.mark.parametrize("controls", [(), CONTROLS], ids=["plain", "controls"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
def test_options_in_half_precision(name: str, options: dict, controls: tuple) -> None:
    case = Case(paradigms.find(name))
    conditions = some_conditions([4, 2], controls=controls, frames=FRAMES)
    batch = some_batch(conditions, FRAMES)
    check_training(case.model(options, controls=controls, std=0.05), batch)
    check_sampling(case.model(options, controls=controls, std=0.05), batch, conditions)
    if paradigms.find(name).inpaints:
        hidden = Batch(batch.latents_BTD, batch.codes_BKT, batch.conditions, KNOWN_BT)
        check_training(case.model({**options, **case.trial.filling}, controls=controls, std=0.05), hidden)


@pytest.mark.parametrize("kind", [*MORE_BACKBONES, "embeddings"])
@pytest.mark.parametrize("name", paradigms.names())
def test_backbones_in_half_precision(name: str, kind: str) -> None:
    options = {"mae": False} if kind == "skips" and name == "mar" else {}
    backbone = MORE_BACKBONES.get(kind, MORE_BACKBONES["cross"])
    case, embedded = Case(paradigms.find(name), backbone=backbone), kind == "embeddings"
    conditions = some_embeddings(2) if embedded else some_conditions([4, 2])
    model = case.model(options, text=EMBEDDED if embedded else TEXT, std=0.05)
    check_training(model, some_batch(conditions, FRAMES))
    check_sampling(model, some_batch(conditions, FRAMES), conditions)


@pytest.mark.parametrize("name", paradigms.names())
def test_three_branches_in_half_precision(name: str) -> None:
    case = Case(paradigms.find(name))
    conditions = some_conditions([4, 2], controls=CONTROLS, frames=FRAMES)
    model = case.model({**case.trial.filling}, controls=CONTROLS, std=0.05)
    check_sampling(model, some_batch(conditions, FRAMES), conditions, guidance=3.0, guidance_text=1.5)
