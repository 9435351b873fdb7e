"""A case: one paradigm under trial, which makes its models, losses and clips, always the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...backbones import BackboneConfig
from ...common.config import from_dict
from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Paradigm
from ...representations.base import LatentSpec
from ...representations.latents.controls import ControlSpec
from ...representations.text.encoders import TextSpec
from .toys import BACKBONE, LATENT, TEXT, perturb

TOLERANCE = 1e-4  # of the largest value: what a change of batch size may do to sums in single precision


class Fault(Exception):  # noqa: N818
    """A check that failed: what is wrong, and how to mend it."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message}; {mend}")
        self.message, self.mend = message, mend


class Skipped(Exception):  # noqa: N818
    """A check that does not apply."""


def demand(holds: bool, message: str, mend: str) -> None:
    """Raise the fault unless it ``holds``."""
    if not holds:
        raise Fault(message, mend)


class Case:
    """One paradigm, with the settings of its ``trial``, some of them replaced.

    Attributes:
        held: what checks keep for each other, such as a trained model.
    """

    def __init__(
        self,
        paradigm: type[Paradigm],
        options: Mapping[str, Any] | None = None,
        sampler: Mapping[str, Any] | None = None,
        backbone: BackboneConfig = BACKBONE,
    ) -> None:
        self.paradigm, self.trial, self.backbone = paradigm, paradigm.trial, backbone
        self.options = {**self.trial.options, **(options or {})}
        self.settings = {**self.trial.sampler, **(sampler or {})}
        self.held: dict[str, Any] = {}

    @property
    def discrete(self) -> bool:
        """Whether clips are codes (B, K, T) rather than latents (B, T, D)."""
        return self.paradigm.view == "codes"

    def model(
        self,
        options: Mapping[str, Any] | None = None,
        backbone: BackboneConfig | None = None,
        latent: LatentSpec = LATENT,
        text: TextSpec = TEXT,
        controls: Sequence[ControlSpec] = (),
        std: float = 0.15,
    ) -> Paradigm:
        """A model with perturbed weights (``std`` 0 leaves them as initialised), in evaluation mode."""
        torch.manual_seed(0)
        chosen = from_dict(self.paradigm.options_class, {**self.options, **(options or {})}, "trial options")
        model = self.paradigm(chosen, backbone or self.backbone, latent, text, tuple(controls))
        perturb(model, std)
        return model.eval()

    def sampler(self, **settings: Any) -> Any:
        """The trial's sampler settings, some of them replaced."""
        return self.paradigm.sampler({**self.settings, **settings})

    def has(self, setting: str) -> bool:
        """Whether the sampler knows a setting."""
        return setting in {field.name for field in dataclasses.fields(self.paradigm.sampler_class)}

    def steady(self) -> dict[str, Any]:
        """Settings under which guidance has the same scale from beginning to end."""
        return {"guidance_schedule": "constant"} if self.has("guidance_schedule") else {}

    def sample(
        self, model: Paradigm, conditions: Conditions, frames: int, seeds: Sequence[int], **settings: Any
    ) -> Tensor:
        """Clips of the model."""
        with torch.no_grad():
            return model.generate(conditions, frames, self.sampler(**settings), ItemRNG(seeds))

    def losses(self, model: Paradigm, batch: Batch, seeds: Sequence[int]) -> Tensor:
        """Per-item losses (B,) without gradients; what the batch shares is drawn from the same stream every time."""
        with torch.no_grad():
            return model.loss(batch, ItemRNG(seeds), ItemRNG([5])).per_item_B

    def clips(self, batch: Batch) -> Tensor:
        """The batch's clips as this paradigm models them."""
        return batch.codes_BKT if self.discrete and batch.codes_BKT is not None else batch.latents_BTD


def same(ours: Tensor, theirs: Tensor) -> bool:
    """Equal but for rounding; codes: equal."""
    if ours.shape != theirs.shape:
        return False
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    scale = float(theirs.abs().max())
    return torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(scale, 0.1))


def differ(ours: Tensor, theirs: Tensor) -> bool:
    """Clearly not the same clips or losses."""
    if not ours.is_floating_point():
        return not torch.equal(ours, theirs)
    return not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max()))
