"""Control tokens of a whole split, made once and kept beside its latents, one file per control.

A file's name holds a hash of what the tokens rest on besides corpus and codec, which name the folder: the clips and
their frames, the rules' version and the extractor's. Files are written whole or not at all (common.files), so one that
is there and fits is right; what cannot be read is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor

from common.config import config_hash
from common.files import write_tensors
from corpora import Clip
from corpora.extractors import load_extractor
from representations.base import Representation
from representations.control_tokens import VERSION, drum_tokens, timed_tokens

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
AT_ONCE = 64  # clips between two steps of the bar


def cached_tokens(
    names: Sequence[str], clips: Sequence[Clip], frames: Sequence[int], representation: Representation,
    folder: Path, stem: str, bar: Bar,
) -> dict[str, list[Tensor]]:  # fmt: skip
    """Each control's tokens, clip by clip (T,), from the cache or made and kept.

    Args:
        frames: latent frames of each clip.
        stem: of the files' names.
        bar: label, total -> a context manager that yields ``advance(n)``.

    Raises:
        UserError: an unknown chord label in an annotation, or the cache cannot be written.
    """
    return {name: _tokens(name, clips, frames, representation, folder, stem, bar) for name in names}


def _tokens(
    name: str, clips: Sequence[Clip], frames: Sequence[int], representation: Representation,
    folder: Path, stem: str, bar: Bar,
) -> list[Tensor]:  # fmt: skip
    heard_by = None if name == "drums" else load_extractor("melody" if name == "melody" else "chords").name
    key = config_hash([VERSION, name, heard_by, [clip.id for clip in clips], list(frames)])
    path = folder / f"{stem}.{name}-{key}.safetensors"
    found_M = _read(path, sum(frames))
    if found_M is None:
        found_M = torch.cat(_make(name, clips, frames, representation, bar)) if clips else torch.zeros(0)
        write_tensors(path, {"tokens_M": found_M.to(torch.int16)})
    return list(found_M.long().split(list(frames)))


def _make(
    name: str, clips: Sequence[Clip], frames: Sequence[int], representation: Representation, bar: Bar
) -> list[Tensor]:
    tokens: list[Tensor] = []
    with bar(f"controls: {name}", len(clips)) as advance:
        for start in range(0, len(clips), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            if name == "drums":
                tokens += drum_tokens(clips[part], representation, frames[part])
            else:
                pairs = zip(clips[part], frames[part])
                tokens += [timed_tokens(clip, name, representation.spec, count) for clip, count in pairs]
            advance(len(clips[part]))
    return tokens


def _read(path: Path, total: int) -> Tensor | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tokens_M = load_file(path)["tokens_M"]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return tokens_M if len(tokens_M) == total else None
