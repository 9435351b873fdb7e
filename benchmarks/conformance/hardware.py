"""Checks of what GPUs need: half precision, a loss that does not wait for the device, no unused parameters."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Paradigm
from .case import BACKBONES, CONTROLS, ConformanceCase, require, some_batch, some_conditions
from .inpainting import KNOWN_BT

FRAMES = KNOWN_BT.shape[1]
CLOSE = 0.05  # bf16 has 8 bits of mantissa, so a loss of hundreds of terms agrees to a few percent


def precision(case: ConformanceCase) -> None:
    """Losses in bf16 are close to those in single precision; gradients and clips in bf16 are finite."""
    fix = "cast parameters and buffers to the dtype of what they are combined with, such as x.new_zeros or .to(x.dtype)"
    for name, backbone in BACKBONES.items():
        for batch in _batches(case):
            model = case.model(case.settings.inpainting, backbone=backbone, controls=CONTROLS, std=0.05).train()
            single, half = (losses(model, batch, on) for on in (False, True))
            require(
                torch.allclose(half, single, rtol=CLOSE, atol=0.02),
                f"the loss in bf16 is {half.tolist()}, in fp32 {single.tolist()} ({name})",
                fix,
            )
            finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
            require(finite, f"gradients in bf16 are not finite ({name})", fix)
        converted = case.model(backbone=backbone, std=0.05).bfloat16()
        clips = case.sample(converted, some_conditions([4, 2]), FRAMES, [1, 2])
        require(bool(torch.isfinite(clips.float()).all()), f"clips in bf16 are not finite ({name})", fix)


def device(case: ConformanceCase) -> None:
    """The loss is computed on the device alone: no noise is drawn on the host and no number is read back."""
    fix = (
        "take what the host must know from shared, batch.hidden_frames or the options; use where, gather and sort in "
        "place of boolean indices, nonzero, item() and loops over rows"
    )
    for batch in _batches(case):
        model = case.model(case.settings.inpainting, controls=CONTROLS).to("meta")
        try:
            model.loss(batch.to("meta"), ItemRNG([1, 2], "meta"), ItemRNG([5])).mean.backward()
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            require(False, f"on tensors without data the loss stops: {reason}", fix)


def unused(case: ConformanceCase) -> None:
    """Every update gives every parameter a gradient, unless ``leaves_parameters_unused`` is set."""
    if case.paradigm.leaves_parameters_unused:
        return
    for batch in _batches(case):
        for conditions in (batch.conditions, batch.conditions.null(), batch.conditions.text_alone()):
            for seed in range(4):
                model = case.model(case.settings.inpainting, controls=CONTROLS).train()
                asked = dataclasses.replace(batch, conditions=conditions)
                model.loss(asked, ItemRNG([1, 2]), ItemRNG([seed])).mean.backward()
                idle = [name for name, p in model.named_parameters() if p.grad is None]
                require(
                    not idle,
                    f"an update leaves {', '.join(idle[:3])} without a gradient",
                    "leave leaves_parameters_unused as it is (True), or use all parameters in every update",
                )


def _batches(case: ConformanceCase) -> list[Batch]:
    """A batch of plain training, and one that trains inpainting if the paradigm can inpaint."""
    conditions = some_conditions([4, 2], controls=CONTROLS, frames=FRAMES)
    plain = some_batch(conditions, FRAMES)
    hidden = int((~KNOWN_BT[0]).sum())
    spans = dataclasses.replace(plain, known_BT=KNOWN_BT, hidden=hidden)
    return [dataclasses.replace(plain, hidden=FRAMES), *([spans] if case.paradigm.inpaints else [])]


def losses(model: Paradigm, batch: Batch, half: bool) -> Tensor:
    """Losses (B,) of an update in bf16 (``half``) or fp32; its gradients stay in the model."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model.loss(batch, ItemRNG([1, 2]), ItemRNG([5]))
    loss.mean.backward()
    return loss.per_item_B.detach().float()
