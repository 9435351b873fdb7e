"""Run an evaluator on audio files, a few in memory at a time, in several processes if there are many.

The result for a clip does not depend on its neighbours, on their order or on the process, so splitting the work changes
no digit. Results for clips seen before come from the cache (``benchmarks.evaluators.cache``).
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....common.errors import UserError
from .files import BadAudioError, Read, read

if TYPE_CHECKING:
    from ..base import Evaluator, EvaluatorOutput
    from ..cache import Row

AT_ONCE = 64  # files in memory per process
WORTH_A_PROCESS = 100  # files; starting one costs a few seconds


@dataclass(frozen=True)
class Task:
    """A file to evaluate, with its caption where it has one."""

    path: Path
    caption: str | None = None


@dataclass(frozen=True)
class Heard:
    """One file's result.

    Attributes:
        digest: of the samples and their rate.
        row: named arrays; ``None`` for a file that cannot be scored, ``problem`` says why.
    """

    digest: str = ""
    rate: int = 0
    seconds: float = 0.0
    silent: bool = False
    row: Row | None = None
    problem: str = ""


def open_evaluator(name: str) -> Evaluator:
    """The evaluator called ``name``, or in the folder ``name``, with a cache.

    Raises:
        UserError: no such evaluator or checkpoint.
    """
    from .. import get_evaluator
    from ..cache import Cached

    found = get_evaluator(f"builtin:{name}" if Path(name).is_dir() else name)
    return found if isinstance(found, Cached) else Cached(found)


def hear_files(
    tasks: Sequence[Task],
    evaluator: str,
    jobs: int,
    report: Callable[[int], None],
    at_once: int = AT_ONCE,
    strict: bool = False,
) -> list[Heard]:
    """Evaluate all files; results are in the order given.

    Args:
        jobs: processes at most; ``report`` is called with the number of files done.

    Raises:
        UserError: no such evaluator; or, with ``strict``, the first file that cannot be scored.
    """
    parts = [list(tasks[start : start + at_once]) for start in range(0, len(tasks), at_once)]
    found: list[Heard] = []
    for heard in _all_parts(parts, evaluator, min(jobs, len(tasks) // WORTH_A_PROCESS)):
        for task, one in zip(tasks[len(found) :], heard):
            if strict and one.problem:
                raise UserError(f"{task.path}: {one.problem}; repair or remove it, or leave out --strict")
        found += heard
        report(len(found))
    return found


def hearing(heard: Sequence[Heard]) -> EvaluatorOutput:
    """The results of the files that can be scored."""
    from ..cache import output_of

    return output_of([one.row for one in heard if one.row is not None], sum(one.silent for one in heard))


def _all_parts(parts: list[list[Task]], evaluator: str, jobs: int) -> Iterator[list[Heard]]:
    if jobs < 2:
        listener = open_evaluator(evaluator)
        yield from (_hear_part(part, listener) for part in parts)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=_start, initargs=(evaluator,)) as pool:
        yield from pool.map(_hear_here, parts)


_LISTENERS: list[Evaluator] = []  # of a worker process: one, loaded when it starts


def _start(evaluator: str) -> None:
    _LISTENERS.append(open_evaluator(evaluator))


def _hear_here(part: list[Task]) -> list[Heard]:
    return _hear_part(part, _LISTENERS[0])


def _hear_part(part: Sequence[Task], listener: Evaluator) -> list[Heard]:
    from ..audio import is_silent
    from ..cache import row_of

    sounds = [_read(task.path) for task in part]
    found = [sound if isinstance(sound, Heard) else None for sound in sounds]
    good = {i: sound for i, sound in enumerate(sounds) if isinstance(sound, Read)}
    kinds = {i: (sound.rate, part[i].caption is not None) for i, sound in good.items()}
    for rate, captioned in sorted(set(kinds.values())):
        chosen = [i for i, kind in kinds.items() if kind == (rate, captioned)]
        captions = [part[i].caption or "" for i in chosen] if captioned else None
        heard = listener.hear([good[i].samples for i in chosen], rate, captions)
        for k, i in enumerate(chosen):
            samples = good[i].samples
            digest = hashlib.sha256(f"{rate} ".encode() + samples.tobytes()).hexdigest()
            found[i] = Heard(digest, rate, len(samples) / rate, is_silent(samples), row_of(heard, k))
    return [one for one in found if one is not None]


def _read(path: Path) -> Read | Heard:
    try:
        return read(path)
    except BadAudioError as error:
        return Heard(problem=str(error))
