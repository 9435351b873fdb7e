"""What sampling costs: operations against torch's own counter on real clips, bytes against the tensors' sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
import torch

from paradigm_bench.backbones import BackboneConfig, preset
from paradigm_bench.backbones.cache import KVCache
from paradigm_bench.backbones.cost import BackboneCost, Phase, bound_seconds
from paradigm_bench.benchmarks.conformance.accounting import BATCH, FRAMES, measured_flops
from paradigm_bench.benchmarks.conformance.case import EMBEDDED as TEXT
from paradigm_bench.benchmarks.conformance.case import some_embeddings
from paradigm_bench.paradigms.base import Conditions, Paradigm
from tests.helpers import HEAD, SAMPLERS, make

TOKENS = TEXT.max_length
CROSS = BackboneConfig(d_model=32, n_layers=4, n_heads=4, d_ff=80)
PREFIX = dataclasses.replace(CROSS, text="prefix", positions="learned")
CASES = [
    ("ar", CROSS, {}, {}),
    ("ar", PREFIX, {}, {"guidance": 1.0}),
    ("ar", dataclasses.replace(CROSS, skips=True), {}, {}),
    ("fm", CROSS, {}, {}),
    ("fm", dataclasses.replace(PREFIX, skips=True), {}, {"solver": "heun"}),
    ("fm", CROSS, {}, {"solver": "midpoint", "guidance": 1.0}),
    ("fm", dataclasses.replace(CROSS, time="adaln"), {}, {}),
    ("fm", CROSS, {}, {"solver": "dopri5", "tolerance": 1e-2}),
    ("mar", CROSS, {}, {}),
    ("mar", PREFIX, {}, {}),
    ("mar", PREFIX, {"mae": False}, {}),
    ("mar", CROSS, {}, {"guidance": 1.0, "iterations": 64}),
    ("mntp", CROSS, {}, {}),
    ("ntp", PREFIX, {}, {"guidance": 1.0}),
    ("mar", CROSS, {"head": {**HEAD, "objective": "flow"}}, {}),
    ("masked_fm", CROSS, {}, {}),
    ("masked_fm", PREFIX, {"head": {"depth": 2, "width": 16}}, {"solver": "heun", "repredict": True}),
    ("masked_fm", CROSS, {"span": 1, "head": {"kind": "mlp"}}, {"guidance": 1.0, "iterations": 8}),
]


def total(phases: Iterable[Phase]) -> float:
    return sum(phase.times * phase.flops for phase in phases)


@pytest.mark.parametrize(("name", "backbone", "options", "settings"), CASES)
def test_operations_are_those_that_torch_counts(
    name: str, backbone: BackboneConfig, options: dict, settings: dict
) -> None:
    model = make(name, options, backbone=backbone, text=TEXT)
    sampler = model.sampler({**SAMPLERS[name], **settings})
    measured = measured_flops(model, sampler)
    assert total(model.cost(BATCH, FRAMES, sampler, TOKENS)) == pytest.approx(measured, rel=0.02)


def size(model: Paradigm, *parts: str, without: tuple[str, ...] = ()) -> int:
    """Bytes of the parameters whose names hold one of ``parts`` and none of ``without``."""
    return sum(
        p.numel() * p.element_size()
        for name, p in model.named_parameters()
        if any(part in name for part in parts) and not any(part in name for part in without)
    )


@pytest.mark.parametrize("name", ["ar", "fm", "mar", "mntp", "masked_fm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_the_sizes_of_the_tensors(name: str, dtype: torch.dtype) -> None:
    model = make(name, backbone=CROSS, text=TEXT).to(dtype)
    element = dtype.itemsize
    phases = model.cost(BATCH, FRAMES, model.sampler({**SAMPLERS[name], "guidance": 2.0}), TOKENS, element)
    memory = model.read_text(Conditions(some_embeddings(BATCH).text.to(dtype), some_embeddings(BATCH).text_mask_BL))
    text = sum(tensor.nbytes for tensor in memory.cross)
    by_name = {phase.name: phase for phase in phases}  # of each name the last, in which the cache is full
    assert by_name["text"].bytes == size(model, "cross_attention.kv", "text_conditioner.") + text
    if name == "ar":
        positions = FRAMES + model.codebooks - 1
        cache = KVCache(CROSS, 2 * BATCH, positions, dtype=dtype)
        rows = 2 * BATCH * model.codebooks * CROSS.d_model * element  # embeddings looked up
        weights = size(model, "backbone.", "head.", without=("cross_attention.kv",))
        held = sum(layer.nbytes for layer in cache.layers)
        assert by_name["step"].bytes == weights + held + text + rows
    elif name == "mntp":
        held = sum(layer.nbytes for layer in KVCache(CROSS, 2 * BATCH, FRAMES, dtype=dtype).layers)
        weights = size(model, "backbone.", without=("cross_attention.kv",)) + size(model, "inputs.", without=("head.",))
        assert by_name["step"].bytes == weights + size(model, "target_code.") + held + text
    else:
        weights = size(model, "backbone.", without=("cross_attention.kv",)) + size(model, "inputs.", without=("head.",))
        if name == "fm":
            assert by_name["evaluation"].bytes == weights + size(model, "head.") + text
        elif name == "masked_fm":
            assert by_name["step"].bytes == weights + text
            assert by_name["head condition"].bytes == size(model, "head.condition")
            assert by_name["head step"].bytes == size(model, "head.", without=("head.condition",))
        else:
            norm_twice = 2 * CROSS.d_model * element  # the final norm, counted for both halves
            assert by_name["step"].bytes == weights + text + norm_twice
    if name in ("mar", "mntp"):
        ahead = ("head.step_embedding", "head.condition", "head.blocks.0.modulation", "head.blocks.1.modulation")
        assert by_name["head modulations"].bytes == size(model, *ahead, "head.modulation_out", "head.error")
        inside = size(model, "head.", without=("step_embedding", "condition", "modulation", "error"))
        assert by_name["head step"].bytes == inside


def test_the_bound_takes_the_longer_of_both_at_every_step() -> None:
    phases = [Phase("read", 3, flops=10, bytes=100), Phase("multiply", 2, flops=100, bytes=10)]
    assert bound_seconds(phases, flops_per_s=10, bytes_per_s=20) == 3 * 5 + 2 * 10


def test_full_size_in_bfloat16_by_hand() -> None:
    """24 layers of 4 + 2 + 8 squares of 1024 (cross-attention's keys and values are not read again) and norms; 98,304
    bytes of cache per position and row.
    """
    count = BackboneCost(preset("400m"), 2)
    one, two = (count.run(1, 1, keys, 0, 0, cached=True)[1] for keys in (1, 2))
    assert two - one == 2 * 24 * 1024 * 2 == 98_304
    assert one - (two - one) == 2 * (24 * (14 * 1024**2 + 6 * 1024) + 2 * 1024)
