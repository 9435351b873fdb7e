"""Checks of independence: a clip and its loss are a function of its own caption and seed, and of nothing else."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from ...paradigms.base import Batch, Conditions
from .case import Case, demand, differ, same
from .toys import BACKBONES, part, some_batch, some_conditions

LENGTHS = [3, 6, 1, 5]
SEEDS = [11, 12, 13, 14]
FRAMES = 7


def determinism(case: Case) -> None:
    """The same seeds give the same clips and losses again, bit for bit."""
    model, conditions = case.model(), some_conditions([3, 2])
    batch = some_batch(conditions)
    for what, make in (
        ("clips", lambda: case.sample(model, conditions, FRAMES, [1, 2])),
        ("losses", lambda: case.losses(model, batch, [1, 2])),
    ):
        torch.manual_seed(0)
        first = make()
        torch.manual_seed(0)
        demand(
            torch.equal(make(), first), f"the same seeds give other {what} the second time",
            "keep nothing from one call to the next, and use no clock, hash or set order",
        )  # fmt: skip


def global_rng(case: Case) -> None:
    """The global random streams of torch, numpy and Python have no say and are left as they were."""
    model, conditions = case.model(), some_conditions([3, 2])
    batch = some_batch(conditions)
    for what, make in (
        ("generate", lambda: case.sample(model, conditions, FRAMES, [1, 2])),
        ("loss", lambda: case.losses(model, batch, [1, 2])),
    ):
        made = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
            made.append(make())
            after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        untouched = torch.equal(before[0], after[0]) and before[1:] == after[1:]
        demand(
            torch.equal(*made) and untouched, f"{what} draws from a global random stream",
            "draw everything from rng (per clip) or shared (per batch): rng.normal, rng.uniform, rng.permutation",
        )  # fmt: skip


def seeds(case: Case) -> None:
    """Each clip follows its own seed: another seed, another clip; seeds swapped, clips swapped; neighbours apart."""
    model, two = case.model(), some_conditions([3, 3])
    conditions = Conditions(two.text[[0, 0]], two.text_mask_BL)
    mend = "draw noise for each clip from its own stream: rng.normal(frames, dim) is (B, frames, dim)"
    first = case.sample(model, conditions, 8, [1, 2])
    demand(differ(first[0], first[1]), "two seeds give the same clip for the same caption", mend)
    demand(same(case.sample(model, conditions, 8, [2, 1]), first.flip(0)), "seeds swapped do not swap the clips", mend)
    demand(
        same(case.sample(model, conditions, 8, [1, 9])[:1], first[:1]), "a clip changes with its neighbour's seed", mend
    )


def batch(case: Case) -> None:
    """A clip alone is the clip in a batch, and so is its loss, however the backbone reads text and positions."""
    for name, backbone in BACKBONES.items():
        model, conditions = case.model(backbone=backbone), some_conditions(LENGTHS)
        clips, data = case.sample(model, conditions, FRAMES, SEEDS), some_batch(conditions)
        losses = case.losses(model, data, SEEDS)
        for item in (0, 2):
            one = slice(item, item + 1)
            mend = "mix nothing over the batch dimension (batch norm, a mean over all, a sort, padding to the longest)"
            alone = case.sample(model, conditions[one], FRAMES, SEEDS[one])
            demand(same(alone, clips[one]), f"a clip alone is not the clip in a batch ({name})", mend)
            lone = case.losses(model, part(data, one), SEEDS[one])
            demand(same(lone, losses[one]), f"a clip's loss alone is not its loss in a batch ({name})", mend)


def padding(case: Case) -> None:
    """What stands in a caption's padding, and how much of it, changes neither clip nor loss."""
    for name, backbone in BACKBONES.items():
        model, conditions = case.model(backbone=backbone), some_conditions(LENGTHS)
        data = some_batch(conditions)
        whole = _both(case, model, data)
        trimmed = Conditions(conditions.text[:1, : LENGTHS[0]], conditions.text_mask_BL[:1, : LENGTHS[0]])
        short = Batch(data.latents_BTD[:1], None if data.codes_BKT is None else data.codes_BKT[:1], trimmed)
        wide = Batch(data.latents_BTD, data.codes_BKT, _other_padding(conditions, 3))
        mend = "read text by self.read_text(conditions) only, which hides what text_mask_BL says is padding"
        for other, what in ((wide, "other ids in a caption's padding change"), (short, "padding itself changes")):
            for ours, theirs, made in zip(_both(case, model, other), whole, ("clips", "losses")):
                demand(same(ours, theirs[: len(ours)]), f"{what} the {made} ({name})", mend)


def _both(case: Case, model: torch.nn.Module, data: Batch) -> tuple[Tensor, Tensor]:
    """Clips and losses for a batch."""
    chosen = SEEDS[: len(data.conditions)]
    return case.sample(model, data.conditions, FRAMES, chosen), case.losses(model, data, chosen)  # type: ignore[arg-type]


def _other_padding(conditions: Conditions, extra: int) -> Conditions:
    """The same captions with other ids in their padding and more of it."""
    text = torch.where(conditions.text_mask_BL, conditions.text, 1)
    pad = torch.ones(len(conditions), extra, dtype=torch.long)
    return Conditions(torch.cat([text, pad], 1), torch.cat([conditions.text_mask_BL, pad == 0], 1))
