"""A folder of sound files with a manifest.csv or manifest.jsonl as a corpus.

    path,caption,split,key,tempo
    audio/one.flac,"A slow waltz for piano in A minor",train,A:minor,84
    audio/two.mp3,"Rain on a tin roof",test,,

Columns:
    path        (required) sound file, relative to the manifest; FLAC, OGG, WAV, MP3; any rate, any channels
    caption     (required, except for audio of unconditional pre-training) description of the sound
    id          unique; default: the path without its ending
    split       train, valid or test; default train. If no row is valid, about a tenth of train becomes valid.
    group       recordings that belong together (song, artist, session); a group is never divided between splits
    seconds     length; default: read from the file's header
    annotation  JSON file, relative to the manifest (``manifest.py`` has its format)
    label, key, root, lead, comp, drums, tempo   attributes; empty if unknown. Key as "A:minor"; tempo in beats per
                minute, which becomes the bucket of ``clip.tempo_bucket``

Other columns are ignored. Loading checks the rows and that files exist; decoding errors show when a clip is read, or
all at once by ``Corpus.check()``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np

from ..common.config import config_hash
from ..common.errors import UserError, did_you_mean
from ..common.files import cache_dir, file_sha256, no_file, read_json, write_json
from ..common.lines import count
from ..common.seeds import seed_for
from .audio import duration, read_mono
from .clip import ATTRIBUTES, SPLITS, Annotation, Clip, Corpus, tempo_bucket
from .manifest import REQUIRED, ManifestRow, find_manifest, read_annotation, read_manifest
from .pitch import normalise_key

VALID_SHARE = 0.1


@dataclass(frozen=True)
class FileReader:
    """Audio and annotation of one manifest row; ``where`` names the row in errors."""

    path: Path
    annotation_path: Path | None
    where: str

    def audio(self, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], at ``sample_rate`` Hz."""
        return read_mono(self.path, sample_rate, self.where)

    def annotation(self) -> Annotation | None:
        """The annotation of the row's file; None if it has none."""
        return read_annotation(self.annotation_path, self.where) if self.annotation_path else None


def load_folder(
    spec: str, *, clips: int | None = None, seconds: float | None = None, seed: int = 0, captions: bool = True
) -> Corpus:
    """Load a folder, or the manifest at ``spec``.

    Args:
        clips: number of train clips to keep, drawn by hash, in the manifest's order; None: all.
        seconds: must be None, since files keep their own lengths and training crops segments.
        seed: of the valid split, if it is carved from train.
        captions: whether every row must have a caption; if not, missing ones are empty.

    Raises:
        UserError: no manifest, or a bad row; the message names manifest, row, column and remedy.
    """
    manifest = find_manifest(spec)
    if seconds is not None:
        raise UserError(f"{manifest}: seconds={seconds} has no effect on a folder of files; leave it out")
    if clips is not None and clips < 1:
        raise UserError(f"{manifest}: {count(clips, 'clip')} asked for; ask for at least 1")
    rows = read_manifest(manifest, REQUIRED if captions else ("path",))
    named: dict[str, ManifestRow] = {}
    splits: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for row in rows:
        clip = _clip(row, manifest, captions)
        if clip.id in named:
            raise UserError(
                f"{row.where}, column id: {clip.id!r} is used by {named[clip.id].where} too; make ids unique"
            )
        named[clip.id] = row
        splits[clip.split].append(clip)
    if not splits["valid"]:
        groups = {clip_id: row.get("group") or clip_id for clip_id, row in named.items()}
        splits["train"], splits["valid"] = _carve(splits["train"], groups, seed)
    if not splits["train"]:
        raise UserError(f"{manifest}: no train clips; give some rows split=train")
    if clips is not None:
        drawn = set(
            sorted((clip.id for clip in splits["train"]), key=lambda name: seed_for("clips", seed, name))[:clips]
        )
        splits["train"] = [clip for clip in splits["train"] if clip.id in drawn]
    return Corpus(manifest.parent.resolve().name, _fingerprint(splits, manifest), splits)


def _clip(row: ManifestRow, manifest: Path, captions: bool) -> Clip:
    path = manifest.parent / row.required("path")
    if not path.is_file():
        raise UserError(f"{row.where}, column path: {no_file(path)}; correct the path or remove the row")
    annotation = manifest.parent / row.get("annotation") if row.get("annotation") else None
    if annotation and not annotation.is_file():
        raise UserError(f"{row.where}, column annotation: {no_file(annotation)}; correct the path or clear the cell")
    split = row.get("split") or "train"
    if split not in SPLITS:
        hint = did_you_mean(split, list(SPLITS))
        raise UserError(f"{row.where}, column split: unknown split {split!r}{hint}; use {', '.join(SPLITS)}")
    return Clip(
        id=row.get("id") or str(PurePosixPath(row.required("path")).with_suffix("")),
        split=split,
        caption=row.required("caption") if captions else row.get("caption"),
        seconds=row.number("seconds") or duration(path, row.where),
        attributes=_attributes(row),
        reader=FileReader(path, annotation, row.where),
    )


def _attributes(row: ManifestRow) -> dict[str, str]:
    attributes = {name: row.get(name) for name in ATTRIBUTES if row.get(name)}
    tempo = row.number("tempo")
    if tempo is not None:
        attributes["tempo"] = tempo_bucket(tempo)
    if "key" in attributes:
        try:
            attributes["key"] = normalise_key(attributes["key"])
        except ValueError as error:
            raise UserError(f"{row.where}, column key: {error}, or clear the cell") from error
    return attributes


def _carve(train: list[Clip], groups: Mapping[str, str], seed: int) -> tuple[list[Clip], list[Clip]]:
    """Move about a tenth of the train clips to valid: at least one group, whole groups only, drawn by hash."""
    sizes = Counter(groups[clip.id] for clip in train)
    order = sorted(sizes, key=lambda group: seed_for("valid split", seed, group))
    moved_groups: set[str] = set()
    moved = 0
    for group in order[:-1]:  # at least one group stays
        if moved_groups and moved + sizes[group] > VALID_SHARE * len(train):
            break
        moved_groups.add(group)
        moved += sizes[group]
    kept = [clip for clip in train if groups[clip.id] not in moved_groups]
    valid = [dataclasses.replace(clip, split="valid") for clip in train if groups[clip.id] in moved_groups]
    return kept, valid


def _fingerprint(splits: Mapping[str, list[Clip]], manifest: Path) -> str:
    """Hash of the clips' texts and of their files' contents; it does not depend on the path of the folder."""
    clips = [clip for split in SPLITS for clip in splits[split]]
    readers = [cast(FileReader, clip.reader) for clip in clips]
    texts = [[clip.id, clip.split, clip.caption, clip.seconds, dict(clip.attributes)] for clip in clips]
    annotated = [reader.annotation_path is not None for reader in readers]
    paths = [path for reader in readers for path in (reader.path, reader.annotation_path) if path]
    return config_hash([texts, annotated, file_hashes(paths, manifest)])


def file_hashes(paths: Sequence[Path], owner: Path) -> list[str]:
    """Hex SHA-256 of each file, cached by path, size and modification time, so that a large folder is read once.

    Args:
        owner: what the files belong to, e.g. a manifest; there is one JSON file per owner in the cache folder.

    Raises:
        UserError: a file cannot be read.
    """
    cache = cache_dir("file-hashes", hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16] + ".json")
    cached: dict[str, list[Any]] = {}
    with contextlib.suppress(UserError, TypeError, ValueError):  # missing or damaged: it can always be rebuilt
        cached = dict(read_json(cache))
    known = dict(cached)
    for path in paths:
        stamp = [path.stat().st_size, path.stat().st_mtime_ns]
        entry = cached.get(str(path.resolve()), [])
        known[str(path.resolve())] = entry if entry[:2] == stamp else [*stamp, file_sha256(path)]
    if known != cached:
        with contextlib.suppress(UserError):  # a read-only cache folder costs time, not results
            write_json(cache, known)
    return [known[str(path.resolve())][2] for path in paths]
