"""A store of encoded corpora, opened for training.

Every paradigm trains on the same latents of the same clips, so they are computed once per (corpus, representation) and
kept under ``cache_dir("latents")``. A training run makes what is missing in the store; ``bench data prepare`` makes it
beforehand, in many processes or array tasks.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ...common.errors import UserError
from ...common.lines import count, say
from ...corpora import Clip, Corpus
from ..base import Representation
from ..spec import LatentSpec
from .controls import control_label, control_specs
from .encode import fill_shard
from .normalisation import LatentStats, Normalisation
from .shards import ClipTensors
from .store import StoreLayout, layout_of, stats_of_store, update_manifest

SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class EncodedSplit:
    """One split, clip by clip; tensors are views of memory-mapped files.

    Attributes:
        clips: in the order of the corpus.
        frames: latent frames T of each clip.
        z: raw (un-normalised) latents per clip, (T, D), in the store's number format.
        codes: codes per clip, (K, T) int16, or None without codebooks.
        controls: name -> tokens per clip, (T,) int16, of the controls that were asked for; -1 if a clip has none.
    """

    clips: list[Clip]
    frames: Sequence[int]
    z: Sequence[Tensor]
    codes: Sequence[Tensor] | None
    controls: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)


class LatentStore:
    """The encoded splits of one corpus.

    Attributes:
        spec: the representation's spec with the train split's mean and std filled in.
        stats: of the train split, with both definitions of the standard deviation.
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
    normalisation: Normalisation = "paper",
    controls: Sequence[str] = (),
    dtype: str = "float32",
) -> LatentStore:
    """Encode what the store of ``splits`` lacks, and open it; the train split is always included, for the statistics.

    Args:
        progress: show a progress bar with the time left, on stderr.
        normalisation: the definition of mean and std in the spec.
        controls: names of temporal controls (controls.py); they are in files of their own, so one more control does not
            encode the latents again.
        dtype: number format of the stored latents.

    Raises:
        UserError: a split has no clips, a control is unknown, a clip cannot be read, or the store cannot be written.
    """
    control_specs(controls, representation.spec)
    wanted = tuple(dict.fromkeys(("train", *splits)))
    clips = {split: corpus.clips(split) for split in wanted}
    layout = layout_of(corpus, representation, dtype)
    made = ("latents", *controls)
    if progress and (missing := _missing(layout, wanted, controls)):
        name = representation.spec.name
        say(f"encoding {count(missing, 'clip')} with {name} ({', '.join(made)}); kept in the cache")
    with progress_bars(dict.fromkeys(made, sum(map(len, clips.values()))), progress) as advance:
        ids = layout.shard_ids(wanted)
        work = [fill_shard(layout, shard_id, representation, controls, advance=advance) for shard_id in ids]
    if any(done.audio for done in work):
        update_manifest(layout)
    stats = stats_of_store(layout, [shard.info() for shard in layout.shards("train")])
    spec = representation.spec.replace(
        mean=stats.shift(normalisation), std=stats.std(normalisation), normalisation=normalisation
    )
    return LatentStore(spec, stats, {split: open_split(layout, split, controls) for split in wanted})


def _missing(layout: StoreLayout, splits: Sequence[str], controls: Sequence[str]) -> int:
    """Number of clips whose shard is missing, or lacks a control."""
    shards = [layout.shard(*shard_id) for shard_id in layout.shard_ids(splits)]
    files = [[shard, *(shard.labelled(control_label(name)) for name in controls)] for shard in shards]
    return sum(len(shard.clips) for shard, parts in zip(shards, files) if not all(part.is_good() for part in parts))


def open_split(layout: StoreLayout, split: str, controls: Sequence[str] = ()) -> EncodedSplit:
    """Open a split whose shards all exist."""
    shards = layout.shards(split)
    frames = [shard.info().frames for shard in shards]
    codes = ClipTensors(shards, frames, "codes_KM", dim=1) if layout.spec.codebooks else None
    tokens = {
        name: ClipTensors([shard.labelled(control_label(name)) for shard in shards], frames, "tokens_M")
        for name in controls
    }
    counts = [count for counts in frames for count in counts]
    return EncodedSplit(layout.clips(split), counts, ClipTensors(shards, frames, "z_MD"), codes, tokens)


@contextlib.contextmanager
def progress_bars(totals: Mapping[str, int], shown: bool) -> Iterator[Callable[[str, int], None]]:
    """A progress bar for each kind of data (kind -> number of clips), on stderr; yields ``advance(what, clips)``.

    If stderr is not a terminal, a line every half minute instead; nothing unless ``shown``.
    """
    if shown and not sys.stderr.isatty():
        yield _lines(totals)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as drawn:
        tasks = {what: drawn.add_task(f"encoding: {what}", total=total) for what, total in totals.items()}
        yield lambda what, clips: drawn.advance(tasks[what], clips)


def _lines(totals: Mapping[str, int]) -> Callable[[str, int], None]:
    done, said = dict.fromkeys(totals, 0), [time.monotonic()]

    def advance(what: str, clips: int) -> None:
        done[what] += clips
        if time.monotonic() - said[0] > SECONDS_BETWEEN_LINES:
            said[0] = time.monotonic()
            say(f"encoding: {what}, {done[what]:,} of {count(totals[what], 'clip')}")

    return advance
