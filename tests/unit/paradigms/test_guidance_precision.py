"""Guidance and what follows it are done in float32, whatever the number format of the model."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench import paradigms
from paradigm_bench.paradigms import ar
from paradigm_bench.paradigms.guidance import Guided, guide
from tests.helpers import make, sample, some_conditions

BRANCHES = {1: Guided(guidance=1.0), 2: Guided(guidance=3.0), 3: Guided(guidance=3.0, guidance_text=1.5)}


def in_double(rows: Tensor, settings: Guided, scale: Any = None) -> Tensor:
    """The formula of the module's docstring in double precision."""
    parts = rows.double().chunk(settings.branches)
    if settings.branches == 1:
        return parts[0]
    everything, null = parts[0], parts[-1]
    guided = null + (settings.guidance if scale is None else float(scale)) * (everything - null)
    return guided + settings.guidance_text * (parts[1] - null) if settings.branches == 3 else guided


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("scale", [None, 2.5, torch.tensor([2.5])])
def test_outputs_in_bf16_are_combined_in_float32(branches: int, scale: Any) -> None:
    """In bf16 the result would be off by 2^-9 of the sum of its terms, a hundred times what is allowed here."""
    rows = 8 * torch.randn(branches * 4, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    settings = BRANCHES[branches]
    guided = guide(rows, settings, scale)
    assert guided.dtype == torch.float32
    assert_close(guided.double(), in_double(rows, settings, scale), rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize("name", paradigms.names())
@pytest.mark.parametrize("converted", [False, True])
def test_every_paradigm_guides_in_float32(name: str, converted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under bf16 autocast, and with weights in bf16, as a study with ``evaluation.precision: bf16`` samples."""
    seen = list[float]()

    def watched(rows: Tensor, settings: Guided, scale: Any = None) -> Tensor:
        guided = guide(rows, settings, scale)
        assert guided.dtype == torch.float32
        assert_close(guided.double(), in_double(rows, settings, scale), rtol=1e-5, atol=1e-5)
        seen.append(float(guided.abs().max()))
        return guided

    def drawn(logits: Tensor, *rest: Any) -> Tensor:
        assert logits.dtype == torch.float32
        codes = draw(logits, *rest)
        assert torch.equal(codes, draw(logits.double(), *rest))
        return codes

    draw = ar.draw
    monkeypatch.setattr(ar, "draw", drawn)
    for module in [m for n, m in sys.modules.items() if n.startswith("paradigm_bench.paradigms.") and m is not None]:
        if vars(module).get("guide") is guide:
            monkeypatch.setattr(module, "guide", watched)
    model = make(name).bfloat16() if converted else make(name)
    with torch.autocast("cpu", torch.bfloat16, enabled=not converted):
        clips = sample(model, some_conditions([4, 2]), 5, [1, 2], guidance=3.0)
    assert seen
    assert min(seen) > 0
    assert clips.dtype == (torch.int64 if model.view == "codes" else torch.float32)
