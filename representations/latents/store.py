"""The store of encoded corpora: one folder per corpus, representation and number format, in shards, with a manifest.

    latents/<corpus>-<key>/
        manifest.json                      of what, and every complete split
        train-00000.safetensors            z_MD (M frames, D channels), codes_KM (K codebooks) of 640 clips
        train-00000.json                   what that file holds (shards.py)
        train-00000.melody-<key>.safetensors   tokens_M of one control of the same clips, with a JSON file of its own

A shard is ``clips_per_shard`` consecutive clips of a split. The default is a multiple of what the encoder takes at
once, so that a small corpus gives the same numbers as in one piece. The manifest holds

    {"format", "corpus": {name, fingerprint}, "representation": {name, fingerprint, ...}, "frame_rate_hz", "dtype",
     "clips_per_shard", "clips": in complete splits, "normalisation": {mean, std_paper, std_global, clips, of},
     "splits": {"train": {"latents": [{name, clips, frames, bytes, sha256}, ...], "melody-<key>": [...]}}}

Every process that writes shards rebuilds this summary from the files, so the order of writers does not matter; what is
not complete is left out. Only ``clips_per_shard`` is fixed, by the first writer.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...common.config import config_hash
from ...common.errors import UserError, did_you_mean
from ...common.files import cache_dir, read_json, write_json
from ...common.lines import count
from ...corpora import Clip, Corpus
from ..base import Representation
from ..spec import LatentSpec
from .normalisation import ONE_PASS, LatentStats, combine_moments, latent_stats
from .shards import BadShardError, ClipTensors, Shard, ShardInfo

FORMAT = 2  # of the store; part of its key
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CLIPS_PER_SHARD = 640  # whole batches of the encoder (encode.py) and of the drum stems (controls.py)
SHARD_BYTES = 2**28  # a shard of long clips holds fewer of them
FEWEST_CLIPS = 10
LATENTS = "latents"  # label of a shard of latents in the manifest

ShardId = tuple[str, int]  # split, number of the shard in it


@dataclass(frozen=True)
class StoreLayout:
    """The store of one corpus in one representation: which file holds which clips.

    Attributes:
        spec, fingerprint: of the representation.
        dtype: number format of the stored latents; models always compute in float32.
        clips_per_shard: clips in one shard; the last of a split may have fewer.
    """

    corpus: Corpus
    spec: LatentSpec
    fingerprint: str
    dtype: str
    folder: Path
    clips_per_shard: int

    @property
    def manifest(self) -> Path:
        """Path of the manifest."""
        return self.folder / "manifest.json"

    def clips(self, split: str) -> list[Clip]:
        """The clips of ``split``; empty if the corpus has none."""
        return self.corpus.clips_by_split.get(split, [])

    def count(self, split: str) -> int:
        """Number of shards of ``split``."""
        return -(-len(self.clips(split)) // self.clips_per_shard)

    def shard(self, split: str, number: int) -> Shard:
        """One shard of ``split``."""
        start = number * self.clips_per_shard
        clips = self.clips(split)[start : start + self.clips_per_shard]
        return Shard(self.folder / f"{split}-{number:05d}.safetensors", clips)

    def shards(self, split: str) -> list[Shard]:
        """The shards of ``split`` in the order of the clips."""
        return [self.shard(split, number) for number in range(self.count(split))]

    def shard_ids(self, splits: Sequence[str], task: int = 0, tasks: int = 1) -> list[ShardId]:
        """The shards of ``splits`` that array task ``task`` of ``tasks`` encodes."""
        everything = [(split, number) for split in splits for number in range(self.count(split))]
        return everything[task::tasks]

    def stored(self, split: str) -> dict[str, list[Shard]]:
        """Label -> shards of ``split``: the latents, and every control that has a file there."""
        shards = self.shards(split)
        if not shards:
            return {}
        labels = sorted({path.name.split(".")[1] for path in self.folder.glob(f"{split}-*.*.safetensors")})
        return {LATENTS: shards, **{label: [shard.labelled(label) for shard in shards] for label in labels}}


def layout_of(
    corpus: Corpus, representation: Representation, dtype: str = "float32", clips_per_shard: int | None = None
) -> StoreLayout:
    """The layout of a store, which need not exist yet; an existing store keeps the size of its shards.

    Args:
        clips_per_shard: None: as the store has it; for a new store: by ``clips_that_fit``.

    Raises:
        UserError: an unknown ``dtype``, a manifest of something else, or shards of another size than asked for.
    """
    if dtype not in DTYPES:
        raise UserError(f"latents of {dtype!r}{did_you_mean(dtype, list(DTYPES))}; known: {', '.join(DTYPES)}")
    if clips_per_shard is not None and clips_per_shard < 1:
        raise UserError(f"--clips-per-shard {clips_per_shard}: give at least 1")
    key = [FORMAT, corpus.fingerprint, representation.fingerprint, *([dtype] if dtype != "float32" else [])]
    folder = cache_dir("latents", f"{corpus.name}-{config_hash(key)}")
    spec = representation.spec
    first = next((clips for clips in corpus.clips_by_split.values() if clips), [])
    size = clips_per_shard or clips_that_fit(spec, sum(clip.seconds for clip in first) / max(len(first), 1))
    layout = StoreLayout(corpus, spec, representation.fingerprint, dtype, folder, size)
    existing = _existing_clips_per_shard(layout)
    if existing and clips_per_shard not in (None, existing):
        raise UserError(
            f"{folder}: its shards have {count(existing, 'clip')}, not {clips_per_shard}; leave out --clips-per-shard, "
            "or delete the folder to encode everything again"
        )
    return dataclasses.replace(layout, clips_per_shard=existing or size)


def clips_that_fit(spec: LatentSpec, seconds: float) -> int:
    """``CLIPS_PER_SHARD``, halved until a shard of clips of ``seconds`` is below ``SHARD_BYTES``."""
    size = CLIPS_PER_SHARD
    while size > FEWEST_CLIPS and size * clip_bytes(spec, seconds) > SHARD_BYTES:
        size //= 2
    return size


def clip_bytes(spec: LatentSpec, seconds: float, dtype: str = "float32") -> float:
    """Stored bytes of a clip of ``seconds``: latents, and codes of two bytes each."""
    return seconds * spec.frame_rate_hz * (spec.dim * DTYPES[dtype].itemsize + 2 * spec.codebooks)


def _existing_clips_per_shard(layout: StoreLayout) -> int | None:
    """Clips per shard as the manifest states them; None if there is no store."""
    if not layout.manifest.exists():
        return None
    data = read_json(layout.manifest, remade=True)
    for key, value in _heading(layout).items():
        found = data.get(key) if isinstance(data, Mapping) else None
        if key != "clips_per_shard" and found != value:
            raise UserError(
                f"{layout.manifest}: its {key} is {_short(found)}, expected {_short(value)}; it belongs to another "
                "store: delete the folder, or put back the right one"
            )
        if key == "clips_per_shard" and not (isinstance(found, int) and found > 0):
            raise UserError(f"{layout.manifest}: its {key} is {found!r}; delete the file to have it made anew")
    return int(data["clips_per_shard"])


def create_manifest(layout: StoreLayout) -> None:
    """Write the manifest of a new store, so that all other processes make shards of the same size."""
    if not layout.manifest.exists():
        write_json(layout.manifest, _heading(layout))


def _heading(layout: StoreLayout) -> dict[str, Any]:
    """The part of the manifest that states what the store is of."""
    spec = layout.spec
    return {
        "format": FORMAT,
        "corpus": {"name": layout.corpus.name, "fingerprint": layout.corpus.fingerprint},
        "representation": {
            "name": spec.name, "fingerprint": layout.fingerprint, "sample_rate": spec.sample_rate, "dim": spec.dim,
            "codebooks": spec.codebooks, "cardinality": spec.cardinality,
        },
        "frame_rate_hz": spec.frame_rate_hz,
        "dtype": layout.dtype,
        "clips_per_shard": layout.clips_per_shard,
    }  # fmt: skip


def _short(value: Any) -> str:
    """A value of the manifest for an error: name and fingerprint of a mapping that has them."""
    named = isinstance(value, Mapping) and "name" in value
    return f"{value['name']} ({value['fingerprint']})" if named else repr(value)


def update_manifest(layout: StoreLayout) -> None:
    """Rebuild the summary from the files of the store, and write it if it changed."""
    splits: dict[str, dict[str, Any]] = {}
    stats = None
    for split in layout.corpus.clips_by_split:
        for label, shards in layout.stored(split).items():
            with contextlib.suppress(BadShardError):
                infos = [shard.info() for shard in shards]
                splits.setdefault(split, {})[label] = [_row(shard, info) for shard, info in zip(shards, infos)]
                if (split, label) == ("train", LATENTS):
                    stats = {"of": _digest(infos), **dataclasses.asdict(stats_of_store(layout, infos))}
    clips = sum(row["clips"] for rows in splits.values() for row in rows.get(LATENTS, ()))
    data = {**_heading(layout), "clips": clips, "normalisation": stats, "splits": splits}
    if not layout.manifest.exists() or data != read_json(layout.manifest, remade=True):
        with contextlib.suppress(UserError):  # a read-only store keeps its older summary
            write_json(layout.manifest, data)


def _row(shard: Shard, info: ShardInfo) -> dict[str, Any]:
    about = {"name": shard.name, "clips": len(info.frames), "frames": sum(info.frames), "bytes": info.bytes}
    return {**about, "sha256": info.sha256}


def _digest(infos: Sequence[ShardInfo]) -> str:
    """Hash of the checksums of shards."""
    return config_hash([info.sha256 for info in infos])


def stats_of_store(layout: StoreLayout, infos: Sequence[ShardInfo]) -> LatentStats:
    """The statistics of the train split: from the manifest if it has them, else measured.

    Args:
        infos: of every train shard. Above ``ONE_PASS`` values their moments are combined, else latents are read.
    """
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        stated = dict(read_json(layout.manifest)["normalisation"])
        if stated.pop("of") == _digest(infos):
            return LatentStats(**stated)
    parts = [info.moments for info in infos if info.moments is not None]
    if sum(part.values for part in parts) > ONE_PASS:
        return combine_moments(parts)
    return latent_stats(ClipTensors(layout.shards("train"), [info.frames for info in infos], "z_MD"))


@dataclass(frozen=True)
class BadFile:
    """A file of a store that cannot be used.

    Attributes:
        control: whose tokens it holds; empty: it holds latents.
        reason: the end of a sentence about the file.
        task: the array task that makes this shard alone, e.g. ``"17/40"``.
    """

    name: str
    control: str
    reason: str
    task: str


def check_store(layout: StoreLayout, splits: Sequence[str]) -> Iterator[BadFile | None]:
    """Compare every file of ``splits`` with its checksum and with the manifest; yields None for a good one."""
    shard_ids = layout.shard_ids(splits)
    stored = {split: layout.stored(split) for split in splits}
    checksums: dict[str, str] = {}
    with contextlib.suppress(KeyError):  # the manifest of an unfinished store lists nothing
        by_split = read_json(layout.manifest, remade=True)["splits"]
        rows = [row for by_label in by_split.values() for listed in by_label.values() for row in listed]
        checksums = {row["name"]: row["sha256"] for row in rows}
    for at, (split, number) in enumerate(shard_ids):
        for label, shards in stored[split].items():
            reason = _problem(shards[number], checksums)
            control = label.partition("-")[0] if "-" in label else ""
            yield BadFile(shards[number].name, control, reason, f"{at}/{len(shard_ids)}") if reason else None


def _problem(shard: Shard, checksums: Mapping[str, str]) -> str:
    try:
        info = shard.info(thorough=True)
    except BadShardError as error:
        return str(error)
    replaced = checksums.get(shard.name, info.sha256) != info.sha256
    return "is not the file that the manifest lists: it was replaced" if replaced else ""
