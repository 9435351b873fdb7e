"""From a shard's clips to its tensors: the encoder in batches, codes, and what the shard tells of its clips."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...common.lines import count
from ...corpora import Clip
from ..base import LatentSpec, Representation, fit_length
from .normalisation import moments
from .shards import Facts, Shard

BATCH_SECONDS = 40.0  # of audio encoded at once
Advance = Callable[[int], None]


def encode_shard(
    shard: Shard, representation: Representation, dtype: torch.dtype, advance: Advance = lambda clips: None
) -> Facts:
    """Encode the shard's clips and publish them; codes are of the latents before they are rounded to ``dtype``.

    Raises:
        UserError: a clip cannot be read, or the shard cannot be written.
    """
    z: list[Tensor] = []
    codes: list[Tensor] = []
    silent: list[str] = []
    with torch.no_grad():
        for wav_BN in _batches(shard.clips, representation.spec, silent):
            z_BTD = representation.encode(wav_BN.to(representation.device))
            z += z_BTD.cpu().float()
            if representation.spec.codebooks:
                codes += representation.quantise(z_BTD).cpu().to(torch.int16)
            advance(len(wav_BN))
    if silent:
        print(f"note: {_some(silent)} of {shard.name}: silent, every sample is zero", file=sys.stderr)
    kept = [z_TD.to(dtype) for z_TD in z]
    tensors = {"z_MD": torch.cat(kept)}
    if codes:
        tensors["codes_KM"] = torch.cat(codes, dim=1)
    return shard.publish(tensors, [len(z_TD) for z_TD in z], moments=moments(kept), silent=tuple(silent))


def _batches(clips: Sequence[Clip], spec: LatentSpec, silent: list[str]) -> Iterator[Tensor]:
    """Consecutive clips of equal frame counts, stacked to (B, N), about ``BATCH_SECONDS`` at a time."""
    batch: list[Tensor] = []
    for clip in clips:
        wav_N = clip.audio(spec.sample_rate)
        if not np.any(wav_N):
            silent.append(clip.id)
        wav_1N = torch.from_numpy(wav_N)[None]
        frames = max(spec.group, spec.frames(wav_1N.shape[-1] / spec.sample_rate))
        wav_1N = fit_length(wav_1N, round(frames * spec.sample_rate / spec.frame_rate_hz))
        full = batch and len(batch) * batch[0].shape[-1] >= BATCH_SECONDS * spec.sample_rate
        if batch and (full or batch[0].shape != wav_1N.shape):
            yield torch.cat(batch)
            batch = []
        batch.append(wav_1N)
    if batch:
        yield torch.cat(batch)


def _some(ids: Sequence[str], shown: int = 3) -> str:
    return ", ".join(ids[:shown]) + (f" and {count(len(ids) - shown, 'more clip')}" if len(ids) > shown else "")
