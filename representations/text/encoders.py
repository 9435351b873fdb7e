"""Captions as tensors: word ids whose embedding is learnt with the model, or embeddings of a frozen encoder.

    load_text_encoder("builtin", captions)                        words of the training captions; needs no weights
    load_text_encoder("t5:google/flan-t5-base", captions)         T5 or FLAN-T5, one embedding per token
    load_text_encoder("clap:laion/clap-htsat-unfused", captions)  CLAP's pooled embedding, a single token
    load_text_encoder("clap:...+t5[77]:...", captions)            both, one after the other; at most 78 tokens

``encode`` pads to the longest caption of the batch and returns a mask that is False at padding. Padding is <pad> or
zeros and does not change other positions: a caption is encoded the same alone or in a batch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...common.errors import UserError, did_you_mean
from ...common.lines import count
from ...common.registry import Registry
from ..base import load_pretrained

TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "t5": "paradigm_bench.representations.text.encoders:T5Text",
        "clap": "paradigm_bench.representations.text.encoders:ClapText",
    },
)
LONGEST = 512  # tokens, the limit of T5, for tokenizers that state none
PAD, UNKNOWN = "<pad>", "<unk>"
SHORTEST_LIMIT = 64  # tokens; captions may be this long even if all training captions are shorter
_LIMITED = re.compile(r"(.+)\[([1-9]\d*)\]")  # "t5[77]"
# A word includes its sharp ("C#m7") and its apostrophe ("don't"); every other punctuation mark is a token.
_WORD = re.compile(r"\w+(?:#\w*)?(?:'\w+)?|[^\w\s]")


@dataclass(frozen=True)
class TextSpec:
    """Kind, width and length of text: all that a model must know about it.

    Args:
        kind: "tokens" (int64 ids, embedded by the model) or "embeddings" (floats from a frozen encoder).
        dim: width of the embeddings; 0 for tokens.
        vocabulary: words in id order, <pad> and <unk> first; empty for embeddings.
        max_length: maximum number of tokens of a text; longer captions are cut, with a warning.
        name: the encoder's spec, for records.
    """

    kind: Literal["tokens", "embeddings"]
    dim: int
    vocabulary: tuple[str, ...]
    max_length: int
    name: str = "builtin"


class TextEncoder:
    """Captions to tensors. Subclasses set ``spec`` and implement ``encode``."""

    spec: TextSpec
    _warned = False

    @property
    def limit(self) -> int:
        """Maximum number of tokens of a caption that are read."""
        return self.spec.max_length

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (text, mask_BL): (B, L) int64 ids or (B, L, D) float32 embeddings; the mask is True at text."""
        raise NotImplementedError

    def _warn_cut(self, caption: str, length: int) -> None:
        """Warn, once per encoder, that a caption was too long."""
        if not self._warned:
            self._warned = True
            message = (
                f"captions over {count(self.limit, 'token')} are cut, e.g. {caption[:60]!r} ({count(length, 'token')})"
            )
            warnings.warn(message, stacklevel=3)


def words(caption: str) -> list[str]:
    """Split a caption: ``"C#m7, 4/4 at 120 BPM."`` -> ``C#m7 , 4 / 4 at 120 BPM .``; case is kept."""
    return _WORD.findall(caption)


class WordTokeniser(TextEncoder):
    """Word ids of a fixed vocabulary; unknown words become <unk>; a caption without words is a single <unk>."""

    def __init__(self, vocabulary: Sequence[str], max_length: int) -> None:
        if tuple(vocabulary[:2]) != (PAD, UNKNOWN):
            raise UserError(f"a vocabulary starts with {PAD} and {UNKNOWN}, got {list(vocabulary[:2])}")
        self.spec = TextSpec("tokens", 0, tuple(vocabulary), max_length)
        self._ids = {word: index for index, word in enumerate(vocabulary)}

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> ids (B, L) int64 with 0 at padding, and the mask (B, L)."""
        rows = [self._row(caption) for caption in captions]
        ids_BL = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
        return ids_BL, ids_BL != 0

    def _row(self, caption: str) -> Tensor:
        found = words(caption) or [UNKNOWN]
        if len(found) > self.spec.max_length:
            self._warn_cut(caption, len(found))
        return torch.tensor([self._ids.get(word, 1) for word in found[: self.spec.max_length]])


class ConcatenatedText(TextEncoder):
    """Several encoders one after the other along the length, as CLAP and FLAN-T5 in Huang et al. 2025, section 4.2.

    Each encoder has its own channels, where the others are zero. So the single projection with which a model reads
    embeddings has separate weights for each encoder; only the bias is shared.
    """

    def __init__(self, parts: Sequence[TextEncoder]) -> None:
        self.parts = list(parts)
        width = sum(part.spec.dim for part in parts)
        length = sum(part.spec.max_length for part in parts)
        self.spec = TextSpec("embeddings", width, (), length, "+".join(part.spec.name for part in parts))

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (B, L1 + L2 + ..., D1 + D2 + ...) and the mask."""
        texts, masks, before = [], [], 0
        for part in self.parts:
            text_BLD, mask_BL = part.encode(captions)
            after = self.spec.dim - before - part.spec.dim
            texts.append(nn.functional.pad(text_BLD, (before, after)))
            masks.append(mask_BL)
            before += part.spec.dim
        return torch.cat(texts, dim=1), torch.cat(masks, dim=1)


class NoText(TextEncoder):
    """The null text for any caption: one masked position, in the form of ``spec``."""

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> zeros (B, 1) or (B, 1, D), and a mask that is all False."""
        text = torch.zeros(len(captions), 1, dtype=torch.int64)
        if self.spec.kind == "embeddings":
            text = torch.zeros(len(captions), 1, self.spec.dim)
        return text, torch.zeros(len(captions), 1, dtype=torch.bool)


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


def builtin_text(captions: Iterable[str]) -> WordTokeniser:
    """A word tokeniser whose vocabulary is the sorted words of ``captions`` (those of the train split)."""
    split = [words(caption) for caption in captions]
    vocabulary = sorted({word for row in split for word in row})
    longest = max(map(len, split), default=0)
    return WordTokeniser((PAD, UNKNOWN, *vocabulary), max(SHORTEST_LIMIT, longest))


def load_text_encoder(spec: str, captions: Iterable[str] = ()) -> TextEncoder:
    """Make a text encoder.

    Args:
        spec: ``"builtin"``, ``"t5:<folder or hub id>"``, ``"clap:<folder or hub id>"``, or several joined by ``+``;
            ``t5[77]:`` reads at most 77 tokens of a caption, instead of the tokenizer's own limit.
        captions: the training captions, for the vocabulary of "builtin".

    Raises:
        UserError: an unknown kind, or weights that cannot be found.
    """
    if spec == "builtin":
        return builtin_text(captions)
    parts: list[TextEncoder] = []
    for part in spec.split("+"):
        named, _, source = part.partition(":")
        limited = _LIMITED.fullmatch(named)
        kind, limit = (limited[1], [int(limited[2])]) if limited else (named, [])
        if kind not in TEXT_ENCODERS.names():
            hint = did_you_mean(kind, ["builtin", *TEXT_ENCODERS.names()])
            raise UserError(f"unknown text encoder {part!r}{hint}; known: builtin (alone), t5:<model>, clap:<model>")
        parts.append(TEXT_ENCODERS.load(kind)(source, *limit))
    return parts[0] if len(parts) == 1 else ConcatenatedText(parts)
