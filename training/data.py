"""Which clip is seen when: a deterministic stream that is the same for every paradigm.

Sample number g = (update - 1) * batch + position is the stream's only state. Its clip is entry g mod n of the
permutation of epoch g // n (so no clip repeats within an epoch); its crop, its condition-dropout coin and the seed of
its noise are hashes of (seed, g). So what is trained on does not depend on the paradigm, on the number of processes or
micro-batches, nor on where a run was interrupted; two batch sizes walk through the same samples in the same order.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from common.config import config_hash
from common.errors import UserError
from common.seeds import ItemRNG, seed_for
from paradigms.base import Batch, Conditions
from representations.base import LatentSpec
from training.spec import TrainSpec

if TYPE_CHECKING:
    from representations.latents import EncodedSplit
    from representations.text import TextEncoder

ENCODE_AT_ONCE = 256  # captions per call of the text encoder


@dataclass(frozen=True)
class Item:
    """One training sample: a crop of ``clip_id`` from latent frame ``start_frame``, with or without its text."""

    clip_id: str
    start_frame: int
    keep_text: bool
    seed: int


class BatchStream:
    """Batches of normalised latents, codes and text, by update number.

    Args:
        split: the encoded training clips.
        spec: normalisation of the latents.
        text: encoder of the captions; each caption is encoded once, here.
        frames: latent frames per crop; shorter clips are left out, and counted in a note on stderr.
        batch: clips per update, over all processes.
        seed: of order, crops, coins and noise.
        condition_dropout: probability that a sample's text is withheld.

    Raises:
        UserError: no clip is as long as a crop.
    """

    def __init__(
        self,
        split: EncodedSplit,
        spec: LatentSpec,
        text: TextEncoder,
        frames: int,
        batch: int,
        seed: int,
        condition_dropout: float = 0.1,
    ) -> None:
        lengths = [len(z) for z in split.z]
        self._split, self._lengths, self._latent = split, lengths, spec
        self._kept = [i for i, length in enumerate(lengths) if length >= frames]
        self.frames, self.batch_size, self.seed, self.condition_dropout = frames, batch, seed, condition_dropout
        if not self._kept:
            longest = f"the longest of {len(lengths)} has {spec.seconds(max(lengths, default=0)):g} s"
            raise UserError(f"no clip fills a crop of {spec.seconds(frames):g} s ({longest}); lower train.seconds")
        if len(self._kept) < len(lengths):
            few = f"{len(lengths) - len(self._kept)} of {len(lengths)}"
            print(f"note: {few} clips are shorter than {spec.seconds(frames):g} s and left out", file=sys.stderr)
        self._text = _encode_captions([split.clips[i].caption for i in self._kept], text)

    @classmethod
    def for_spec(cls, spec: TrainSpec, split: EncodedSplit, latent: LatentSpec, text: TextEncoder) -> BatchStream:
        """The stream that a training run of ``spec`` reads."""
        return cls(split, latent, text, latent.frames(spec.seconds), spec.batch, spec.seed, spec.condition_dropout)

    def __len__(self) -> int:
        """Clips in one epoch."""
        return len(self._kept)

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes with the clips, their latents' normalisation, or any setting of the stream."""
        clips = [[self._split.clips[i].id, self._split.clips[i].caption, self._lengths[i]] for i in self._kept]
        settings = [self.frames, self.batch_size, self.seed, self.condition_dropout]
        return config_hash([clips, settings, self._latent.name, self._latent.mean, self._latent.std])

    def plan(self, update: int) -> list[Item]:
        """The samples of ``update`` (from 1), over the whole global batch, without loading them."""
        return [item for _, item in self._draw(update, range(self.batch_size))]

    def batch(
        self, update: int, positions: slice = slice(None), device: torch.device | str = "cpu"
    ) -> tuple[Batch, ItemRNG]:
        """Data and per-sample noise streams of some ``positions`` of the global batch of ``update``."""
        drawn = self._draw(update, range(self.batch_size)[positions])
        crops = [(self._kept[row], slice(item.start_frame, item.start_frame + self.frames)) for row, item in drawn]
        z_BTD = torch.stack([self._split.z[clip][crop] for clip, crop in crops]).float()
        codes_BKT = None
        if self._split.codes is not None:
            codes_BKT = torch.stack([self._split.codes[clip][:, crop] for clip, crop in crops]).long().to(device)
        texts, masks = (pad_sequence([self._text[row][part] for row, _ in drawn], batch_first=True) for part in (0, 1))
        conditions = Conditions(texts, masks).drop(torch.tensor([item.keep_text for _, item in drawn])).to(device)
        batch = Batch(self._latent.normalise(z_BTD).to(device), codes_BKT, conditions)
        return batch, ItemRNG([item.seed for _, item in drawn], device)

    def shared(self, update: int, device: torch.device | str = "cpu") -> ItemRNG:
        """A fresh stream for what the global batch of ``update`` shares; equal in every process and micro-batch."""
        return ItemRNG([seed_for(self.seed, "shared", update)], device)

    def _draw(self, update: int, positions: range) -> list[tuple[int, Item]]:
        """(row among the kept clips, sample) at ``positions`` of ``update``."""
        return [self._sample((update - 1) * self.batch_size + position) for position in positions]

    def _sample(self, g: int) -> tuple[int, Item]:
        epoch, entry = divmod(g, len(self._kept))
        row = int(_permutation(self.seed, epoch, len(self._kept))[entry])
        clip = self._kept[row]
        start = seed_for(self.seed, "crop", g) % (self._lengths[clip] - self.frames + 1)
        keep = seed_for(self.seed, "text", g) / 2**63 >= self.condition_dropout
        return row, Item(self._split.clips[clip].id, start, keep, seed_for(self.seed, "noise", g))


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed_for(seed, "epoch", epoch))).permutation(n)


def _encode_captions(captions: list[str], encoder: TextEncoder) -> list[tuple[Tensor, Tensor]]:
    """(text (l, ...), mask (l,)) of each caption up to its last real token; equal captions share one."""
    unique = list(dict.fromkeys(captions))
    encoded: dict[str, tuple[Tensor, Tensor]] = {}
    for start in range(0, len(unique), ENCODE_AT_ONCE):
        part = unique[start : start + ENCODE_AT_ONCE]
        text, mask_BL = encoder.encode(part)
        for caption, row, mask in zip(part, text, mask_BL, strict=True):
            length = int(mask.nonzero().max()) + 1 if mask.any() else 1
            encoded[caption] = (row[:length].detach().cpu().clone(), mask[:length].cpu().clone())
    return [encoded[caption] for caption in captions]
