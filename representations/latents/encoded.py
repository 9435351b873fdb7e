"""Corpora encoded once: latents, codes and controls of every clip, on disk, and the one scalar normalisation of them.

Every paradigm trains on the same latents of the same clips, so they are computed once per (corpus, representation) and
kept under ``cache_dir("latents")``. There is one store, whoever fills it: a training run that finds something missing
makes it; ``bench data prepare`` makes it beforehand, in many processes or array tasks.

    store.py            folders, shards, their sizes      encoding.py, control_cache.py   a shard's tensors
    shards.py           one file, whole or not; reading   preparing.py                    all shards, in parallel
    store_manifest.py   the summary                       latent_stats.py                 mean and std
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...common.errors import UserError
from ...common.lines import count, say
from ...corpora import Clip, Corpus
from ..base import LatentSpec, Representation
from .control_cache import control_label
from .controls import control_specs
from .layout import Layout
from .manifest import layout_of, update_manifest
from .manifest import normalisation as measured
from .normalisation import LatentStats, Normalisation
from .prepare import make, units
from .shards import Rows

SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class EncodedSplit:
    """One split, clip by clip; tensors are views of mapped files, read where they are touched.

    Attributes:
        clips: the clips, in the corpus's order.
        frames: latent frames T of each clip.
        z: raw (un-normalised) latents per clip, (T, D), in the store's number format.
        codes: codes per clip, (K, T) int16, or None when the representation has no codebooks.
        controls: temporal controls that were asked for, name -> tokens per clip, (T,) int16; -1 where a clip has none.
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
    normalisation: Normalisation = "paper",
    controls: Sequence[str] = (),
    dtype: str = "float32",
) -> LatentStore:
    """Open the store of ``splits`` (and train, which the normalisation needs), after making what it lacks.

    Args:
        progress: show a bar with the time left, on stderr.
        controls: names of temporal controls to have beside the latents (controls.py); they are kept in files of their
            own, so asking for one more encodes no latent again.
        dtype: of the stored latents.

    Raises:
        UserError: a split has no clips, a control is unknown, a clip cannot be read, or the store cannot be written.
    """
    control_specs(controls, representation.spec)
    wanted = tuple(dict.fromkeys(("train", *splits)))
    clips = {split: corpus.clips(split) for split in wanted}
    layout = layout_of(corpus, representation, dtype)
    totals = {what: sum(map(len, clips.values())) for what in ("latents", *controls)}
    if progress and (missing := _missing(layout, wanted, controls)):
        what = ", ".join(("latents", *controls))
        say(f"encoding {count(missing, 'clip')} with {representation.spec.name} ({what}); kept in the cache")
    with progress_bars(totals, progress) as advance:
        made = [make(layout, unit, representation, controls, advance=advance) for unit in units(layout, wanted)]
    if any(effort.audio for effort in made):
        update_manifest(layout)
    stats = measured(layout, [shard.facts() for shard in layout.shards("train")])
    spec = representation.spec.replace(
        mean=stats.shift(normalisation), std=stats.std(normalisation), normalisation=normalisation
    )
    return LatentStore(spec, stats, {split: open_split(layout, split, controls) for split in wanted})


def _missing(layout: Layout, splits: Sequence[str], controls: Sequence[str]) -> int:
    """How many clips lie in shards that are not there, or lack a control."""
    shards = [layout.shard(*unit) for unit in units(layout, splits)]
    files = [[shard, *(shard.beside(control_label(name)) for name in controls)] for shard in shards]
    return sum(len(shard.clips) for shard, parts in zip(shards, files) if not all(part.has() for part in parts))


def open_split(layout: Layout, split: str, controls: Sequence[str] = ()) -> EncodedSplit:
    """A split whose shards are all there."""
    shards = layout.shards(split)
    frames = [shard.facts().frames for shard in shards]
    codes = Rows(shards, frames, "codes_KM", dim=1) if layout.spec.codebooks else None
    tokens = {
        name: Rows([shard.beside(control_label(name)) for shard in shards], frames, "tokens_M") for name in controls
    }
    counts = [count for counts in frames for count in counts]
    return EncodedSplit(layout.clips(split), counts, Rows(shards, frames, "z_MD"), codes, tokens)


@contextlib.contextmanager
def progress_bars(totals: Mapping[str, int], shown: bool) -> Iterator[Callable[[str, int], None]]:
    """A bar for each thing that is made, on stderr; yields ``advance(what, clips)``.

    Where stderr is no terminal there is a line every half minute instead.
    """
    if shown and not sys.stderr.isatty():
        yield _lines(totals)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
