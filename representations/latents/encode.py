"""Encode corpora: latents, codes and controls of every shard that a store lacks, in one process or in several.

Shards are assigned by number, so that N array tasks share a corpus without communication. A shard that exists is
checked when its turn comes, and a new one is published complete, so two tasks that encode the same shard do no harm.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from ...common.errors import UserError
from ...common.lines import count
from ...corpora import Clip, load_corpus
from .. import load_representation
from ..base import Representation
from .controls import DRUMS, control_label, drum_tokens, timed_tokens
from .normalisation import moments
from .shards import BadShardError, Shard, ShardInfo
from .store import DTYPES, ShardId, StoreLayout, create_manifest, layout_of

BATCH_SECONDS = 40.0  # of audio encoded at once
CONTROL_CLIPS = 64  # clips of a control between two steps of the progress bar
SHOWN = 3  # silent clips that are named
Advance = Callable[[int], None]  # called with a number of finished clips


def encode_shard(
    shard: Shard, representation: Representation, dtype: torch.dtype, advance: Advance = lambda clips: None
) -> ShardInfo:
    """Encode the shard's clips and publish them; codes are of the latents before they are rounded to ``dtype``.

    Raises:
        UserError: a clip cannot be read, or the shard cannot be written.
    """
    z: list[Tensor] = []
    codes: list[Tensor] = []
    silent: list[str] = []
    with torch.no_grad():
        for wav_BN in _batches(shard.clips, representation, silent):
            z_BTD = representation.encode(wav_BN.to(representation.device))
            z += z_BTD.cpu().float()
            if representation.spec.codebooks:
                codes += representation.quantise(z_BTD).cpu().to(torch.int16)
            advance(len(wav_BN))
    if silent:
        more = f" and {count(len(silent) - SHOWN, 'more clip')}" if len(silent) > SHOWN else ""
        print(f"note: {', '.join(silent[:SHOWN])}{more} of {shard.name}: silent, every sample is zero", file=sys.stderr)
    stored = [z_TD.to(dtype) for z_TD in z]
    tensors = {"z_MD": torch.cat(stored)}
    if codes:
        tensors["codes_KM"] = torch.cat(codes, dim=1)
    return shard.publish(tensors, [len(z_TD) for z_TD in z], moments=moments(stored), silent=tuple(silent))


def _batches(clips: Sequence[Clip], representation: Representation, silent: list[str]) -> Iterator[Tensor]:
    """Consecutive clips of equal frame counts, stacked to (B, N), about ``BATCH_SECONDS`` at a time.

    The ids of clips whose samples are all zero are appended to ``silent``.
    """
    batch: list[Tensor] = []
    sample_rate = representation.spec.sample_rate
    for clip in clips:
        wav_N = clip.audio(sample_rate)
        if not np.any(wav_N):
            silent.append(clip.id)
        wav_1N = representation.whole_frames(torch.from_numpy(wav_N)[None])
        full = batch and len(batch) * batch[0].shape[-1] >= BATCH_SECONDS * sample_rate
        if batch and (full or batch[0].shape != wav_1N.shape):
            yield torch.cat(batch)
            batch = []
        batch.append(wav_1N)
    if batch:
        yield torch.cat(batch)


def encode_control(
    latents: Shard, frames: Sequence[int], name: str, representation: Representation,
    advance: Advance = lambda clips: None,
) -> ShardInfo:  # fmt: skip
    """Make one control's tokens for the clips (of ``frames`` each) of a shard of ``latents``; publish them beside it.

    Raises:
        UserError: an unknown chord label in an annotation, or the shard cannot be written.
    """
    tokens: list[Tensor] = []
    for start in range(0, len(latents.clips), CONTROL_CLIPS):
        part = slice(start, start + CONTROL_CLIPS)
        clips, counts = latents.clips[part], frames[part]
        if name == DRUMS:
            tokens += drum_tokens(clips, representation, counts)
        else:
            tokens += [timed_tokens(clip, name, representation.spec, n) for clip, n in zip(clips, counts)]
        advance(len(clips))
    return latents.labelled(control_label(name)).publish({"tokens_M": torch.cat(tokens).to(torch.int16)}, frames)


@dataclass
class EncodingWork:
    """What was encoded.

    Attributes:
        audio: seconds of audio, for ``"latents"`` and for each control.
        cpu: seconds of processor time, likewise.
        skipped: files that existed already.
    """

    audio: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    skipped: int = 0

    def add(self, what: str, audio: float, cpu: float) -> None:
        """Count the work on one file."""
        self.audio[what] = self.audio.get(what, 0.0) + audio
        self.cpu[what] = self.cpu.get(what, 0.0) + cpu

    def merge(self, other: EncodingWork) -> None:
        """Count the work of another process."""
        for what, audio in other.audio.items():
            self.add(what, audio, other.cpu[what])
        self.skipped += other.skipped


def fill_shard(
    layout: StoreLayout, shard_id: ShardId, representation: Representation, controls: Sequence[str],
    thorough: bool = False, advance: Callable[[str, int], None] = lambda what, clips: None,
) -> EncodingWork:  # fmt: skip
    """Make the latents and controls of one shard, except those that exist and are whole.

    Args:
        thorough: compare existing files with their checksums, instead of only their sizes and modification times.
        advance: called with what was made (``"latents"`` or a control) and the number of finished clips.

    Raises:
        UserError: see ``encode_shard`` and ``encode_control``.
    """
    create_manifest(layout)
    shard = layout.shard(*shard_id)
    work, audio = EncodingWork(), sum(clip.seconds for clip in shard.clips)
    start = time.process_time()
    try:
        info = shard.info(thorough)
        work.skipped += 1
        advance("latents", len(shard.clips))
    except BadShardError:
        info = encode_shard(shard, representation, DTYPES[layout.dtype], partial(advance, "latents"))
        work.add("latents", audio, time.process_time() - start)
    for name in controls:
        if shard.labelled(control_label(name)).is_good(thorough):
            work.skipped += 1
            continue
        start = time.process_time()
        encode_control(shard, info.frames, name, representation, partial(advance, name))
        work.add(name, audio, time.process_time() - start)
    return work


@dataclass(frozen=True)
class EncodingRequest:
    """Arguments of ``load_corpus``, ``load_representation`` and ``layout_of``: every process opens the store itself."""

    corpus: str
    clips: int | None = None
    seconds: float | None = None
    seed: int = 0
    representation: str = "codec_builtin"
    dtype: str = "float32"
    clips_per_shard: int | None = None


@lru_cache(maxsize=1)
def open_request(request: EncodingRequest) -> tuple[StoreLayout, Representation]:
    """The layout and the representation of ``request``, opened once per process."""
    clips, seconds, seed = request.clips, request.seconds, request.seed
    corpus = load_corpus(request.corpus, clips=clips, seconds=seconds, seed=seed, captions=False)
    representation = load_representation(request.representation)
    return layout_of(corpus, representation, request.dtype, request.clips_per_shard), representation


def fill_store(
    request: EncodingRequest, shard_ids: Sequence[ShardId], controls: Sequence[str], jobs: int,
    advance: Callable[[str, int], None],
) -> EncodingWork:  # fmt: skip
    """Make every shard of ``shard_ids`` in ``jobs`` processes; existing ones are compared with their checksums.

    Raises:
        UserError: the first problem; shards that were finished stay.
    """
    layout, representation = open_request(request)
    total = EncodingWork()
    if jobs == 1:
        for shard_id in shard_ids:
            total.merge(fill_shard(layout, shard_id, representation, controls, thorough=True, advance=advance))
        return total
    for shard_id, work in _in_processes(request, shard_ids, controls, jobs):
        total.merge(work)
        clips = len(layout.shard(*shard_id).clips)
        for what in ("latents", *controls):
            advance(what, clips)
    return total


def _in_processes(
    request: EncodingRequest, shard_ids: Sequence[ShardId], controls: Sequence[str], jobs: int
) -> Iterator[tuple[ShardId, EncodingWork]]:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_start_worker, initargs=(threads,))
    try:
        futures = {pool.submit(_fill_in_worker, request, shard_id, tuple(controls)): shard_id for shard_id in shard_ids}
        for done in as_completed(futures):
            yield futures[done], done.result()
    except BrokenProcessPool as error:
        raise UserError("a process was killed, perhaps for lack of memory; continue with fewer --jobs") from error
    finally:
        for process in multiprocessing.active_children():  # workers still busy after an interruption or an error
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _start_worker(threads: int) -> None:
    """Ignore Ctrl-C, which the parent handles; its SIGTERM raises an exception here, so that no half file is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.set_num_threads(threads)


def _fill_in_worker(request: EncodingRequest, shard_id: ShardId, controls: Sequence[str]) -> EncodingWork:
    layout, representation = open_request(request)
    return fill_shard(layout, shard_id, representation, controls, thorough=True)
