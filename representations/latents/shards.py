"""One file of a store: some consecutive clips' tensors, and beside it a JSON file of facts that tells if it is whole.

A shard is published by a rename, its facts after it, so what is there is whole or is found out: facts name the clips (a
hash of their ids), their frames, the file's size, SHA-256 and time of change. ``Shard.facts`` believes a file whose
size and time are still those (a corpus of terabytes is not read again at every start) and computes the checksum of any
other; ``thorough`` computes it always. Any number of processes may publish one shard: the last whole one stays.

Reading maps the files into memory. ``Rows`` gives clip i as a view, so that a training batch touches the pages of its
crops and no others, whatever the size of the corpus.
"""

from __future__ import annotations

import contextlib
import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from torch import Tensor

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.files import file_sha256, read_json, write_json, write_tensors
from ...common.lines import count
from ...corpora import Clip
from .normalisation import Moments


class BadShardError(Exception):
    """Why a shard cannot be used, in a few words."""


@dataclass(frozen=True)
class Facts:
    """What is known of a shard's file.

    Attributes:
        ids: hash of its clips' ids.
        frames: of each clip.
        bytes, sha256, changed_ns: of the file; the last is its time of change.
        moments: of the latents, for the normalisation.
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
    """The file at ``path`` (its name ends in .safetensors) and the clips that it is to hold."""

    path: Path
    clips: Sequence[Clip]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.name.removesuffix(".safetensors")

    @property
    def ids(self) -> str:
        """Hash of the clips' ids."""
        return config_hash([clip.id for clip in self.clips])

    def beside(self, label: str) -> Shard:
        """The shard of the same clips that holds something else about them."""
        return Shard(self.path.with_name(f"{self.name}.{label}.safetensors"), self.clips)

    def facts(self, thorough: bool = False) -> Facts:
        """The facts of a shard that is there, whole, and of these clips.

        Args:
            thorough: compute the checksum even where size and time of change are as they were.

        Raises:
            BadShardError: it is not.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise BadShardError("is missing") from error
        facts = self._recorded()
        if facts.ids != self.ids:
            raise BadShardError("holds other clips")
        if facts.bytes != state.st_size:
            raise BadShardError(f"has {count(state.st_size, 'byte')}, not {facts.bytes}: it was cut short or changed")
        if thorough or facts.changed_ns != state.st_mtime_ns:
            if file_sha256(self.path) != facts.sha256:
                raise BadShardError("differs from its checksum: it was changed or damaged")
            if facts.changed_ns != state.st_mtime_ns:  # copied without its times; a read-only store stays as it is
                with contextlib.suppress(UserError):
                    self._record(dataclasses.replace(facts, changed_ns=state.st_mtime_ns))
        return facts

    def has(self, thorough: bool = False) -> bool:
        """Whether it can be used as it is."""
        try:
            self.facts(thorough)
        except BadShardError:
            return False
        return True

    def publish(self, tensors: Mapping[str, Tensor], frames: Sequence[int], **more: Any) -> Facts:
        """Write the file, then its facts.

        Args:
            frames: of each clip.
            more: ``moments`` and ``silent`` of the facts.

        Raises:
            UserError: the folder cannot be written or the disk is full.
        """
        write_tensors(self.path, tensors)
        state = self.path.stat()
        digest = file_sha256(self.path)
        facts = Facts(self.ids, tuple(frames), state.st_size, digest, state.st_mtime_ns, **more)
        self._record(facts)
        return facts

    def tensor(self, name: str) -> Tensor:
        """A tensor of the file, mapped into memory and not read.

        Raises:
            UserError: the file cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot read {self.path}: {error}; `bench data check` finds what is wrong") from error
        return tensor

    @property
    def _beside(self) -> Path:
        return self.path.with_suffix(".json")

    def _record(self, facts: Facts) -> None:
        write_json(self._beside, dataclasses.asdict(facts))

    def _recorded(self) -> Facts:
        try:
            told = read_json(self._beside)
            about, frames = told.pop("moments"), tuple(told.pop("frames"))
            return Facts(**told, frames=frames, moments=Moments(**about) if about else None)
        except (UserError, AttributeError, KeyError, TypeError) as error:
            raise BadShardError(f"has no readable {self._beside.name} beside it") from error


class Rows(Sequence[Tensor]):
    """One tensor per clip over many shards, each a view of a mapped file.

    Args:
        shards: in the clips' order.
        frames: of each clip, shard by shard.
        name: of the tensor in the files, which has clips end to end along ``dim``.
    """

    def __init__(self, shards: Sequence[Shard], frames: Sequence[Sequence[int]], name: str, dim: int = 0) -> None:
        self._shards, self._name, self._dim = shards, name, dim
        self._starts = [list(accumulate(counts, initial=0)) for counts in frames]
        self._first = list(accumulate((len(counts) for counts in frames), initial=0))
        self._open: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Clips."""
        return self._first[-1]

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """Clip ``index``, (T, ...) or, along another ``dim``, (..., T)."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect_right(self._first, index) - 1
        at = index - self._first[shard]
        start, end = self._starts[shard][at : at + 2]
        return self._mapped(shard).narrow(self._dim, start, end - start)

    def __iter__(self) -> Iterator[Tensor]:
        """Clip by clip."""
        return (self[i] for i in range(len(self)))

    def _mapped(self, shard: int) -> Tensor:
        if shard not in self._open:
            self._open[shard] = self._shards[shard].tensor(self._name)
        return self._open[shard]
