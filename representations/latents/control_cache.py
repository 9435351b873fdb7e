"""Control tokens, made once and kept beside the latents: one file per control and shard, published as the latents are.

A file's name holds a hash of what the tokens rest on besides corpus and codec, which name the folder: the rules'
version and the extractor's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...common.config import config_hash
from ...corpora import Clip
from ...corpora.extractors import load_extractor
from ..base import Representation
from .control_tokens import VERSION, drum_tokens, timed_tokens
from .encoding import Advance
from .shards import Facts, Shard

AT_ONCE = 64  # clips between two steps of the bar


def control_label(name: str) -> str:
    """What the files of a control are called."""
    heard_by = None if name == "drums" else load_extractor("melody" if name == "melody" else "chords").name
    return f"{name}-{config_hash([VERSION, name, heard_by])}"


def control_shard(
    latents: Shard, frames: Sequence[int], name: str, representation: Representation,
    advance: Advance = lambda clips: None,
) -> Facts:  # fmt: skip
    """Make one control's tokens for the clips of a shard of ``latents``, and publish them.

    Args:
        frames: latent frames of each clip.

    Raises:
        UserError: an unknown chord label in an annotation, or the shard cannot be written.
    """
    tokens_M = torch.cat(_make(name, latents.clips, frames, representation, advance))
    return latents.beside(control_label(name)).publish({"tokens_M": tokens_M.to(torch.int16)}, frames)


def _make(
    name: str, clips: Sequence[Clip], frames: Sequence[int], representation: Representation, advance: Advance
) -> list[Tensor]:
    tokens: list[Tensor] = []
    for start in range(0, len(clips), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        if name == "drums":
            tokens += drum_tokens(clips[part], representation, frames[part])
        else:
            pairs = zip(clips[part], frames[part])
            tokens += [timed_tokens(clip, name, representation.spec, count) for clip, count in pairs]
        advance(len(clips[part]))
    return tokens
