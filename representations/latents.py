"""Corpora encoded once: latents and codes of every clip, cached on disk, and the one scalar normalisation of them.

Every paradigm trains on the same latents of the same clips, so they are computed once per (corpus, representation) and
kept under ``cache_dir("latents")``. One split is one safetensors file, clips laid end to end, and a JSON manifest,
written after it, that names the clips and the file's SHA-256: what is partial or of other clips is made anew.

Normalisation (papers/002, E.2), for M of shape (N clips, T, D), over the train split:

    mean = M.mean();  std = M.std(dim=1).mean();  z_norm = (z - mean) / std

That std is over time within a clip and channel only, so normalised latents have a standard deviation above 1 when clips
or channels differ among themselves. It is the default ("paper"); "global" takes M.std() instead. Both are recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from common.config import config_hash
from common.errors import UserError
from common.files import cache_dir, read_json, write_json, write_tensors
from corpora import Clip, Corpus
from representations.base import LatentSpec, Representation, fit_length
from representations.controls import control_specs

Normalisation = Literal["paper", "global"]
BATCH_SECONDS = 40.0  # of audio encoded at once
FORMAT = 1  # of the cache; part of its key


@dataclass(frozen=True)
class EncodedSplit:
    """One split, clip by clip.

    Attributes:
        clips: the clips, in the corpus's order.
        z: raw (un-normalised) latents per clip, (T, D) float32.
        codes: codes per clip, (K, T) int16, or None when the representation has no codebooks.
        controls: temporal controls that were asked for, name -> tokens per clip, (T,); -1 where a clip has none.
    """

    clips: list[Clip]
    z: list[Tensor]
    codes: list[Tensor] | None
    controls: Mapping[str, list[Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class LatentStats:
    """Statistics of the train split's raw latents: the mean, and the spread by both definitions."""

    mean: float
    std_paper: float
    std_global: float
    clips: int

    def std(self, normalisation: Normalisation) -> float:
        """The spread that ``normalisation`` names."""
        return self.std_paper if normalisation == "paper" else self.std_global


def latent_stats(z: Sequence[Tensor]) -> LatentStats:
    """Scalar statistics of latents [(T, D), ...]; T may differ; a clip of one frame does not count in std_paper."""
    frames_MD = torch.cat(list(z)).double()
    spread_ND = torch.stack([z_TD.double().std(dim=0) for z_TD in z if len(z_TD) > 1])
    return LatentStats(frames_MD.mean().item(), spread_ND.mean().item(), frames_MD.std().item(), len(z))


class LatentStore:
    """The encoded splits of one corpus.

    Attributes:
        spec: the representation's spec with the train split's mean and std filled in.
        stats: both definitions of the spread.
    """

    def __init__(self, spec: LatentSpec, stats: LatentStats, splits: Mapping[str, EncodedSplit]) -> None:
        self.spec, self.stats, self._splits = spec, stats, dict(splits)

    def split(self, split: str) -> EncodedSplit:
        """The clips, latents and codes of ``split``.

        Raises:
            UserError: that split was not encoded.
        """
        if split not in self._splits:
            raise UserError(f"split {split!r} was not encoded; encoded: {', '.join(self._splits)}")
        return self._splits[split]


def encode_corpus(
    corpus: Corpus,
    representation: Representation,
    splits: Sequence[str] = ("train", "valid", "test"),
    progress: bool = True,
    max_clips: Mapping[str, int] | None = None,
    normalisation: Normalisation = "paper",
    controls: Sequence[str] = (),
) -> LatentStore:
    """Encode ``splits`` (and train, which the normalisation needs), or read them from the cache.

    Args:
        progress: show a bar with the time left, on stderr.
        max_clips: at most this many clips of a split, the first ones.
        controls: names of temporal controls to have beside the latents (controls.py); they are kept in files of their
            own, so asking for one more encodes no latent again.

    Raises:
        UserError: the corpus has no train clips, a control is unknown, or the cache cannot be written.
    """
    control_specs(controls, representation.spec)
    key = config_hash([FORMAT, corpus.fingerprint, representation.fingerprint])
    folder = cache_dir("latents", f"{corpus.name}-{key}")
    encoded = {}
    for split in dict.fromkeys(("train", *splits)):
        clips = corpus.clips(split)[: (max_clips or {}).get(split)]
        found = _load(folder, split, clips) or _encode(folder, split, clips, representation, progress)
        encoded[split] = _with_controls(found, controls, representation, folder, split, progress)
    if not encoded["train"].z:
        raise UserError(
            f"corpus {corpus.name} has no train clips to measure latents on; see its manifest's split column"
        )
    stats = latent_stats(encoded["train"].z)
    spec = representation.spec.replace(mean=stats.mean, std=stats.std(normalisation), normalisation=normalisation)
    return LatentStore(spec, stats, encoded)


def _encode(
    folder: Path, split: str, clips: list[Clip], representation: Representation, progress: bool
) -> EncodedSplit:
    z: list[Tensor] = []
    codes: list[Tensor] = []
    device = next(representation.parameters()).device
    with torch.no_grad(), _bar(f"encoding {split}", len(clips), progress) as advance:
        for wav_BN in _batches(clips, representation.spec):
            z_BTD = representation.encode(wav_BN.to(device))
            z += z_BTD.cpu().float()
            if representation.spec.codebooks:
                codes += representation.quantise(z_BTD).cpu().to(torch.int16)
            advance(len(wav_BN))
    encoded = EncodedSplit(clips, z, codes if representation.spec.codebooks else None)
    if clips:
        _save(folder, split, encoded)
    return encoded


def _with_controls(
    encoded: EncodedSplit,
    names: Sequence[str],
    representation: Representation,
    folder: Path,
    split: str,
    progress: bool,
) -> EncodedSplit:
    from representations.control_cache import cached_tokens

    frames = [len(z_TD) for z_TD in encoded.z]
    stem = _files(folder, split, encoded.clips)[0].stem
    tokens = cached_tokens(
        names, encoded.clips, frames, representation, folder, stem, lambda label, total: _bar(label, total, progress)
    )
    return replace(encoded, controls=tokens)


def _batches(clips: Sequence[Clip], spec: LatentSpec) -> Iterator[Tensor]:
    """Consecutive clips of equal frame counts, stacked to (B, N), about ``BATCH_SECONDS`` at a time."""
    batch: list[Tensor] = []
    for clip in clips:
        wav_1N = torch.from_numpy(clip.audio(spec.sample_rate))[None]
        frames = max(1, spec.frames(wav_1N.shape[-1] / spec.sample_rate))
        wav_1N = fit_length(wav_1N, round(frames * spec.sample_rate / spec.frame_rate_hz))
        full = batch and len(batch) * batch[0].shape[-1] >= BATCH_SECONDS * spec.sample_rate
        if batch and (full or batch[0].shape != wav_1N.shape):
            yield torch.cat(batch)
            batch = []
        batch.append(wav_1N)
    if batch:
        yield torch.cat(batch)


def _bar(label: str, total: int, shown: bool) -> Any:
    """A context manager that yields ``advance(n)``."""
    import contextlib

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    @contextlib.contextmanager
    def bar() -> Iterator[Any]:
        with Progress(*columns, console=Console(stderr=True), disable=not shown) as drawn:
            task = drawn.add_task(label, total=total)
            yield lambda count: drawn.advance(task, count)

    return bar()


def _files(folder: Path, split: str, clips: Sequence[Clip]) -> tuple[Path, Path]:
    stem = f"{split}-{len(clips)}"
    return folder / f"{stem}.safetensors", folder / f"{stem}.json"


def _save(folder: Path, split: str, encoded: EncodedSplit) -> None:
    tensors = {"z_MD": torch.cat(encoded.z)}
    if encoded.codes is not None:
        tensors["codes_KM"] = torch.cat(encoded.codes, dim=1)
    data, manifest = _files(folder, split, encoded.clips)
    write_tensors(data, tensors)
    lengths = [len(z_TD) for z_TD in encoded.z]
    write_json(manifest, {"sha256": _sha256(data), "frames": lengths, "clips": [clip.id for clip in encoded.clips]})


def _load(folder: Path, split: str, clips: list[Clip]) -> EncodedSplit | None:
    """The cached split, or None unless it is whole and of exactly these clips."""
    from safetensors.torch import load_file

    data, manifest = _files(folder, split, clips)
    if not (data.exists() and manifest.exists()):
        return None
    try:
        facts = read_json(manifest)
        if facts["clips"] != [clip.id for clip in clips] or facts["sha256"] != _sha256(data):
            return None
    except (UserError, KeyError, TypeError, OSError):
        return None
    tensors, lengths = load_file(data), facts["frames"]
    codes = list(tensors["codes_KM"].split(lengths, dim=1)) if "codes_KM" in tensors else None
    return EncodedSplit(clips, list(tensors["z_MD"].split(lengths)), codes)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
