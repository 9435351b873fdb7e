"""Captions as a model sees them: word ids whose embedding is learnt with the model, or a frozen encoder's embeddings.

    load_text_encoder("builtin", captions)                        words of the training captions; needs no weights
    load_text_encoder("t5:google/flan-t5-base", captions)         T5 or FLAN-T5, one embedding per token
    load_text_encoder("clap:laion/clap-htsat-unfused", captions)  CLAP's pooled embedding, a single token
    load_text_encoder("t5:...+clap:...", captions)                both, one after the other

``encode`` pads to the longest caption of the batch and returns a mask that is False at padding. Masked positions hold
<pad> or zeros, and no other position depends on them: a caption is encoded the same alone or in a batch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from common.errors import UserError, did_you_mean
from common.registry import Registry

TEXT_ENCODERS = Registry(
    "text encoder",
    {"t5": "representations.text_pretrained:T5Text", "clap": "representations.text_pretrained:ClapText"},
)
PAD, UNKNOWN = "<pad>", "<unk>"
SHORTEST_LIMIT = 64  # captions may be this long even when those of training are all shorter
# A word keeps its sharp ("C#m7") and its apostrophe ("don't"); every other mark is a token of its own.
_WORD = re.compile(r"\w+(?:#\w*)?(?:'\w+)?|[^\w\s]")


@dataclass(frozen=True)
class TextSpec:
    """What a model must know about its text.

    Args:
        kind: "tokens" (int64 ids, embedded by the model) or "embeddings" (floats from a frozen encoder).
        dim: width of the embeddings; 0 for tokens.
        vocabulary: words in id order, <pad> and <unk> first; empty for embeddings.
        max_length: longest text in tokens; what is longer is cut, with a warning.
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

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (text, mask_BL): (B, L) int64 ids or (B, L, D) float32 embeddings; mask True where text is."""
        raise NotImplementedError

    def _warn_cut(self, caption: str, length: int) -> None:
        """Say once per encoder that a caption was too long."""
        if not self._warned:
            self._warned = True
            message = f"captions over {self.spec.max_length} tokens are cut, e.g. {caption[:60]!r} ({length} tokens)"
            warnings.warn(message, stacklevel=3)


def words(caption: str) -> list[str]:
    """Split a caption: ``"C#m7, 4/4 at 120 BPM."`` -> ``C#m7 , 4 / 4 at 120 BPM .``; case is kept (A major, a tune)."""
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
    """Several encoders one after the other along the length; narrower embeddings are filled up with zeros."""

    def __init__(self, parts: Sequence[TextEncoder]) -> None:
        self.parts = list(parts)
        width = max(part.spec.dim for part in parts)
        length = sum(part.spec.max_length for part in parts)
        self.spec = TextSpec("embeddings", width, (), length, "+".join(part.spec.name for part in parts))

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (B, L1 + L2 + ..., D) and the mask."""
        pairs = [part.encode(captions) for part in self.parts]
        widened = [nn.functional.pad(text_BLD, (0, self.spec.dim - text_BLD.shape[-1])) for text_BLD, _ in pairs]
        return torch.cat(widened, dim=1), torch.cat([mask_BL for _, mask_BL in pairs], dim=1)


def builtin_text(captions: Iterable[str]) -> WordTokeniser:
    """A word tokeniser with the vocabulary of ``captions`` (those of the train split), sorted."""
    split = [words(caption) for caption in captions]
    vocabulary = sorted({word for row in split for word in row})
    longest = max(map(len, split), default=0)
    return WordTokeniser((PAD, UNKNOWN, *vocabulary), max(SHORTEST_LIMIT, longest))


def load_text_encoder(spec: str, captions: Iterable[str] = ()) -> TextEncoder:
    """Make a text encoder.

    Args:
        spec: ``"builtin"``, ``"t5:<folder or hub id>"``, ``"clap:<folder or hub id>"``, or several joined by ``+``.
        captions: the training captions; only "builtin" reads them.

    Raises:
        UserError: an unknown kind, or weights that cannot be found.
    """
    if spec == "builtin":
        return builtin_text(captions)
    parts: list[TextEncoder] = []
    for part in spec.split("+"):
        kind, _, source = part.partition(":")
        if kind not in TEXT_ENCODERS.names():
            hint = did_you_mean(kind, ["builtin", *TEXT_ENCODERS.names()])
            raise UserError(f"unknown text encoder {part!r}{hint}; known: builtin (alone), t5:<model>, clap:<model>")
        parts.append(TEXT_ENCODERS.load(kind)(source))
    return parts[0] if len(parts) == 1 else ConcatenatedText(parts)
