"""Comparisons of sampled clips: captured steps against plain steps, and the GPU against the CPU.

Latents are compared by their relative error.

Codes of an autoregressive model cannot be compared in that way. Two devices round differently, one differing code
changes all codes after it, and this is no error. So each code is compared with the random number that selected it:
``code_error`` computes the distribution of every code from the codes before it, in one pass over the whole clip, and
measures how far the random number lies from the interval that the distribution function assigns to the code.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gpu.toys import CONTROLS, DTYPES, Size, build, clips_of, conditions_of, hidden_span, sampler_of
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms import infill
from paradigm_bench.paradigms.ar import AR, ranked
from paradigm_bench.paradigms.base import Conditions, Paradigm
from paradigm_bench.paradigms.delay import delay, pattern_mask
from paradigm_bench.paradigms.guidance import guide
from paradigm_bench.paradigms.session import capture_count, capture_failures, plain_steps

LENGTHS = (16, 9)
"""Tokens of the two prompts of a batch."""
LIMITS = {
    # On a CPU, fp32 clips agree with fp64 clips to 1e-6, after 70 steps too. A GPU library may sum in another order in
    # a captured step. Sampling with the wrong prompt gives an error of 1e-1 or more (``toys.STD``).
    ("latents", "fp32"): 1e-3,
    # bf16 has a relative rounding error of 4e-3. On a CPU, bf16 clips agree with fp32 clips to 1.4e-2.
    ("latents", "bf16"): 5e-2,
    # The error is 0 in exact arithmetic, 1/3 if steps ignore the random numbers, and 2e-1 with the wrong prompt. Two
    # codes of almost equal probability may swap places in the distribution function. This moves one of some 500 random
    # numbers out of its interval, by one probability, about 1 / codes, and adds less than 1e-4 to the mean.
    ("codes", "fp32"): 1e-3,
    ("codes", "bf16"): 2e-2,  # 6e-3 on a CPU
}
"""Largest error that is accepted."""


@dataclass(frozen=True)
class SamplingSetting:
    """What is sampled.

    Attributes:
        controls: whether clips follow temporal controls.
        branches: branches of guidance: 2, or 3 with the text alone as a branch.
        inpainting: whether a span is inpainted. Otherwise whole clips are drawn.
    """

    paradigm: str
    text: str = "cross"
    dtype: str = "fp32"
    controls: bool = False
    branches: int = 2
    inpainting: bool = False

    @property
    def name(self) -> str:
        """Name in the lines of the check."""
        branches = f"{self.branches} branches" if self.branches > 2 else ""
        extra = ["controls" * self.controls, branches, "inpainting" * self.inpainting]
        return " ".join([self.paradigm, self.text, self.dtype, *filter(None, extra)])


class SamplingCase:
    """One setting on one device. Clips are drawn when they are first needed."""

    def __init__(self, setting: SamplingSetting, device: str, size: Size) -> None:
        self.setting, self.device, self.size = setting, device, size

    @cached_property
    def reference(self) -> Paradigm:
        """Model on the CPU in fp32, with weights rounded to the number format of the setting."""
        return self._build().to(DTYPES[self.setting.dtype]).float()

    @cached_property
    def model(self) -> Paradigm:
        """Model with the same weights on the device, in the number format of the setting."""
        return self._build().to(self.device, DTYPES[self.setting.dtype])

    def _build(self) -> Paradigm:
        setting = self.setting
        controls = CONTROLS if setting.controls else ()
        return build(setting.paradigm, self.size, setting.text, controls, setting.inpainting)

    @cached_property
    def plain(self) -> Tensor:
        """Clips of batch 0 on the device by plain steps."""
        with plain_steps():
            return self.draw(self.model, 0)

    @cached_property
    def captured(self) -> Tensor:
        """Clips of batch 0 on the device by captured steps; batches 1 and 2 come first and do the capturing."""
        self.before = capture_count(), len(capture_failures())
        for batch in (1, 2):
            self.draw(self.model, batch)
        return self.draw(self.model, 0)

    @cached_property
    def on_cpu(self) -> Tensor:
        """Clips of batch 0 by the reference."""
        return self.draw(self.reference, 0)

    def failures(self) -> float:
        """Number of kinds of steps that could not be captured: 0.

        Raises:
            AssertionError: a kind of step could not be captured, or nothing was captured at all.
        """
        assert self.captured is not None
        captures, failed = self.before
        assert not capture_failures()[failed:], "; ".join(capture_failures()[failed:])
        assert capture_count() > captures, "no step was captured"
        return 0.0

    def against_plain(self) -> float:
        """Error of captured steps against plain steps."""
        if isinstance(self.model, AR):
            return self.code_error(self.model)
        return error(self.captured, self.plain)

    def against_cpu(self) -> float:
        """Error of captured steps on the device against the reference."""
        if isinstance(self.model, AR):
            return self.code_error(self.reference)
        return error(self.captured, self.on_cpu)

    def code_error(self, model: Paradigm) -> float:
        """Error of the codes of captured steps by the distributions of ``model``."""
        known_BT = hidden_span(len(LENGTHS), self.size.frames) if self.setting.inpainting else None
        given = self.conditions(model, 0), self.rng(model, 0), self.sampler(model)
        return code_error(model, self.captured, *given, known_BT)

    def limit(self) -> float:
        """Limit of both errors."""
        return LIMITS[self.model.view, self.setting.dtype]

    def draw(self, model: Paradigm, batch: int) -> Tensor:
        """Draw two clips. Each ``batch`` has its own noise, prompts, controls and known frames."""
        conditions, rng = self.conditions(model, batch), self.rng(model, batch)
        sampler = self.sampler(model)
        if not self.setting.inpainting:
            return model.generate(conditions, self.size.frames, sampler, rng).cpu()
        target = clips_of(model, len(LENGTHS), self.size.frames, batch)
        known_BT = hidden_span(len(LENGTHS), self.size.frames)
        filled = model.inpaint(target.to(rng.device), known_BT.to(rng.device), conditions, sampler, rng).cpu()
        known = known_BT[:, None].expand_as(target) if model.view == "codes" else known_BT
        assert torch.equal(filled[known], target[known]), "inpainting changed known frames"
        return filled

    def sampler(self, model: Paradigm) -> Any:
        """Sampler settings."""
        return sampler_of(model, **({"guidance_text": 1.5} if self.setting.branches == 3 else {}))

    def conditions(self, model: Paradigm, batch: int) -> Conditions:
        """Prompts and controls on the device of ``model``."""
        weight = next(model.parameters())
        controls = CONTROLS if self.setting.controls else ()
        made = conditions_of(LENGTHS, batch, DTYPES[self.setting.dtype], controls, self.size.frames)
        return Conditions(made.text.to(weight.dtype), made.text_mask_BL, made.controls).to(weight.device)

    def rng(self, model: Paradigm, batch: int) -> ItemRNG:
        """Random streams of the clips on the device of ``model``."""
        return ItemRNG([10 + batch, 20 + batch], next(model.parameters()).device)


@torch.no_grad()
def code_error(
    model: Any, codes_BKT: Tensor, conditions: Conditions, rng: ItemRNG, sampler: Any, known_BT: Tensor | None = None
) -> float:
    """Mean distance between the random number of each code and the interval of that code.

    Args:
        model: computes the distributions. It is autoregressive.
        rng: in the state in which the clips were drawn.
        known_BT: False on the span that was inpainted. None: whole clips were drawn.
    """
    codes, first, times = codes_BKT.to(rng.device), 0, None
    if known_BT is not None:
        order = infill.arrangement(known_BT.to(rng.device))
        codes = infill.arrange(codes, order, model.special + 1)
        conditions = infill.arrange_controls(conditions, order)
        first = codes.shape[2] - int((~known_BT[0]).sum())
        times = infill.column_times(order, codes.shape[2] + codes.shape[1] - 1).repeat(sampler.branches, 1)
    frames, codebooks = codes.shape[2], codes.shape[1]
    delayed = delay(codes, model.special)
    controls = model.column_controls(conditions, frames, sampler.branches)
    logits = model.logits(
        delayed[..., :-1].repeat(sampler.branches, 1, 1),
        model.read_text(conditions, sampler.branches),
        controls_BSC=None if controls is None else controls[:, :-1],
        times_BS=times,
    )
    logits_BSKN = guide(logits.float(), sampler)[:, first:]
    uniforms_BSK = rng.uniform(frames + codebooks - 1 - first, codebooks)
    errors_BSK = distances(logits_BSKN, delayed[..., 1 + first :].transpose(1, 2), uniforms_BSK, sampler)
    drawn_SK = pattern_mask(frames, codebooks, rng.device, first=first)[:, 1 + first :].T
    return float(errors_BSK[drawn_SK.expand_as(errors_BSK)].mean())


def distances(logits: Tensor, codes: Tensor, uniforms: Tensor, sampler: Any) -> Tensor:
    """Distance of each random number from the interval of its code; special codes give a number without meaning."""
    ordered, by_rank, keep = ranked(logits, sampler)
    kept = ordered * keep
    cdf = kept.cumsum(dim=-1) / kept.sum(dim=-1, keepdim=True)
    rank = (by_rank == codes[..., None]).int().argmax(dim=-1, keepdim=True)
    high = cdf.gather(-1, rank)[..., 0]
    low = torch.where(rank[..., 0] > 0, cdf.gather(-1, (rank - 1).clamp(min=0))[..., 0], 0.0)
    return (low - uniforms).clamp(min=0) + (uniforms - high).clamp(min=0)


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative error of latents, |ours - theirs| / |theirs|; share of codes that differ."""
    if not ours.is_floating_point():
        return float((ours != theirs).double().mean())
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def comparisons(setting: SamplingSetting, device: str, size: Size) -> Iterator[tuple[str, Any, Any]]:
    """Comparisons of one setting: name, function that computes the error, function that returns its limit."""
    case = SamplingCase(setting, device, size)
    yield f"{setting.name}: captured / plain", case.against_plain, case.limit
    yield f"{setting.name}: {device} {setting.dtype} / cpu fp32", case.against_cpu, case.limit
    yield f"{setting.name}: steps not captured", case.failures, lambda: 0.0
    del case
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
