"""What the checks work on: one paradigm with small models, and random captions, controls and clips from fixed seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...backbones import BackboneConfig
from ...common.config import from_dict
from ...common.seeds import ItemRNG
from ...paradigms.base import Batch, Conditions, Paradigm
from ...representations.latents.controls import ControlSpec
from ...representations.spec import LatentSpec
from ...representations.text.encoders import TextSpec

LATENT = LatentSpec("toy", sample_rate=16000, frame_rate_hz=25.0, dim=6, codebooks=3, cardinality=11)
TEXT = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"word{i}" for i in range(20)), max_length=16)
EMBEDDED = TextSpec(kind="embeddings", dim=24, vocabulary=(), max_length=5)
CONTROLS = (ControlSpec("chords", 5, 4), ControlSpec("melody", 3, 2))
BACKBONE = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64)
BACKBONES = {
    "cross": BACKBONE,
    "prefix": dataclasses.replace(BACKBONE, text="prefix", positions="learned"),
    "rotary": dataclasses.replace(BACKBONE, text="prefix", positions="rotary"),
}
TOLERANCE = 1e-4  # relative to the largest value: what another batch size may change in sums in single precision


class CheckFailed(Exception):  # noqa: N818
    """A paradigm does not pass a check; ``message`` says what is wrong, ``fix`` how to fix it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}; {fix}")
        self.message, self.fix = message, fix


class CheckSkipped(Exception):  # noqa: N818
    """A check does not apply to the paradigm."""


def require(holds: bool, message: str, fix: str) -> None:
    """Raise ``CheckFailed`` unless ``holds`` is true."""
    if not holds:
        raise CheckFailed(message, fix)


class ConformanceCase:
    """One paradigm under test, with the settings that it declares in ``Paradigm.conformance``.

    Args:
        options, sampler: settings that replace some of those.

    Attributes:
        shared: results that several checks need, such as a trained model.
    """

    def __init__(
        self,
        paradigm: type[Paradigm],
        options: Mapping[str, Any] | None = None,
        sampler: Mapping[str, Any] | None = None,
        backbone: BackboneConfig = BACKBONE,
    ) -> None:
        self.paradigm, self.settings, self.backbone = paradigm, paradigm.conformance, backbone
        self.options = {**self.settings.options, **(options or {})}
        self.sampler_settings = {**self.settings.sampler, **(sampler or {})}
        self.shared: dict[str, Any] = {}

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
        """A model in evaluation mode, with noise of ``std`` added to its weights (0: as initialised)."""
        torch.manual_seed(0)
        given = from_dict(self.paradigm.options_class, {**self.options, **(options or {})}, "conformance options")
        model = self.paradigm(given, backbone or self.backbone, latent, text, tuple(controls))
        perturb(model, std)
        return model.eval()

    def sampler(self, **settings: Any) -> Any:
        """The sampler settings of the case, some of them replaced."""
        return self.paradigm.sampler({**self.sampler_settings, **settings})

    def has(self, setting: str) -> bool:
        """Whether the sampler has a setting of this name."""
        return setting in {field.name for field in dataclasses.fields(self.paradigm.sampler_class)}

    def constant_guidance(self) -> dict[str, Any]:
        """Sampler settings with which guidance has the same scale from beginning to end."""
        return {"guidance_schedule": "constant"} if self.has("guidance_schedule") else {}

    def sample(
        self, model: Paradigm, conditions: Conditions, frames: int, seeds: Sequence[int], **settings: Any
    ) -> Tensor:
        """Clips of the model, one per seed."""
        with torch.no_grad():
            return model.generate(conditions, frames, self.sampler(**settings), ItemRNG(seeds))

    def losses(self, model: Paradigm, batch: Batch, seeds: Sequence[int]) -> Tensor:
        """Per-item losses (B,) without gradients; draws that the batch shares are the same every time."""
        with torch.no_grad():
            return model.loss(batch, ItemRNG(seeds), ItemRNG([5])).per_item_B

    def clips(self, batch: Batch) -> Tensor:
        """The batch's clips as the paradigm models them: codes (B, K, T) or latents (B, T, D)."""
        return batch.codes_BKT if self.discrete and batch.codes_BKT is not None else batch.latents_BTD


def same(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors are equal up to rounding; codes must be equal."""
    if ours.shape != theirs.shape:
        return False
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    scale = float(theirs.abs().max())
    return torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(scale, 0.1))


def differ(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors differ by clearly more than rounding; codes: in any place."""
    if not ours.is_floating_point():
        return not torch.equal(ours, theirs)
    return not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max()))


def perturb(module: nn.Module, std: float = 0.15, seed: int = 0) -> nn.Module:
    """Add noise to every parameter, so that none stays at an initial zero and outputs are of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(std * torch.randn(parameter.shape, generator=generator))
    return module


def some_conditions(
    lengths: Sequence[int], seed: int = 0, controls: Sequence[ControlSpec] = (), frames: int = 0
) -> Conditions:
    """Random captions of these numbers of tokens, padded with random tokens, and random controls."""
    generator, width = torch.Generator().manual_seed(seed), max(lengths)
    ids = torch.randint(2, len(TEXT.vocabulary), (len(lengths), width), generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    shape = (len(lengths), frames)
    return Conditions(
        ids, mask, {spec.name: torch.randint(0, spec.cardinality, shape, generator=generator) for spec in controls}
    )


def some_embeddings(batch: int) -> Conditions:
    """Random outputs of a frozen text encoder, without padding."""
    text = torch.randn(batch, EMBEDDED.max_length, EMBEDDED.dim, generator=torch.Generator().manual_seed(0))
    return Conditions(text, torch.ones(batch, EMBEDDED.max_length, dtype=torch.bool))


def some_batch(conditions: Conditions, frames: int = 10, latent: LatentSpec = LATENT, seed: int = 0) -> Batch:
    """Random latents and unrelated random codes for ``conditions``."""
    generator = torch.Generator().manual_seed(seed)
    z_BTD = torch.randn(len(conditions), frames, latent.dim, generator=generator)
    codes = torch.randint(0, latent.cardinality, (len(conditions), latent.codebooks, frames), generator=generator)
    return Batch(z_BTD, codes, conditions)


def part(batch: Batch, items: slice | Tensor) -> Batch:
    """Some items of a batch."""
    codes, known = batch.codes_BKT, batch.known_BT
    codes, known = (None if held is None else held[items] for held in (codes, known))
    return Batch(batch.latents_BTD[items], codes, batch.conditions[items], known)
