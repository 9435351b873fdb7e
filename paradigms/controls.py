"""Temporal controls at a paradigm's input: chords, melody, drums, one token per frame (papers/002 section 4.5).

Each control has an embedding table; their outputs are concatenated over channels and projected to the backbone's width,
which together with the paradigm's own input layer is one linear layer on the concatenation of both. A control that is
withheld (token -1: condition dropout, guidance, or not asked for) has a learned null embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..backbones.linear import Linear
from ..representations.latents.controls import ControlSpec

WITHHELD = -1


class ControlConditioner(nn.Module):
    """Control tokens to the backbone's width."""

    def __init__(self, specs: Sequence[ControlSpec], width: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.tables = nn.ModuleDict({spec.name: nn.Embedding(spec.cardinality + 1, spec.dim) for spec in specs})
        self.projection = Linear(sum(spec.dim for spec in specs), width, bias=False)

    def forward(self, controls: Mapping[str, Tensor], batch: int, frames: int) -> Tensor:
        """Tokens {name: (B, T)} to (B, T, C); a control that is not there is withheld."""
        nothing = torch.full((batch, frames), WITHHELD, device=self.projection.weight.device)
        parts = []
        for spec in self.specs:
            tokens_BT = controls.get(spec.name, nothing)
            parts.append(self.tables[spec.name](torch.where(tokens_BT < 0, spec.cardinality, tokens_BT)))
        return self.projection(torch.cat(parts, dim=-1))
