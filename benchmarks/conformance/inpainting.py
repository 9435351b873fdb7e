"""Checks of inpainting: known frames stay, the filled span depends on them, and other paradigms refuse to inpaint."""

from __future__ import annotations

import torch
from torch import Tensor

from ...common.errors import UserError
from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Paradigm
from .case import (
    CONTROLS,
    LATENT,
    CheckFailed,
    CheckSkipped,
    ConformanceCase,
    require,
    same,
    some_batch,
    some_conditions,
)

FRAMES, STARTS, HIDDEN = 8, (2, 4), 3
KNOWN_BT = torch.tensor([[not start <= t < start + HIDDEN for t in range(FRAMES)] for start in STARTS])


def known_frames(case: ConformanceCase) -> None:
    """Known frames come back bit for bit, alone and in a batch, with controls and without; or inpainting is refused."""
    if not case.paradigm.inpaints:
        _refused(case)
        raise CheckSkipped("does not claim to inpaint, and refuses to")
    for controls in ((), CONTROLS):
        model = case.model(case.settings.inpainting, controls=controls)
        conditions = some_conditions([4, 2], controls=controls, frames=FRAMES)
        target = _target(case, conditions)
        before = target.clone()
        filled = fill(case, model, target, conditions)
        known = _spread(case, KNOWN_BT, target)
        require(
            filled.shape == target.shape and torch.equal(filled[known], before[known]),
            "inpaint changes known frames",
            "end with torch.where(known, target, filled)",
        )
        require(torch.equal(target, before), "inpaint writes into its target", "work on target.clone()")
        require(not torch.equal(filled, target), "inpaint gives its target back", "draw what known_BT says is hidden")
        alone = fill(case, model, target[:1], conditions[:1], KNOWN_BT[:1])
        require(
            same(alone, filled[:1]),
            "a span filled alone is not the span filled in a batch",
            "draw for each clip from its own stream, and mix nothing over the batch dimension",
        )
    _trains(case, model, conditions)


def span_context(case: ConformanceCase) -> None:
    """The filled span depends on the known frames on both sides, and not on what stood in the span."""
    if not case.paradigm.inpaints:
        raise CheckSkipped("does not claim to inpaint")
    model, conditions = case.model(case.settings.inpainting), some_conditions([4, 2])
    target = _target(case, conditions)
    hidden = ~_spread(case, KNOWN_BT, target)
    base = fill(case, model, target, conditions)[hidden]
    for frame, side in ((1, "before"), (7, "after")):
        apart = fill(case, model, _changed(case, target, frame), conditions)[hidden]
        require(
            not torch.equal(apart, base),
            f"the filling ignores what comes {side} the span",
            "let the model see all known frames while it draws the hidden ones",
        )
    apart = fill(case, model, _changed(case, target, 4), conditions)[hidden]  # frame 4 is inside both spans
    require(
        torch.equal(apart, base),
        "the filling depends on what stood in the span",
        "hide the span of target before the model sees it",
    )


def fill(
    case: ConformanceCase, model: Paradigm, target: Tensor, conditions: Conditions, known_BT: Tensor = KNOWN_BT
) -> Tensor:
    """The clips with their spans filled; ``known_BT`` is true where frames are known."""
    return model.inpaint(target, known_BT, conditions, case.sampler(), ItemRNG([1, 2][: len(target)]))


def _refused(case: ConformanceCase) -> None:
    model, conditions = case.model(), some_conditions([4, 2])
    fix = "let Paradigm.inpaint refuse (a UserError), or set inpaints = True"
    try:
        fill(case, model, _target(case, conditions), conditions)
    except UserError:
        return
    except Exception as error:
        raise CheckFailed(f"inpaints is False, and inpaint raises {type(error).__name__}", fix) from error
    raise CheckFailed("inpaints is False, yet inpaint gives clips", fix)


def _trains(case: ConformanceCase, model: Paradigm, conditions: Conditions) -> None:
    """An update that trains inpainting has a finite loss of its own."""
    data = some_batch(conditions, FRAMES)
    spans = Batch(data.latents_BTD, data.codes_BKT, conditions, KNOWN_BT)
    losses = case.losses(model, spans, [1, 2])
    require(
        bool(torch.isfinite(losses).all()) and not same(losses, case.losses(model, data, [1, 2])),
        "the loss ignores known_BT",
        "where batch.known_BT is given, train to draw the hidden frames from the known",
    )


def _target(case: ConformanceCase, conditions: Conditions) -> Tensor:
    return case.clips(some_batch(conditions, FRAMES))


def _spread(case: ConformanceCase, known_BT: Tensor, like: Tensor) -> Tensor:
    """Known frames as a mask of the clips' shape."""
    return known_BT[:, None].expand_as(like) if case.discrete else known_BT[..., None].expand_as(like)


def _changed(case: ConformanceCase, target: Tensor, frame: int) -> Tensor:
    """The clips with other content in one frame."""
    other = target.clone()
    picked = other.select(2 if case.discrete else 1, frame)
    picked.copy_((picked + 1) % LATENT.cardinality if case.discrete else picked + 3.0)
    return other
