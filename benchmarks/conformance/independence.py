"""Checks that a clip and its loss depend on its own caption and seed, and on nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...paradigms.base import Batch, Conditions, Paradigm
from .case import BACKBONES, ConformanceCase, differ, part, require, same, some_batch, some_conditions

LENGTHS = [3, 6, 1, 5]
SEEDS = [11, 12, 13, 14]
FRAMES = 7


def determinism(case: ConformanceCase) -> None:
    """The same seeds give the same clips and losses again, bit for bit."""
    for what, make in zip(("clips", "losses"), _clips_and_losses(case)):
        torch.manual_seed(0)
        first = make()
        torch.manual_seed(0)
        require(
            torch.equal(make(), first),
            f"the same seeds give other {what} the second time",
            "keep nothing from one call to the next, and use no clock, hash or set order",
        )


def global_rng(case: ConformanceCase) -> None:
    """The global random streams of torch, numpy and Python change nothing and are not changed."""
    for what, make in zip(("generate", "loss"), _clips_and_losses(case)):
        made = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
            made.append(make())
            after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        untouched = torch.equal(before[0], after[0]) and before[1:] == after[1:]
        require(
            torch.equal(*made) and untouched,
            f"{what} draws from a global random stream",
            "draw everything from rng (per clip) or shared (per batch): rng.normal, rng.uniform, rng.permutation",
        )


def _clips_and_losses(case: ConformanceCase) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Two functions that make clips and losses, always from the same seeds."""
    model, conditions = case.model(), some_conditions([3, 2])
    batch = some_batch(conditions)
    return (lambda: case.sample(model, conditions, FRAMES, [1, 2]), lambda: case.losses(model, batch, [1, 2]))


def seeds(case: ConformanceCase) -> None:
    """Each clip depends on its own seed: another seed gives another clip, and swapped seeds give swapped clips."""
    model, two = case.model(), some_conditions([3, 3])
    conditions = Conditions(two.text[[0, 0]], two.text_mask_BL)
    fix = "draw noise for each clip from its own stream: rng.normal(frames, dim) is (B, frames, dim)"
    first = case.sample(model, conditions, 8, [1, 2])
    require(differ(first[0], first[1]), "two seeds give the same clip for the same caption", fix)
    require(same(case.sample(model, conditions, 8, [2, 1]), first.flip(0)), "seeds swapped do not swap the clips", fix)
    require(
        same(case.sample(model, conditions, 8, [1, 9])[:1], first[:1]), "a clip changes with its neighbour's seed", fix
    )


def batch(case: ConformanceCase) -> None:
    """A clip and its loss are the same alone and in a batch, with every way to read text and positions."""
    for name, backbone in BACKBONES.items():
        model, conditions = case.model(backbone=backbone), some_conditions(LENGTHS)
        clips, data = case.sample(model, conditions, FRAMES, SEEDS), some_batch(conditions)
        losses = case.losses(model, data, SEEDS)
        for item in (0, 2):
            one = slice(item, item + 1)
            fix = "mix nothing over the batch dimension (batch norm, a mean over all, a sort, padding to the longest)"
            alone = case.sample(model, conditions[one], FRAMES, SEEDS[one])
            require(same(alone, clips[one]), f"a clip alone is not the clip in a batch ({name})", fix)
            lone = case.losses(model, part(data, one), SEEDS[one])
            require(same(lone, losses[one]), f"a clip's loss alone is not its loss in a batch ({name})", fix)


def padding(case: ConformanceCase) -> None:
    """The content and the amount of a caption's padding change neither clip nor loss."""
    for name, backbone in BACKBONES.items():
        model, conditions = case.model(backbone=backbone), some_conditions(LENGTHS)
        data = some_batch(conditions)
        whole = _both(case, model, data)
        trimmed = Conditions(conditions.text[:1, : LENGTHS[0]], conditions.text_mask_BL[:1, : LENGTHS[0]])
        short = Batch(data.latents_BTD[:1], None if data.codes_BKT is None else data.codes_BKT[:1], trimmed)
        wide = Batch(data.latents_BTD, data.codes_BKT, _other_padding(conditions, 3))
        fix = "read text by self.read_text(conditions) only, which hides what text_mask_BL says is padding"
        for other, what in ((wide, "other ids in a caption's padding change"), (short, "padding itself changes")):
            for ours, theirs, made in zip(_both(case, model, other), whole, ("clips", "losses")):
                require(same(ours, theirs[: len(ours)]), f"{what} the {made} ({name})", fix)


def _both(case: ConformanceCase, model: Paradigm, data: Batch) -> tuple[Tensor, Tensor]:
    """Clips and losses for a batch."""
    chosen = SEEDS[: len(data.conditions)]
    return case.sample(model, data.conditions, FRAMES, chosen), case.losses(model, data, chosen)


def _other_padding(conditions: Conditions, extra: int) -> Conditions:
    """The same captions with other ids in their padding and more of it."""
    text = torch.where(conditions.text_mask_BL, conditions.text, 1)
    pad = torch.ones(len(conditions), extra, dtype=torch.long)
    return Conditions(torch.cat([text, pad], 1), torch.cat([conditions.text_mask_BL, pad == 0], 1))
