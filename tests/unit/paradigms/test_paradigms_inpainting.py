"""Inpainting: what is known stays bit for bit, the rest follows it, and each method is what its source says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench import paradigms
from paradigm_bench.benchmarks.axes.inpainting.measure import InpaintingGroup
from paradigm_bench.benchmarks.conformance import ConformanceCase
from paradigm_bench.benchmarks.conformance.inpainting import known_frames, span_context
from paradigm_bench.benchmarks.study.axis import Context, UnsupportedError
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms import infill
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.base import Batch, Conditions, Paradigm
from paradigm_bench.paradigms.delay import delay
from paradigm_bench.paradigms.fm import FM
from paradigm_bench.paradigms.masked_fm import MaskedFM
from paradigm_bench.paradigms.masks import context_first
from tests.helpers import (
    BACKBONE,
    LATENT,
    OPTIONS,
    SAMPLERS,
    TEXT,
    assert_greedy,
    make,
    perturb,
    some_batch,
    some_conditions,
)
from tests.unit.paradigms.test_paradigms_controls import CONTROLS

FRAMES, STARTS, HIDDEN = 8, (2, 4), 3
KNOWN_BT = torch.tensor([[not start <= t < start + HIDDEN for t in range(FRAMES)] for start in STARTS])
MIDDLE = {"ar": {"fill_middle": True}}


def filling(name: str, controls: bool = False, std: float = 0.1) -> Paradigm:
    options = {**OPTIONS.get(name, {}), **MIDDLE.get(name, {})}
    torch.manual_seed(0)
    model = paradigms.build(name, options, BACKBONE, LATENT, TEXT, CONTROLS if controls else ())
    return perturb(model, std).eval()


def clips(model: Paradigm, conditions: Conditions) -> Tensor:
    batch = some_batch(conditions, FRAMES)
    return batch.codes_BKT if model.view == "codes" else batch.latents_BTD


def fill(model: Paradigm, target: Tensor, conditions: Conditions, settings: dict, known: Tensor = KNOWN_BT) -> Tensor:
    sampler = model.sampler({**SAMPLERS[model.name], **settings})
    return model.inpaint(target, known, conditions, sampler, ItemRNG([1, 2][: len(target)]))


def test_other_ways_to_fill_keep_what_is_known() -> None:
    """Beside the defaults, which test_conformance has; the inversion of zero_shot passes through the whole clip."""
    known_frames(ConformanceCase(FM, sampler={"inpainting": "zero_shot"}))
    for check in (known_frames, span_context):
        check(ConformanceCase(MaskedFM, sampler={"repredict": True}))


def test_fill_in_the_middle_by_hand() -> None:
    """<a> A <c> C <b> B, with tokens 11 + 1, 2, 3, before the delay."""
    order = infill.arrangement(KNOWN_BT)
    assert order[0].tolist() == [-1, 0, 1, -2, 5, 6, 7, -3, 2, 3, 4]
    codes = torch.arange(FRAMES).expand(2, 3, -1)
    put = infill.arrange(codes, order, 12)
    assert put[0, 0].tolist() == [12, 0, 1, 13, 5, 6, 7, 14, 2, 3, 4]
    assert put[1, 2].tolist() == [12, 0, 1, 2, 3, 13, 7, 14, 4, 5, 6]
    assert context_first(KNOWN_BT)[1].tolist() == [0, 1, 2, 3, 7, 4, 5, 6]
    with pytest.raises(ValueError, match="exactly one span"):
        infill.check_spans(torch.tensor([[True, False, True, False]]))


def test_arranged_frames_keep_their_time() -> None:
    """Where a segment is empty, its special token follows the frame that was read last."""
    order = infill.arrangement(KNOWN_BT)
    assert order[0].tolist() == [-1, 0, 1, -2, 5, 6, 7, -3, 2, 3, 4]
    assert infill.column_times(order, 14)[0].tolist() == [0, 0, 1, 2, 5, 6, 7, 8, 2, 3, 4, 5, 6, 7]
    without_c = infill.arrangement(torch.tensor([[True, True, False, False]]))
    assert infill.column_times(without_c, 8)[0].tolist() == [0, 0, 1, 2, 2, 2, 3, 4]
    without_a = infill.arrangement(torch.tensor([[False, False, True, True]]))
    assert infill.column_times(without_a, 8)[0].tolist() == [0, 0, 2, 3, 4, 0, 1, 2]


@torch.no_grad()
def test_ar_filling_equals_uncached_argmax() -> None:
    """Every code of the span is the likeliest after the rearranged sequence before it, which no cache holds."""
    model, conditions = filling("ar"), some_conditions([4, 2])
    assert isinstance(model, AR)
    filled = fill(model, clips(model, conditions), conditions, {"temperature": 0.0})
    arranged = infill.arrange(filled, infill.arrangement(KNOWN_BT), 12)
    hidden = torch.zeros_like(arranged)
    hidden[..., FRAMES:] = 1  # of the rearranged frames, the first 8 are known
    assert arranged.shape[2] == FRAMES + HIDDEN
    times = infill.column_times(infill.arrangement(KNOWN_BT), arranged.shape[2] + 2)
    assert_greedy(model, delay(arranged, 11), delay(hidden, 0).bool(), conditions, guidance=2.0, times_BS=times)


@torch.no_grad()
def test_zero_shot_by_hand() -> None:
    """Algorithm 1, one clip, with the noises list as printed and its indices mended."""
    model, conditions = filling("fm"), some_conditions([4])
    assert isinstance(model, FM)
    source, text, steps, known = clips(model, conditions), model.read_text(conditions), 4, KNOWN_BT[:1, :, None]

    def v(z: Tensor, t: float) -> Tensor:
        return model.velocity(z, torch.tensor([t]), text)

    z, noises = source, []
    for i in range(steps):
        z = z - v(z, 1 - i / steps) / steps
        noises.append(z)
    z = ItemRNG([1]).normal(FRAMES, 6)
    for i, n in enumerate(noises[::-1]):
        z = torch.where(known, n, z)
        z = z + v(z, i / steps) / steps
    expected = torch.where(known, source, z)
    ours = fill(model, source, conditions, {"guidance": 1.0, "inpainting": "zero_shot"}, KNOWN_BT[:1])
    assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="zero_shot inpainting inverts Euler"):
        model.sampler({"inpainting": "zero_shot", "solver": "heun"})


@pytest.mark.parametrize("name", ["ar", "fm", "mar", "mntp", "masked_fm"])
def test_training_on_spans_learns_from_the_hidden_frames(name: str) -> None:
    """Gradients flow; for what is learnt on the span alone, targets outside it do not matter."""
    model, conditions = filling(name), some_conditions([4, 2])
    batch = some_batch(conditions, FRAMES)
    spans = Batch(batch.latents_BTD, batch.codes_BKT, conditions, KNOWN_BT)
    loss = model.loss(spans, ItemRNG([1, 2]), ItemRNG([3]))
    loss.mean.backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in model.parameters())
    whole = model.loss(batch, ItemRNG([1, 2]), ItemRNG([3]))
    assert not torch.allclose(loss.per_item_B, whole.per_item_B)


def test_who_cannot_fill_says_so() -> None:
    conditions = some_conditions([4, 2])
    plain, ntp = make("ar"), make("ntp")
    assert not ntp.inpaints
    with pytest.raises(UserError, match=r"options\.fill_middle: true"):
        fill(plain, clips(plain, conditions), conditions, {})
    with pytest.raises(UserError, match="target_positions: true"):
        fill(ntp, clips(ntp, conditions), conditions, {})


def test_an_arm_that_cannot_fill_is_unsupported_before_it_is_trained(tmp_path: Path) -> None:
    cell = Cell("inpainting", "ntp", "paradigm", 0, 1, "group", {"axis": "inpainting", "model": {"paradigm": "ntp"}})
    with pytest.raises(UnsupportedError, match="'ntp' cannot inpaint"):
        InpaintingGroup([cell], Context("study", tmp_path, tmp_path))
