"""Checks of what a paradigm declares, the shapes of its outputs, its gradients and its files."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from ... import paradigms
from ...backbones import BackboneConfig
from ...common.config import config_hash, from_dict, to_dict
from ...common.errors import UserError
from ...common.files import read_json
from ...common.lines import count
from ...common.seeds import ItemRNG
from ...paradigms.base import ParadigmOptions
from .case import BACKBONES, CONTROLS, LATENT, CheckFailed, ConformanceCase, require, some_batch, some_conditions

UPDATES = 8  # one update alone may leave out a codebook or a mask token


def declaration(case: ConformanceCase) -> None:
    """The class declares its name and view; its options and settings survive JSON and refuse unknown keys."""
    cls = case.paradigm
    name, view = getattr(cls, "name", None), getattr(cls, "view", None)
    require(
        isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None,
        f"name is {name!r}",
        "set name to small letters, digits and '_': it names folders and rows of tables",
    )
    require(view in ("codes", "latents"), f"view is {view!r}", "set view to 'codes' or 'latents'")
    fields = {field.name for field in dataclasses.fields(BackboneConfig)}
    unknown = sorted(set(cls.backbone_needs) - fields)
    require(
        not unknown, f"backbone_needs names {unknown}", f"use fields of BackboneConfig: {', '.join(sorted(fields))}"
    )
    require(
        issubclass(cls.options_class, ParadigmOptions),
        "options_class does not derive from ParadigmOptions",
        "derive it from paradigms.base.ParadigmOptions, which holds the options of all paradigms",
    )
    configs = (("options_class", cls.options_class), ("sampler_class", getattr(cls, "sampler_class", None)))
    for role, config in configs:
        frozen = dataclasses.is_dataclass(config) and getattr(config, "__dataclass_params__").frozen  # noqa: B009
        require(frozen, f"{role} is not a frozen dataclass", "decorate it with @dataclass(frozen=True)")
        make: type[Any] = config  # type: ignore[assignment]
        default = make()
        again: Any = from_dict(make, to_dict(default), role)
        require(
            again == default and config_hash(again) == config_hash(default),
            f"{role} comes back changed from JSON",
            "give it fields of numbers, strings, tuples or frozen dataclasses only: records hold it whole",
        )
    _refuses(case)


def _refuses(case: ConformanceCase) -> None:
    for what, make in (
        ("an unknown option", lambda: from_dict(case.paradigm.options_class, {"nonsense_": 1}, "options")),
        ("an unknown sampler setting", lambda: case.paradigm.sampler({"nonsense_": 1})),
    ):
        try:
            make()
        except UserError:
            continue
        raise CheckFailed(f"{what} is accepted", "leave Paradigm.sampler and the dataclasses as they are")


def shapes(case: ConformanceCase) -> None:
    """Losses are (B,) and finite; clips are codes (B, K, T) in range or finite latents (B, T, D), for all sizes."""
    for sizes in ((1, 1, 1, 1, 1), (3, 9, 7, 5, 6), (2, 5, 6, 2, 4)):
        check_shapes(case, *sizes)


def check_shapes(case: ConformanceCase, batch: int, frames: int, dim: int, codebooks: int, words: int) -> None:
    """The check for these sizes of batch, clip, latent and caption; ``words``: tokens of a caption."""
    latent = LATENT.replace(dim=dim, codebooks=codebooks)
    model, conditions = case.model(latent=latent), some_conditions([words] * batch)
    sizes = (
        f"{count(batch, 'clip')} of {count(frames, 'frame')}, {count(dim, 'channel')}, {count(codebooks, 'codebook')}"
    )
    loss = model.loss(some_batch(conditions, frames, latent), ItemRNG(range(batch)), ItemRNG([0]))
    require(
        tuple(loss.per_item_B.shape) == (batch,),
        f"per-item losses are {tuple(loss.per_item_B.shape)} for {sizes}",
        "return Loss.from_items of one per clip",
    )
    require(
        bool(torch.isfinite(loss.per_item_B).all()),
        f"the loss is not finite for {sizes}",
        "look for log(0), 0 / 0 or an empty mean",
    )
    clips = case.sample(model, conditions, frames, range(batch))
    wanted = (batch, codebooks, frames) if case.discrete else (batch, frames, dim)
    kind = "codes (B, K, T)" if case.discrete else "latents (B, T, D)"
    require(
        tuple(clips.shape) == wanted,
        f"generate gives {tuple(clips.shape)}, not {wanted}, for {sizes}",
        f"return {kind}, as view = {case.paradigm.view!r} says",
    )
    if case.discrete:
        sound = not clips.is_floating_point() and 0 <= int(clips.min()) <= int(clips.max()) < latent.cardinality
        require(sound, f"codes are not integers below {latent.cardinality}", "keep special tokens out of clips")
    else:
        require(bool(torch.isfinite(clips).all()), f"latents are not finite for {sizes}", "look for a division by 0")


def gradients(case: ConformanceCase) -> None:
    """Every parameter gets a gradient in at least one of eight updates, and parameter_counts counts all parameters."""
    model = case.model().train()
    for step in range(UPDATES):
        seeds = ItemRNG([2 * step, 2 * step + 1])
        model.loss(some_batch(some_conditions([3, 5])), seeds, ItemRNG([step])).mean.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    require(
        not idle,
        f"no gradient reaches {', '.join(idle[:3])}{' and others' if len(idle) > 3 else ''}",
        "use them in loss, drop them, or look for a detach or a no_grad",
    )
    held = sum(p.numel() for p in model.parameters())
    require(
        sum(model.parameter_counts().values()) == held,
        "parameter_counts leaves parameters out",
        "leave Paradigm.parameter_counts as it is",
    )


def saving(case: ConformanceCase) -> None:
    """``paradigms.save`` and ``load`` give the same model back: class, identity, and clips bit for bit."""
    conditions = some_conditions([3, 2], controls=CONTROLS, frames=5)
    for backbone in (BACKBONES["cross"], BACKBONES["rotary"]):
        model = case.model({"text_layers": 1}, backbone, controls=CONTROLS)
        with tempfile.TemporaryDirectory() as folder:
            paradigms.save(model, folder)
            files = sorted(path.name for path in Path(folder).iterdir())
            config = read_json(Path(folder) / "model.json")
            again = paradigms.load(folder)
            paradigms.save(again, folder)
            identity = [config_hash(about) for about in (config, read_json(Path(folder) / "model.json"))]
        require(
            type(again) is type(model),
            f"{config['paradigm']!r} is loaded as {type(again).__qualname__}",
            "give the class a name of its own, at the top level of its module",
        )
        require(
            identity[0] == identity[1] and files == ["model.json", "model.safetensors"],
            "saved again, it has another identity",
            "keep what the model needs in options, and do not change them",
        )
        clips = [case.sample(m, conditions, 5, [1, 2]) for m in (model, again)]
        require(
            torch.equal(*clips),
            "a model that was saved and loaded makes other clips",
            "keep every tensor that decides clips as a parameter or a persistent buffer",
        )
