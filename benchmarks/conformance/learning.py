"""Checks of training: losses add up over micro-batches, fall, and the trained model generates what it learned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbones import BackboneConfig
from ...common.lines import count
from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Loss, Paradigm
from .case import ConformanceCase, part, require, same, some_batch, some_conditions

FRAMES = 16
WIDER = BackboneConfig(d_model=64, n_layers=2, n_heads=4, d_ff=128)
PEAK = 5e-3


def weighting(case: ConformanceCase) -> None:
    """The loss is the mean over its items, so weighted gradients of micro-batches add up to those of the batch."""
    model = case.model()
    batch = some_batch(some_conditions([3, 6, 1, 5]))
    loss, whole = _gradient(model, batch, range(4))
    fix = "average within each clip first, then over clips: return Loss.from_items(per_item_B)"
    require(same(loss.per_item_B.mean()[None], loss.mean[None]), "the loss is not the mean of its items", fix)
    summed = torch.zeros_like(whole)
    for items in (slice(0, 1), slice(1, 4)):
        share = (items.stop - items.start) / 4
        summed += share * _gradient(model, part(batch, items), range(4)[items])[1]
    require(same(summed, whole), "gradients of micro-batches do not add up to that of the whole batch", fix)


def _gradient(model: Paradigm, batch: Batch, seeds: range) -> tuple[Loss, Tensor]:
    """The loss, and its gradient as one vector."""
    model.zero_grad(set_to_none=True)
    loss = model.loss(batch, ItemRNG(seeds), ItemRNG([5]))
    loss.mean.backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return Loss(loss.mean.detach(), loss.per_item_B.detach()), torch.cat([grad.flatten() for grad in grads])


@dataclass(frozen=True)
class OverfitRun:
    """A model after training on two clips.

    Attributes:
        batch: the two clips with their captions.
        before, after: mean loss of the first and of the last updates.
    """

    model: Paradigm
    batch: Batch
    before: float
    after: float


def learning(case: ConformanceCase) -> None:
    """On one batch of two clips the loss falls by at least a quarter."""
    run = _trained(case)
    require(
        run.after < run.before - 0.25 * abs(run.before),
        f"on one batch the loss goes from {run.before:.3g} to {run.after:.3g} in "
        f"{count(case.settings.memorisation.updates, 'update')}",
        "see whether gradients point the right way and reach all layers; or give conformance.memorisation more updates",
    )


def playback(case: ConformanceCase) -> None:
    """Given its caption, the model generates the clip it was trained on: what is trained is what is sampled."""
    run, known = _trained(case), case.settings.memorisation
    asked = run.batch.conditions
    swapped = Conditions(asked.text.flip(0), asked.text_mask_BL.flip(0))
    plain = {"guidance": 1.0} if case.has("guidance") else {}
    played = case.sample(run.model, swapped, FRAMES, [1, 2], **{**known.sampler, **plain}).flip(0)
    clips = case.clips(run.batch)
    if case.discrete:
        right = (played == clips).float().mean().item()
        sound, told = right > 0.95, f"{right:.0%} of the codes are right"
    else:
        error_B = (played - clips).square().mean(dim=(1, 2)).sqrt() / clips.std(dim=(1, 2))
        sound, told = bool((error_B < 0.2).all()), f"it is off by {float(error_B.max()):.2f} standard deviations"
    require(
        sound,
        f"asked for a clip that it learned by heart, {told}",
        "see whether training meets what sampling meets (a target that leaks into the input, another order or scale)",
    )


def _trained(case: ConformanceCase) -> OverfitRun:
    """Train once per case; both checks use the result."""
    if "overfit" not in case.shared:
        case.shared["overfit"] = _train(case)
    run: OverfitRun = case.shared["overfit"]
    return run


def _train(case: ConformanceCase) -> OverfitRun:
    """AdamW with a one-cycle schedule on one batch, in which each clip occurs ``copies`` times."""
    recipe = case.settings.memorisation
    backbone = dataclasses.replace(WIDER, **recipe.backbone)
    model = case.model(recipe.options, backbone, std=0.0).train()
    clips = some_batch(some_conditions([2, 2]), FRAMES)
    rows = torch.arange(2).repeat_interleave(recipe.copies)
    batch = part(clips, rows)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=recipe.updates, pct_start=0.1)
    losses = []
    for step in range(recipe.updates):
        loss = model.loss(batch, ItemRNG([100 * step + row for row in range(len(rows))]), ItemRNG([step])).mean
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    few = max(1, min(10, recipe.updates // 8))
    return OverfitRun(model.eval(), clips, sum(losses[:few]) / few, sum(losses[-few:]) / few)
