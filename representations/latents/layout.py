"""Where a corpus' latents lie: one folder per corpus, representation and number format, in shards, with a manifest.

    latents/<corpus>-<key>/
        manifest.json                      of what, and every complete split (store_manifest.py)
        train-00000.safetensors            z_MD (M frames, D channels), codes_KM (K codebooks) of 640 clips
        train-00000.json                   facts of that file (shards.py)
        train-00000.melody-<key>.safetensors   tokens_M of one control of the same clips, with facts of its own

A shard is ``clips_per_shard`` consecutive clips of a split. The default is a multiple of what the encoder takes at
once, so that a small corpus gives the same numbers as in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ...corpora import Clip, Corpus
from ..base import LatentSpec
from .shards import Shard

FORMAT = 2  # of the store; part of its key
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CLIPS_PER_SHARD = 640  # whole batches of the encoder (encoding.py) and of the drums' (control_cache.py)
SHARD_BYTES = 2**28  # longer clips come fewer to a shard
FEWEST_CLIPS = 10


@dataclass(frozen=True)
class Layout:
    """The store of one corpus in one representation: which file holds which clips.

    Attributes:
        dtype: of the stored latents; models always compute on them in float32.
    """

    corpus: Corpus
    spec: LatentSpec
    fingerprint: str
    dtype: str
    folder: Path
    clips_per_shard: int

    @property
    def manifest(self) -> Path:
        """The summary."""
        return self.folder / "manifest.json"

    def clips(self, split: str) -> list[Clip]:
        """The clips of ``split``; none where the corpus has none."""
        return self.corpus.clips_by_split.get(split, [])

    def count(self, split: str) -> int:
        """How many shards ``split`` has."""
        return -(-len(self.clips(split)) // self.clips_per_shard)

    def shard(self, split: str, number: int) -> Shard:
        """One shard of ``split``."""
        start = number * self.clips_per_shard
        clips = self.clips(split)[start : start + self.clips_per_shard]
        return Shard(self.folder / f"{split}-{number:05d}.safetensors", clips)

    def shards(self, split: str) -> list[Shard]:
        """The shards of ``split`` in the clips' order."""
        return [self.shard(split, number) for number in range(self.count(split))]


def clips_that_fit(spec: LatentSpec, seconds: float) -> int:
    """The largest halving of ``CLIPS_PER_SHARD`` whose clips of ``seconds`` stay below ``SHARD_BYTES``."""
    count = CLIPS_PER_SHARD
    while count > FEWEST_CLIPS and count * clip_bytes(spec, seconds) > SHARD_BYTES:
        count //= 2
    return count


def clip_bytes(spec: LatentSpec, seconds: float, dtype: str = "float32") -> float:
    """Stored bytes of a clip: latents, and codes of two bytes each."""
    return seconds * spec.frame_rate_hz * (spec.dim * DTYPES[dtype].itemsize + 2 * spec.codebooks)
