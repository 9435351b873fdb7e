"""Captions as numbers: split into words and punctuation, case kept ("A" the key is not "a" the article)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1
MAX_WORDS, MAX_VOCABULARY = 96, 4000
_WORD = re.compile(r"[\w#'/-]+|[^\w\s]")


def split(caption: str) -> list[str]:
    """``"C# minor, 90 BPM"`` -> ``["C#", "minor", ",", "90", "BPM"]``."""
    return _WORD.findall(caption)


def vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """The words that occur at least twice, the commonest 4000 first, ties by spelling."""
    counts = Counter(word for caption in captions for word in split(caption))
    ranked = sorted((word for word, n in counts.items() if n > 1), key=lambda word: (-counts[word], word))
    return tuple(ranked[:MAX_VOCABULARY])


def encode(captions: Sequence[str], words: Sequence[str]) -> Tensor:
    """Word numbers (B, L), 0 for padding and 1 for unknown words; words after the 96th are not read."""
    number = {word: i for i, word in enumerate(words, start=2)}
    rows = [[number.get(word, UNKNOWN) for word in split(caption)[:MAX_WORDS]] for caption in captions]
    out_BL = torch.full((len(rows), max(1, *map(len, rows)) if rows else 1), PADDING, dtype=torch.long)
    for i, row in enumerate(rows):
        out_BL[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return out_BL
