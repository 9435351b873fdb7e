"""Every paradigm and its options in half precision: training, sampling and filling, near to single precision."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.benchmarks.conformance.case import (
    BACKBONES,
    CONTROLS,
    EMBEDDED,
    TEXT,
    ConformanceCase,
    some_batch,
    some_conditions,
    some_embeddings,
)
from paradigm_bench.benchmarks.conformance.hardware import losses
from paradigm_bench.benchmarks.conformance.inpainting import KNOWN_BT
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch, Conditions, Paradigm
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


class CudaRules(TorchFunctionMode):
    """What autocast on CUDA computes in fp32 and autocast on the CPU does not, from torch's list of both.

    With it layer norms give fp32 in the middle of bf16, which is where dtypes part on a GPU and not here.
    """

    IN_FP32 = (
        "layer_norm", "softmax", "log_softmax", "cumsum", "cumprod", "exp", "log", "pow", "__pow__", "norm", "prod",
        "reciprocal", "rsqrt", "sum", "tan", "cross_entropy", "mse_loss", "nll_loss", "softplus",
    )  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.IN_FP32:
            args = [single(value) for value in args]
            kwargs = {name: single(value) for name, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


def single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def gradients(model: Paradigm) -> Tensor:
    """All gradients in one vector; zero where a parameter has none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])


def check_training(model: Paradigm, batch: Batch) -> None:
    """bf16 has 8 bits, so a loss of many terms agrees to some percent; a wrong branch of the code is far off."""
    model.train()
    exact, wanted = losses(model, batch, half=False), gradients(model)
    for rules in ("cpu", "cuda"):
        with CudaRules() if rules == "cuda" else contextlib.nullcontext():
            half = losses(model, batch, half=True)
        found = gradients(model)
        assert torch.allclose(half, exact, rtol=0.05, atol=0.02), (rules, half, exact)
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
    case = ConformanceCase(paradigms.find(name))
    conditions = some_conditions([4, 2], controls=controls, frames=FRAMES)
    batch = some_batch(conditions, FRAMES)
    check_training(case.model(options, controls=controls, std=0.05), batch)
    check_sampling(case.model(options, controls=controls, std=0.05), batch, conditions)
    if paradigms.find(name).inpaints:
        hidden = Batch(batch.latents_BTD, batch.codes_BKT, batch.conditions, KNOWN_BT)
        check_training(case.model({**options, **case.settings.inpainting}, controls=controls, std=0.05), hidden)


@pytest.mark.parametrize("kind", [*MORE_BACKBONES, "embeddings"])
@pytest.mark.parametrize("name", paradigms.names())
def test_backbones_in_half_precision(name: str, kind: str) -> None:
    options = {"mae": False} if kind == "skips" and name == "mar" else {}
    backbone = MORE_BACKBONES.get(kind, MORE_BACKBONES["cross"])
    case, embedded = ConformanceCase(paradigms.find(name), backbone=backbone), kind == "embeddings"
    conditions = some_embeddings(2) if embedded else some_conditions([4, 2])
    model = case.model(options, text=EMBEDDED if embedded else TEXT, std=0.05)
    check_training(model, some_batch(conditions, FRAMES))
    check_sampling(model, some_batch(conditions, FRAMES), conditions)


def test_the_rules_of_cuda_are_other_rules() -> None:
    x, layer = torch.randn(2, 8), torch.nn.LayerNorm(8)
    with torch.autocast("cpu", torch.bfloat16):
        half = torch.nn.functional.linear(x, torch.eye(8))
        assert layer(half).dtype == torch.bfloat16
        with CudaRules():
            assert layer(half).dtype == torch.float32


@pytest.mark.parametrize("name", paradigms.names())
def test_three_branches_in_half_precision(name: str) -> None:
    case = ConformanceCase(paradigms.find(name))
    conditions = some_conditions([4, 2], controls=CONTROLS, frames=FRAMES)
    model = case.model({**case.settings.inpainting}, controls=CONTROLS, std=0.05)
    check_sampling(model, some_batch(conditions, FRAMES), conditions, guidance=3.0, guidance_text=1.5)
