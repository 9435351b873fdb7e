"""The manifest of a store: of what it is, how many clips its shards have, and a summary of them.

    {"format", "corpus": {name, fingerprint}, "representation": {name, fingerprint, ...}, "frame_rate_hz", "dtype",
     "clips_per_shard", "clips": in complete splits, "normalisation": {mean, std_paper, std_global, clips, of},
     "splits": {"train": {"latents": [{name, clips, frames, bytes, sha256}, ...], "melody-<key>": [...]}}}

Whoever writes shards makes the summary again from their facts, so that it does not matter who comes last; what is not
complete is left out. ``clips_per_shard`` alone is decided here, by the first writer, for all who come after.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.config import config_hash
from ...common.errors import UserError, did_you_mean
from ...common.files import cache_dir, read_json, write_json
from ...common.lines import count
from ...corpora import Corpus
from ..base import LatentSpec, Representation
from .layout import DTYPES, FORMAT, Layout, clips_that_fit
from .normalisation import ONE_PASS, LatentStats, added, latent_stats
from .shards import BadShardError, Facts, Rows, Shard

LATENTS = "latents"  # what a shard without a label holds


def layout_of(
    corpus: Corpus, representation: Representation, dtype: str = "float32", clips_per_shard: int | None = None
) -> Layout:
    """The store's layout; one that is there keeps the size of its shards.

    Args:
        clips_per_shard: None: as the store has it; a new one: by ``CLIPS_PER_SHARD`` and ``SHARD_BYTES``.

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
    layout = Layout(corpus, spec, representation.fingerprint, dtype, folder, clips_per_shard or _fitting(corpus, spec))
    kept = _decided(layout)
    if kept and clips_per_shard not in (None, kept):
        raise UserError(
            f"{folder}: its shards have {count(kept, 'clip')}, not {clips_per_shard}; leave out --clips-per-shard, "
            "or delete the folder to encode everything again"
        )
    return dataclasses.replace(layout, clips_per_shard=kept or layout.clips_per_shard)


def _fitting(corpus: Corpus, spec: LatentSpec) -> int:
    clips = next((clips for clips in corpus.clips_by_split.values() if clips), [])
    return clips_that_fit(spec, sum(clip.seconds for clip in clips) / max(len(clips), 1))


def _decided(layout: Layout) -> int | None:
    """Clips per shard as the store's manifest has them; None where there is no store.

    Raises:
        UserError: the manifest is of something else, or cannot be read.
    """
    if not layout.manifest.exists():
        return None
    told = read_json(layout.manifest, remade=True)
    for key, value in _heading(layout).items():
        found = told.get(key) if isinstance(told, Mapping) else None
        if key != "clips_per_shard" and found != value:
            raise UserError(
                f"{layout.manifest}: its {key} is {_short(found)}, expected {_short(value)}; it belongs to another "
                "store: delete the folder, or put back the right one"
            )
        if key == "clips_per_shard" and not (isinstance(found, int) and found > 0):
            raise UserError(f"{layout.manifest}: its {key} is {found!r}; delete the file to have it made anew")
    return int(told["clips_per_shard"])


def found(layout: Layout) -> None:
    """Give a new store its manifest, so that whoever comes next makes shards of the same size.

    Raises:
        UserError: it cannot be written.
    """
    if not layout.manifest.exists():
        write_json(layout.manifest, _heading(layout))


def _heading(layout: Layout) -> dict[str, Any]:
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
    return (
        f"{value['name']} ({value['fingerprint']})" if isinstance(value, Mapping) and "name" in value else repr(value)
    )


def update_manifest(layout: Layout) -> None:
    """Make the summary again from the facts on disk, and write it where it says something else."""
    splits: dict[str, dict[str, Any]] = {}
    stats = None
    for split in layout.corpus.clips_by_split:
        for label, shards in holdings(layout, split).items():
            with contextlib.suppress(BadShardError):
                facts = [shard.facts() for shard in shards]
                splits.setdefault(split, {})[label] = [_row(shard, f) for shard, f in zip(shards, facts)]
                if (split, label) == ("train", LATENTS):
                    stats = {"of": _digest(facts), **dataclasses.asdict(normalisation(layout, facts))}
    clips = sum(row["clips"] for held in splits.values() for row in held.get(LATENTS, ()))
    told = {**_heading(layout), "clips": clips, "normalisation": stats, "splits": splits}
    if not layout.manifest.exists() or told != read_json(layout.manifest, remade=True):
        with contextlib.suppress(UserError):  # a store that may only be read does without a newer summary
            write_json(layout.manifest, told)


def holdings(layout: Layout, split: str) -> dict[str, list[Shard]]:
    """The shards of ``split`` by what they hold: the latents, and every control that has a file there."""
    shards = layout.shards(split)
    labels = sorted({path.name.split(".")[1] for path in layout.folder.glob(f"{split}-*.*.safetensors")})
    return {LATENTS: shards, **{label: [shard.beside(label) for shard in shards] for label in labels}} if shards else {}


def _row(shard: Shard, facts: Facts) -> dict[str, Any]:
    about = {"name": shard.name, "clips": len(facts.frames), "frames": sum(facts.frames), "bytes": facts.bytes}
    return {**about, "sha256": facts.sha256}


def _digest(facts: Sequence[Facts]) -> str:
    return config_hash([f.sha256 for f in facts])


def normalisation(layout: Layout, facts: Sequence[Facts]) -> LatentStats:
    """The statistics of the train split: as the manifest has them, else from its latents, or from their moments where
    there are more than ``ONE_PASS`` values.

    Args:
        facts: of every train shard.
    """
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        told = dict(read_json(layout.manifest)["normalisation"])
        if told.pop("of") == _digest(facts):
            return LatentStats(**told)
    parts = [f.moments for f in facts if f.moments is not None]
    if sum(part.values for part in parts) > ONE_PASS:
        return added(parts)
    return latent_stats(Rows(layout.shards("train"), [f.frames for f in facts], "z_MD"))
