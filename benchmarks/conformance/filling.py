"""Checks of inpainting: what is known stays, the span follows it, and who cannot fill says so."""

from __future__ import annotations

import torch
from torch import Tensor

from ...common.errors import UserError
from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Paradigm
from .case import Case, Fault, Skipped, demand, same
from .toys import CONTROLS, LATENT, some_batch, some_conditions

FRAMES, STARTS, HIDDEN = 8, (2, 4), 3
KNOWN_BT = torch.tensor([[not start <= t < start + HIDDEN for t in range(FRAMES)] for start in STARTS])


def known_frames(case: Case) -> None:
    """Known frames come back bit for bit, alone as in a batch, with controls or without; or inpainting is refused."""
    if not case.paradigm.inpaints:
        _refused(case)
        raise Skipped("does not claim to inpaint, and refuses to")
    for controls in ((), CONTROLS):
        model = case.model(case.trial.filling, controls=controls)
        conditions = some_conditions([4, 2], controls=controls, frames=FRAMES)
        target = _target(case, conditions)
        before = target.clone()
        filled = fill(case, model, target, conditions)
        known = _spread(case, KNOWN_BT, target)
        demand(
            filled.shape == target.shape and torch.equal(filled[known], before[known]),
            "inpaint changes known frames", "end with torch.where(known, target, filled)",
        )  # fmt: skip
        demand(torch.equal(target, before), "inpaint writes into its target", "work on target.clone()")
        demand(not torch.equal(filled, target), "inpaint gives its target back", "draw what known_BT says is hidden")
        alone = fill(case, model, target[:1], conditions[:1], KNOWN_BT[:1])
        demand(
            same(alone, filled[:1]), "a span filled alone is not the span filled in a batch",
            "draw for each clip from its own stream, and mix nothing over the batch dimension",
        )  # fmt: skip
    _trains(case, model, conditions)


def span_context(case: Case) -> None:
    """What is filled in follows the known frames on both sides, and not what stood in the span."""
    if not case.paradigm.inpaints:
        raise Skipped("does not claim to inpaint")
    model, conditions = case.model(case.trial.filling), some_conditions([4, 2])
    target = _target(case, conditions)
    hidden = ~_spread(case, KNOWN_BT, target)
    base = fill(case, model, target, conditions)[hidden]
    for frame, side in ((1, "before"), (7, "after")):
        apart = fill(case, model, _changed(case, target, frame), conditions)[hidden]
        demand(
            not torch.equal(apart, base), f"the filling ignores what comes {side} the span",
            "let the model see all known frames while it draws the hidden ones",
        )  # fmt: skip
    apart = fill(case, model, _changed(case, target, 4), conditions)[hidden]  # frame 4 is inside both spans
    demand(
        torch.equal(apart, base), "the filling depends on what stood in the span",
        "hide the span of target before the model sees it",
    )  # fmt: skip


def fill(case: Case, model: Paradigm, target: Tensor, conditions: Conditions, known_BT: Tensor = KNOWN_BT) -> Tensor:
    """The clips with their spans filled."""
    return model.inpaint(target, known_BT, conditions, case.sampler(), ItemRNG([1, 2][: len(target)]))


def _refused(case: Case) -> None:
    model, conditions = case.model(), some_conditions([4, 2])
    mend = "let Paradigm.inpaint refuse (a UserError), or set inpaints = True"
    try:
        fill(case, model, _target(case, conditions), conditions)
    except UserError:
        return
    except Exception as error:
        raise Fault(f"inpaints is False, and inpaint raises {type(error).__name__}", mend) from error
    raise Fault("inpaints is False, yet inpaint gives clips", mend)


def _trains(case: Case, model: Paradigm, conditions: Conditions) -> None:
    """An update that trains inpainting has a finite loss of its own."""
    data = some_batch(conditions, FRAMES)
    spans = Batch(data.latents_BTD, data.codes_BKT, conditions, KNOWN_BT)
    losses = case.losses(model, spans, [1, 2])
    demand(
        bool(torch.isfinite(losses).all()) and not same(losses, case.losses(model, data, [1, 2])),
        "the loss ignores known_BT", "where batch.known_BT is given, train to draw the hidden frames from the known",
    )  # fmt: skip


def _target(case: Case, conditions: Conditions) -> Tensor:
    return case.clips(some_batch(conditions, FRAMES))


def _spread(case: Case, known_BT: Tensor, like: Tensor) -> Tensor:
    """Known frames as a mask of the clips' shape."""
    return known_BT[:, None].expand_as(like) if case.discrete else known_BT[..., None].expand_as(like)


def _changed(case: Case, target: Tensor, frame: int) -> Tensor:
    """The clips with other content in one frame."""
    other = target.clone()
    picked = other.select(2 if case.discrete else 1, frame)
    picked.copy_((picked + 1) % LATENT.cardinality if case.discrete else picked + 3.0)
    return other
