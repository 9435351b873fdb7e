"""Checks of sampling: captions, guidance and controls have their effect, and streams are streams."""

from __future__ import annotations

import torch

from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Paradigm
from .case import CONTROLS, CheckSkipped, ConformanceCase, differ, require, same, some_batch, some_conditions

FRAMES = 8


def text(case: ConformanceCase) -> None:
    """Another caption, and no caption, give other clips and other losses."""
    model, asked = case.model(std=0.25), some_conditions([4, 2])
    batch = some_batch(asked)
    plain = {"guidance": 1.0} if case.has("guidance") else {}
    clips = case.sample(model, asked, FRAMES, [1, 2], **plain)
    losses = case.losses(model, batch, [1, 2])
    for other, what in ((some_conditions([4, 2], seed=9), "another caption"), (asked.null(), "no caption")):
        fix = "give self.read_text(conditions) to self.backbone at every pass"
        require(differ(case.sample(model, other, FRAMES, [1, 2], **plain), clips), f"{what} gives the same clips", fix)
        apart = Batch(batch.latents_BTD, batch.codes_BKT, other)
        require(not same(case.losses(model, apart, [1, 2]), losses), f"{what} gives the same losses", fix)


def guidance(case: ConformanceCase) -> None:
    """Guidance is null + w (conditional - null): scale 1 is the conditional branch alone, scale 0 the null branch."""
    if not case.has("guidance"):
        raise CheckSkipped("its sampler has no guidance")
    model, asked, steady = case.model(), some_conditions([4, 2]), case.constant_guidance()

    def clips(conditions: Conditions, scale: float) -> torch.Tensor:
        return case.sample(model, conditions, FRAMES, [1, 2], guidance=scale, **steady)

    fix = "combine branches by paradigms.guidance.guide, which is null + w (conditional - null), the null rows last"
    conditional, null = clips(asked, 1.0), clips(asked.null(), 1.0)
    near = clips(asked, 1.0 + 1e-6)
    close = (near == conditional).float().mean() > 0.9 if case.discrete else not differ(near, conditional)
    require(bool(close), "guidance of just above 1 is far from guidance 1, the conditional branch alone", fix)
    require(same(clips(asked, 0.0), null), "guidance 0 is not what comes without a caption", fix)
    require(differ(clips(asked, 4.0), conditional), "guidance 4 changes nothing", fix)
    require(same(clips(asked.null(), 4.0), null), "without a caption, guidance changes the clip", fix)


def controls(case: ConformanceCase) -> None:
    """Temporal controls change losses and clips, a control of -1 is an absent one, and guidance branches add up."""
    model = case.model(controls=CONTROLS)
    here, there = (some_conditions([4, 2], seed=seed, controls=CONTROLS, frames=FRAMES) for seed in (0, 1))
    there = Conditions(here.text, here.text_mask_BL, there.controls)
    fix = "add self.read_controls(conditions, frames, branches) to the backbone's input, frame by frame"
    data = some_batch(here, FRAMES)
    losses = [case.losses(model, Batch(data.latents_BTD, data.codes_BKT, c), [1, 2]) for c in (here, there)]
    require(not same(*losses), "other controls give the same losses", fix)
    clips = {name: case.sample(model, c, FRAMES, [1, 2]) for name, c in (("here", here), ("there", there))}
    require(differ(clips["here"], clips["there"]), "other controls give the same clips", fix)
    withheld = Conditions(here.text, here.text_mask_BL, {s.name: torch.full((2, FRAMES), -1) for s in CONTROLS})
    absent = case.sample(model, here.text_alone(), FRAMES, [1, 2])
    require(same(case.sample(model, withheld, FRAMES, [1, 2]), absent), "a control of -1 is not an absent control", fix)
    if case.has("guidance_text"):
        _three_branches(case, model, here)


def _three_branches(case: ConformanceCase, model: Paradigm, asked: Conditions) -> None:
    """Without controls, the branches "all" and "text" are the same, so their scales add up."""
    steady = {**case.constant_guidance(), **({"temperature": 0.0} if case.has("temperature") and case.discrete else {})}
    fix = "repeat rows sampler.branches times, and combine them by paradigms.guidance.guide"
    split = case.sample(model, asked.text_alone(), FRAMES, [1, 2], guidance=1.5, guidance_text=1.0, **steady)
    joint = case.sample(model, asked.text_alone(), FRAMES, [1, 2], guidance=2.5, **steady)
    close = torch.equal(split, joint) if case.discrete else torch.allclose(split, joint, 1e-3, 1e-3)
    require(close, "guidance with three branches does not add up", fix)
    apart = case.sample(model, asked, FRAMES, [1, 2], guidance=1.5, guidance_text=1.0, **steady)
    require(not torch.equal(apart, split), "guidance with three branches ignores controls", fix)


def streaming(case: ConformanceCase) -> None:
    """The parts of a stream make up the clip of ``generate``, and the first is final long before the last pass."""
    if not case.paradigm.streams:
        raise CheckSkipped("does not claim to stream")
    model, frames = case.model(controls=CONTROLS), 12
    asked = some_conditions([4, 2], controls=CONTROLS, frames=frames)
    passes: list[int] = []
    model.backbone.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    parts, at_first = [], 0
    for drawn in model.stream(asked, frames, case.sampler(), ItemRNG([1, 2]), 2):
        at_first = at_first or len(passes)
        parts.append(drawn)
    axis, total = (2 if case.discrete else 1), len(passes)
    whole = case.sample(model, asked, frames, [1, 2])
    require(
        torch.equal(torch.cat(parts, dim=axis), whole),
        "the stream's parts are not the clip that generate draws",
        "yield parts of `chunk` frames of the same clip, from the same draws",
    )
    require(
        at_first <= total // 2,
        f"the first part comes after {at_first} of {total} passes",
        "yield each part as soon as it stands, or set streams = False",
    )
    other = {name: tokens.clone() for name, tokens in asked.controls.items()}
    for spec in CONTROLS:
        other[spec.name][:, -1] = (other[spec.name][:, -1] + 1) % spec.cardinality
    changed = case.sample(model, Conditions(asked.text, asked.text_mask_BL, other), frames, [1, 2])
    require(
        torch.equal(changed.narrow(axis, 0, 2), whole.narrow(axis, 0, 2)),
        "the beginning of a clip changes with the control of its last frame",
        "look at no later frame: a causal backbone, and at each frame its own control; or set streams = False",
    )
