"""One file of a store: the tensors of some consecutive clips, and a JSON file beside it that tells whether it is whole.

A shard is written to a temporary file and renamed, and its JSON file follows. It holds a hash of the clips' ids, their
frames, and the size, SHA-256 and modification time of the shard, so an incomplete or changed shard is detected.
``Shard.info`` trusts a file whose size and time are unchanged, so that a corpus of terabytes is not read at every
start, and computes the checksum otherwise; ``thorough`` always computes it. Several processes may write the same
shard: the last complete one remains.

Files are memory-mapped. ``ClipTensors`` gives clip i as a view, so that a training batch reads the pages of its crops
and no others, whatever the size of the corpus.
"""

from __future__ import annotations

import contextlib
import dataclasses
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.files import file_sha256, read_json, write_json, write_tensors
from ...common.lines import count
from ...corpora import Clip
from .normalisation import Moments


class BadShardError(Exception):
    """A shard cannot be used; the message states why, as the end of a sentence about the file."""


@dataclass(frozen=True)
class ShardInfo:
    """The content of the JSON file beside a shard.

    Attributes:
        ids: hash of the clips' ids.
        frames: latent frames of each clip.
        bytes, sha256, changed_ns: size, checksum and modification time of the shard.
        moments: of the latents, for the normalisation; None for controls.
        silent: ids of clips whose samples are all zero.
    """

    ids: str
    frames: tuple[int, ...]
    bytes: int
    sha256: str
    changed_ns: int
    moments: Moments | None = None
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """The file at ``path`` (its name ends in .safetensors) and the clips that belong in it."""

    path: Path
    clips: Sequence[Clip]

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.name.removesuffix(".safetensors")

    @property
    def ids(self) -> str:
        """Hash of the clips' ids."""
        return config_hash([clip.id for clip in self.clips])

    def labelled(self, label: str) -> Shard:
        """The shard with other data of the same clips, e.g. a control."""
        return Shard(self.path.with_name(f"{self.name}.{label}.safetensors"), self.clips)

    def info(self, thorough: bool = False) -> ShardInfo:
        """Check the shard and return what its JSON file states.

        Args:
            thorough: compute the checksum even if size and modification time are unchanged.

        Raises:
            BadShardError: the shard is missing, incomplete, changed, or holds other clips.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise BadShardError("is missing") from error
        info = self._read_info()
        if info.ids != self.ids:
            raise BadShardError("holds other clips")
        if info.bytes != state.st_size:
            raise BadShardError(f"has {count(state.st_size, 'byte')}, not {info.bytes}: it was cut short or changed")
        if thorough or info.changed_ns != state.st_mtime_ns:
            if file_sha256(self.path) != info.sha256:
                raise BadShardError("differs from its checksum: it was changed or damaged")
            if info.changed_ns != state.st_mtime_ns:  # copied without its time; a read-only store stays as it is
                with contextlib.suppress(UserError):
                    self._write_info(dataclasses.replace(info, changed_ns=state.st_mtime_ns))
        return info

    def is_good(self, thorough: bool = False) -> bool:
        """Whether the shard can be used; ``thorough``: see ``info``."""
        try:
            self.info(thorough)
        except BadShardError:
            return False
        return True

    def publish(self, tensors: Mapping[str, Tensor], frames: Sequence[int], **more: Any) -> ShardInfo:
        """Write the shard, then the JSON file beside it.

        Args:
            tensors: by name, with clips end to end.
            frames: latent frames of each clip.
            more: ``moments`` and ``silent`` of the info.

        Raises:
            UserError: the folder cannot be written or the disk is full.
        """
        write_tensors(self.path, tensors)
        state = self.path.stat()
        digest = file_sha256(self.path)
        info = ShardInfo(self.ids, tuple(frames), state.st_size, digest, state.st_mtime_ns, **more)
        self._write_info(info)
        return info

    def tensor(self, name: str) -> Tensor:
        """A tensor of the file, memory-mapped.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot read {self.path}: {error}; `bench data check` finds what is wrong") from error
        return tensor

    def _write_info(self, info: ShardInfo) -> None:
        write_json(self.path.with_suffix(".json"), dataclasses.asdict(info))

    def _read_info(self) -> ShardInfo:
        path = self.path.with_suffix(".json")
        try:
            data = read_json(path)
            moments, frames = data.pop("moments"), tuple(data.pop("frames"))
            return ShardInfo(**data, frames=frames, moments=Moments(**moments) if moments else None)
        except (UserError, AttributeError, KeyError, TypeError) as error:
            raise BadShardError(f"has no readable {path.name} beside it") from error


class ClipTensors(Sequence[Tensor]):
    """One tensor per clip over many shards, each a view of a memory-mapped file.

    Args:
        shards: in the order of the clips.
        frames: latent frames of each clip, shard by shard.
        name: of the tensor in the files.
        dim: the dimension along which the tensor has clips end to end.
    """

    def __init__(self, shards: Sequence[Shard], frames: Sequence[Sequence[int]], name: str, dim: int = 0) -> None:
        self._shards, self._name, self._dim = shards, name, dim
        self._starts = [list(accumulate(counts, initial=0)) for counts in frames]
        self._first = list(accumulate((len(counts) for counts in frames), initial=0))
        self._open: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Number of clips."""
        return self._first[-1]

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """The tensor of clip ``index``: (T, ...), or (..., T) with ``dim`` 1."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect_right(self._first, index) - 1
        at = index - self._first[shard]
        start, end = self._starts[shard][at : at + 2]
        if shard not in self._open:
            self._open[shard] = self._shards[shard].tensor(self._name)
        return self._open[shard].narrow(self._dim, start, end - start)
