"""Frozen text encoders through transformers: T5's tokens (as in MusicGen) and CLAP's pooled embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base import load_pretrained
from .encoders import TextEncoder, TextSpec

LONGEST = 512  # tokens, the limit of T5, for tokenizers that state none


class _Tokenised(TextEncoder):
    """A text encoder with a tokenizer of transformers and a limit of tokens."""

    tokenizer: Any
    _limit: int

    @property
    def limit(self) -> int:
        """Maximum number of tokens of a caption that are read."""
        return self._limit

    def _tokenise(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask``, (B, L), padded to the longest on the right."""
        rows = self.tokenizer(list(captions))["input_ids"]
        for caption, row in zip(captions, rows):
            if len(row) > self.limit:
                self._warn_cut(caption, len(row))
        limits = {"truncation": True, "max_length": self.limit}
        batch = self.tokenizer(list(captions), padding=True, padding_side="right", return_tensors="pt", **limits)
        return {name: batch[name] for name in ("input_ids", "attention_mask")}


class T5Text(_Tokenised):
    """The encoder of T5 or FLAN-T5: one embedding per token.

    Args:
        limit: maximum number of tokens of a caption; None: the tokenizer's limit. Any is possible, as positions are
            relative.

    Raises:
        UserError: model or tokenizer cannot be loaded from ``source``.
    """

    def __init__(self, source: str, limit: int | None = None) -> None:
        from transformers import AutoTokenizer, T5EncoderModel  # transformers is slow to import

        self.tokenizer = load_pretrained(AutoTokenizer, source, "T5 tokenizer")
        self.model = load_pretrained(T5EncoderModel, source, "T5 model").eval().requires_grad_(False)
        self._limit = limit or min(self.tokenizer.model_max_length, LONGEST)
        self.spec = TextSpec("embeddings", self.model.config.d_model, (), self._limit, f"t5:{source}")

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> last hidden states (B, L, D), zero at padding, and the mask (B, L)."""
        batch = self._tokenise(captions)
        mask_BL = batch["attention_mask"].bool()
        hidden_BLD = self.model(**batch).last_hidden_state.float()
        return hidden_BLD * mask_BL[..., None], mask_BL


class ClapText(_Tokenised):
    """CLAP's text tower: the pooled, projected and normalised embedding, as a text of one token.

    Args:
        limit: maximum number of tokens of a caption; None: as many as the model has positions for.

    Raises:
        UserError: model or tokenizer cannot be loaded from ``source``.
    """

    def __init__(self, source: str, limit: int | None = None) -> None:
        from transformers import AutoTokenizer, ClapTextModelWithProjection

        self.tokenizer = load_pretrained(AutoTokenizer, source, "CLAP tokenizer")
        self.model = load_pretrained(ClapTextModelWithProjection, source, "CLAP model").eval().requires_grad_(False)
        config = self.model.config
        # RoBERTa counts positions from the padding index on, so the first ones are never used.
        positions = config.max_position_embeddings - config.pad_token_id - 1
        self._limit = min(limit or positions, self.tokenizer.model_max_length, positions)
        self.spec = TextSpec("embeddings", config.projection_dim, (), 1, f"clap:{source}")

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> unit vectors (B, 1, D), and a mask that is all True."""
        pooled_BD = self.model(**self._tokenise(captions)).text_embeds.float()
        return nn.functional.normalize(pooled_BD, dim=-1)[:, None], torch.ones(len(captions), 1, dtype=torch.bool)
