"""Checks of what GPUs ask for: half precision, a loss that does not wait for the device, no parameter left unused."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Paradigm
from .case import Case, demand
from .filling import KNOWN_BT
from .toys import BACKBONES, CONTROLS, some_batch, some_conditions

FRAMES = KNOWN_BT.shape[1]
CLOSE = 0.05
"""bf16 has 8 bits of mantissa, so a loss of hundreds of terms agrees to some percent."""


def precision(case: Case) -> None:
    """In bf16 losses are near those in single precision, gradients finite, and clips finite."""
    mend = (
        "cast parameters and buffers to the dtype of what they are combined with, such as x.new_zeros or .to(x.dtype)"
    )
    for name, backbone in BACKBONES.items():
        for batch in _batches(case):
            model = case.model(case.trial.filling, backbone=backbone, controls=CONTROLS, std=0.05).train()
            single, half = (losses(model, batch, on) for on in (False, True))
            demand(
                torch.allclose(half, single, rtol=CLOSE, atol=0.02),
                f"the loss in bf16 is {half.tolist()}, in fp32 {single.tolist()} ({name})", mend,
            )  # fmt: skip
            finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
            demand(finite, f"gradients in bf16 are not finite ({name})", mend)
        converted = case.model(backbone=backbone, std=0.05).bfloat16()
        clips = case.sample(converted, some_conditions([4, 2]), FRAMES, [1, 2])
        demand(bool(torch.isfinite(clips.float()).all()), f"clips in bf16 are not finite ({name})", mend)


def device(case: Case) -> None:
    """The loss is computed on the device alone: it draws no noise on the host and reads no number back."""
    mend = (
        "take what the host must know from shared, batch.hidden_frames or the options; use where, gather and sort in "
        "place of boolean indices, nonzero, item() and loops over rows"
    )
    for batch in _batches(case):
        model = case.model(case.trial.filling, controls=CONTROLS).to("meta")
        try:
            model.loss(batch.to("meta"), ItemRNG([1, 2], "meta"), ItemRNG([5])).mean.backward()
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            demand(False, f"on tensors without data the loss stops: {reason}", mend)


def unused(case: Case) -> None:
    """Unless ``leaves_parameters_unused`` says so, every update gives every parameter a gradient."""
    if case.paradigm.leaves_parameters_unused:
        return
    for batch in _batches(case):
        for conditions in (batch.conditions, batch.conditions.null(), batch.conditions.text_alone()):
            for seed in range(4):
                model = case.model(case.trial.filling, controls=CONTROLS).train()
                asked = dataclasses.replace(batch, conditions=conditions)
                model.loss(asked, ItemRNG([1, 2]), ItemRNG([seed])).mean.backward()
                idle = [name for name, p in model.named_parameters() if p.grad is None]
                demand(
                    not idle, f"an update leaves {', '.join(idle[:3])} without a gradient",
                    "leave leaves_parameters_unused as it is (True), or use all parameters in every update",
                )  # fmt: skip


def _batches(case: Case) -> list[Batch]:
    """An update of plain training, and one that trains inpainting where the paradigm does."""
    conditions = some_conditions([4, 2], controls=CONTROLS, frames=FRAMES)
    plain = some_batch(conditions, FRAMES)
    hidden = int((~KNOWN_BT[0]).sum())
    spans = dataclasses.replace(plain, known_BT=KNOWN_BT, hidden=hidden)
    return [dataclasses.replace(plain, hidden=FRAMES), *([spans] if case.paradigm.inpaints else [])]


def losses(model: Paradigm, batch: Batch, half: bool) -> Tensor:
    """Losses (B,) of an update, in bf16 or fp32; leaves its gradients in the model."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model.loss(batch, ItemRNG([1, 2]), ItemRNG([5]))
    loss.mean.backward()
    return loss.per_item_B.detach().float()
