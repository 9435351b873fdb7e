"""Fill a store: make the shards that are not there, in this process or in several, and say what it took.

Shards are dealt out by number, so that N array tasks share a corpus without talking to each other. Each is looked at
again when its turn comes and published whole, so that two tasks that happen upon the same one do no harm.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache, partial

import torch

from ...common.errors import UserError
from ...corpora import load_corpus
from .. import load_representation
from ..base import Representation
from .control_cache import control_label, control_shard
from .encoding import encode_shard
from .layout import DTYPES, Layout
from .manifest import found, layout_of
from .shards import BadShardError

Unit = tuple[str, int]  # split, number of the shard in it


@dataclass
class Effort:
    """What was made: seconds of audio, and of processor time, for the latents and for each control."""

    audio: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    skipped: int = 0

    def add(self, what: str, audio: float, cpu: float) -> None:
        """Count the work on one file."""
        self.audio[what] = self.audio.get(what, 0.0) + audio
        self.cpu[what] = self.cpu.get(what, 0.0) + cpu

    def merge(self, other: Effort) -> None:
        """Count another process's work."""
        for what, audio in other.audio.items():
            self.add(what, audio, other.cpu[what])
        self.skipped += other.skipped


def units(layout: Layout, splits: Sequence[str], turn: int = 0, of: int = 1) -> list[Unit]:
    """The shards of ``splits`` that fall to array task ``turn`` of ``of``."""
    everything = [(split, i) for split in splits for i in range(layout.count(split))]
    return everything[turn::of]


def make(
    layout: Layout, unit: Unit, representation: Representation, controls: Sequence[str], thorough: bool = False,
    advance: Callable[[str, int], None] = lambda what, clips: None,
) -> Effort:  # fmt: skip
    """Make one shard's latents and controls, those that are there and whole excepted.

    Args:
        thorough: read what is there and compare its checksum, instead of its size and time of change only.
        advance: called with what is made and how many more clips are done.

    Raises:
        UserError: see ``encode_shard`` and ``control_shard``.
    """
    found(layout)
    shard = layout.shard(*unit)
    effort, audio = Effort(), sum(clip.seconds for clip in shard.clips)
    step = partial(advance, "latents")
    begun = time.process_time()
    try:
        facts = shard.facts(thorough)
        effort.skipped += 1
        step(len(shard.clips))
    except BadShardError:
        facts = encode_shard(shard, representation, DTYPES[layout.dtype], step)
        effort.add("latents", audio, time.process_time() - begun)
    for name in controls:
        if shard.beside(control_label(name)).has(thorough):
            effort.skipped += 1
            continue
        begun = time.process_time()
        control_shard(shard, facts.frames, name, representation, partial(advance, name))
        effort.add(name, audio, time.process_time() - begun)
    return effort


@dataclass(frozen=True)
class Request:
    """What is to be prepared, by names that every process can open for itself; see ``load_corpus``,
    ``load_representation`` and ``layout_of``.
    """

    corpus: str
    clips: int | None = None
    seconds: float | None = None
    seed: int = 0
    representation: str = "codec_builtin"
    dtype: str = "float32"
    clips_per_shard: int | None = None


@lru_cache(maxsize=1)
def opened(request: Request) -> tuple[Layout, Representation]:
    """The layout and the representation of ``request``, opened once in a process."""
    clips, seconds, seed = request.clips, request.seconds, request.seed
    corpus = load_corpus(request.corpus, clips=clips, seconds=seconds, seed=seed, captions=False)
    representation = load_representation(request.representation)
    return layout_of(corpus, representation, request.dtype, request.clips_per_shard), representation


def make_all(
    request: Request, todo: Sequence[Unit], controls: Sequence[str], jobs: int, advance: Callable[[str, int], None]
) -> Effort:
    """Make every shard of ``todo``, checking thoroughly what is there, in ``jobs`` processes.

    Raises:
        UserError: the first problem met; shards that were finished stay.
    """
    layout, representation = opened(request)
    total = Effort()
    if jobs == 1:
        for unit in todo:
            total.merge(make(layout, unit, representation, controls, thorough=True, advance=advance))
        return total
    for unit, effort in _in_processes(request, todo, controls, jobs):
        total.merge(effort)
        clips = len(layout.shard(*unit).clips)
        for what in ("latents", *controls):
            advance(what, clips)
    return total


def _in_processes(
    request: Request, todo: Sequence[Unit], controls: Sequence[str], jobs: int
) -> Iterator[tuple[Unit, Effort]]:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, initargs=(threads,))
    try:
        waiting = {pool.submit(_work, request, unit, tuple(controls)): unit for unit in todo}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool as error:
        raise UserError("a process was killed, perhaps for lack of memory; continue with fewer --jobs") from error
    finally:
        for process in multiprocessing.active_children():  # those that work still were interrupted, or are not wanted
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    """Leave Ctrl-C to the parent, whose SIGTERM then ends this process as an exception, so that no half file stays."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.set_num_threads(threads)


def _work(request: Request, unit: Unit, controls: Sequence[str]) -> Effort:
    layout, representation = opened(request)
    return make(layout, unit, representation, controls, thorough=True)
