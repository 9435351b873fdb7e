"""What a paradigm's text and temporal controls become at its input: vectors of the backbone's width.

Controls are chords, melody and drums, one token per frame (Tal et al. 2025, section 4.5). Each has an embedding table;
the embeddings of all controls are concatenated over channels and projected to the backbone's width. Added to the output
of the paradigm's own input layer, this equals one linear layer on the concatenation of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..backbones.cost import linear
from ..backbones.linear import Layer, Linear
from ..representations.latents.controls import ControlSpec
from ..representations.text.encoders import TextSpec

WITHHELD = -1
"""Token of a control that is not given: condition dropout, the null branch of guidance, or a control left out."""


class TextConditioner(Layer):
    """Text to the backbone's width, token ids (B, L) or embeddings (B, L, D_text) -> (B, L, C).

    Embeddings of a frozen encoder go through one linear layer. Token ids are embedded and go through ``layers`` blocks
    of a bidirectional encoder, which is trained with the model. Padding is never attended to.
    """

    def __init__(self, spec: TextSpec, width: int, n_heads: int, layers: int) -> None:
        super().__init__()
        self.spec = spec
        if spec.kind == "embeddings":
            self.projection = nn.Linear(spec.dim, width)
            return
        self.embedding = nn.Embedding(len(spec.vocabulary), width)
        self.positions = nn.Embedding(spec.max_length, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, n_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        nn.init.normal_(self.positions.weight, std=0.1)

    def cost(self, rows: int, tokens: int) -> int:
        """Floating-point operations of the trained encoder blocks on ``rows`` texts of ``tokens`` tokens."""
        if self.spec.kind == "embeddings":
            return 0
        width, words = self.embedding.embedding_dim, rows * tokens
        return len(self.layers) * (linear(words, width, 12 * width) + 4 * words * tokens * width)

    def forward(self, text: Tensor, mask_BL: Tensor) -> Tensor:
        """Encode the text; the output of a row without any real token is finite and is never attended to."""
        h: Tensor
        if self.spec.kind == "embeddings":
            h = self.projection(text.to(self.projection.weight.dtype))
            return h
        h = self.embedding(text) + self.positions.weight[: text.shape[1]]
        visible = mask_BL | ~mask_BL.any(dim=1, keepdim=True)
        for layer in self.layers:
            h = layer(h, src_key_padding_mask=~visible)
        h = self.norm(h)
        return h


class ControlConditioner(Layer):
    """Control tokens to the backbone's width; a control that is withheld has a learned null embedding."""

    def __init__(self, specs: Sequence[ControlSpec], width: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.tables = nn.ModuleDict({spec.name: nn.Embedding(spec.cardinality + 1, spec.dim) for spec in specs})
        self.projection = Linear(sum(spec.dim for spec in specs), width, bias=False)

    def forward(self, controls: Mapping[str, Tensor], batch: int, frames: int) -> Tensor:
        """Tokens {name: (B, T)} -> (B, T, C); controls that are missing from the mapping are withheld."""
        nothing = torch.full((batch, frames), WITHHELD, device=self.projection.weight.device)
        parts = []
        for spec in self.specs:
            tokens_BT = controls.get(spec.name, nothing)
            parts.append(self.tables[spec.name](torch.where(tokens_BT < 0, spec.cardinality, tokens_BT)))
        return self.projection(torch.cat(parts, dim=-1))
