"""Input and output of training: conditions of clips, batches of training clips, and losses per clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .conditioning import WITHHELD
from .masks import hidden_count


@dataclass(frozen=True)
class Conditions:
    """Conditions of a batch of clips.

    Attributes:
        text: token ids (B, L) int64, or embeddings of a frozen encoder (B, L, D_text) float.
        text_mask_BL: True at real tokens; a row that is all False is the null condition of guidance.
        controls: name -> one token per frame (B, T) int64, -1 where withheld; missing controls are withheld.
    """

    text: Tensor
    text_mask_BL: Tensor
    controls: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.text.shape[0]

    def __getitem__(self, items: slice | Tensor) -> Conditions:
        return Conditions(self.text[items], self.text_mask_BL[items], {k: v[items] for k, v in self.controls.items()})

    def to(self, device: torch.device | str) -> Conditions:
        """The same conditions on another device; a copy from pinned memory does not block."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Conditions:
        """The same conditions with ``function`` applied to every tensor."""
        controls = {name: function(tokens) for name, tokens in self.controls.items()}
        return Conditions(function(self.text), function(self.text_mask_BL), controls)

    def drop(self, keep_B: Tensor, keep_controls: Mapping[str, Tensor] | None = None) -> Conditions:
        """Condition dropout: withhold the text where ``keep_B`` is False, each control where its (B,) mask is False."""
        kept = keep_controls or {}
        controls = {
            name: torch.where(kept[name][:, None], tokens, WITHHELD) if name in kept else tokens
            for name, tokens in self.controls.items()
        }
        return Conditions(self.text, self.text_mask_BL & keep_B[:, None], controls)

    def padded(self, tokens: int) -> Conditions:
        """The same text padded with masked tokens to a length of ``tokens``, if it is shorter."""
        missing = tokens - self.text.shape[1]
        if missing <= 0:
            return self
        behind = (0, 0) * (self.text.dim() - 2) + (0, missing)
        text, mask_BL = nn.functional.pad(self.text, behind), nn.functional.pad(self.text_mask_BL, (0, missing))
        return Conditions(text, mask_BL, self.controls)

    def text_alone(self) -> Conditions:
        """The same text with every control withheld."""
        return Conditions(self.text, self.text_mask_BL)

    def null(self) -> Conditions:
        """The null condition for every row."""
        return Conditions(self.text, torch.zeros_like(self.text_mask_BL))

    def branches(self, n: int) -> Conditions:
        """The branches of guidance as one batch (n B, ...).

        One branch: all conditions. Two: all, then the null condition. Three: all, the text alone, the null condition.
        """
        parts = [self, *([self.text_alone()] if n == 3 else []), *([self.null()] if n > 1 else [])]
        withheld = {name: torch.full_like(tokens, WITHHELD) for name, tokens in self.controls.items()}
        return Conditions(
            torch.cat([part.text for part in parts]),
            torch.cat([part.text_mask_BL for part in parts]),
            {name: torch.cat([part.controls.get(name, withheld[name]) for part in parts]) for name in self.controls},
        )


@dataclass(frozen=True)
class Batch:
    """Training data of one step.

    Attributes:
        latents_BTD: normalised continuous latents.
        codes_BKT: the same clips' discrete codes, None where the representation has no discrete view.
        conditions: text and controls, with condition dropout already applied.
        known_BT: for an update that trains inpainting: False on one span of equal length in every row, else None.
        hidden: length of that span, if the host knows it; None: ``hidden_frames`` counts, which waits for the device.
        weights_B: weight of each clip, mean 1 over the global batch; None: equal weights (``training.tuning``).
    """

    latents_BTD: Tensor
    codes_BKT: Tensor | None
    conditions: Conditions
    known_BT: Tensor | None = None
    weights_B: Tensor | None = None
    hidden: int | None = None

    @property
    def hidden_frames(self) -> int:
        """Number of hidden frames in each row: those of the span; all frames if ``known_BT`` is None."""
        return hidden_count(self.known_BT, self.latents_BTD.shape[1]) if self.hidden is None else self.hidden

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; a copy from pinned memory does not block."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same batch in pinned (page-locked) memory, from which copies to a GPU do not block."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with ``function`` applied to every tensor."""
        fields = ("latents_BTD", "codes_BKT", "known_BT", "weights_B")
        mapped: dict[str, Any] = {
            name: function(value) for name in fields if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(self, conditions=self.conditions.mapped(function), **mapped)


@dataclass(frozen=True)
class Loss:
    """A training loss: the scalar to minimise (mean over items) and its value per item (B,)."""

    mean: Tensor
    per_item_B: Tensor

    @classmethod
    def from_items(cls, per_item_B: Tensor) -> Loss:
        """A loss from its values per clip."""
        return cls(per_item_B.mean(), per_item_B)

    def weighted(self, weights_B: Tensor | None) -> Tensor:
        """Mean weighted by ``weights_B``; None: the plain mean."""
        return self.mean if weights_B is None else (weights_B * self.per_item_B).mean()
