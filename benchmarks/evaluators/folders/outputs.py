"""Run an evaluator on audio files, a few in memory at a time, in several processes if there are many.

The output for a clip does not depend on the other clips, on their order or on the process, so splitting the work does
not change the results. Outputs for known clips come from the cache (``evaluators/cache.py``).
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ....common.errors import UserError
from ..audio import is_silent
from ..base import Evaluator, EvaluatorOutput, get_evaluator
from ..cache import CachedEvaluator, ClipRow, output_of, row_of
from .files import BadAudioError, Waveform, read_audio

AT_ONCE = 64  # files in memory per process
WORTH_A_PROCESS = 100  # files; starting a process takes a few seconds


@dataclass(frozen=True)
class FileTask:
    """A file to evaluate, with its caption if it has one."""

    path: Path
    caption: str | None = None


@dataclass(frozen=True)
class FileOutput:
    """The evaluator's output for one file.

    Attributes:
        digest: of the samples and their rate.
        rate, seconds: sample rate in Hz, and length.
        silent: whether the clip is silent.
        row: named arrays; ``None`` for a file that cannot be scored, ``problem`` says why.
    """

    digest: str = ""
    rate: int = 0
    seconds: float = 0.0
    silent: bool = False
    row: ClipRow | None = None
    problem: str = ""


def open_evaluator(name: str) -> CachedEvaluator:
    """The evaluator called ``name``, or in the folder ``name``, with a cache.

    Raises:
        UserError: no such evaluator or checkpoint.
    """
    found = get_evaluator(f"builtin:{name}" if Path(name).is_dir() else name)
    return found if isinstance(found, CachedEvaluator) else CachedEvaluator(found)


def evaluate_files(
    tasks: Sequence[FileTask],
    evaluator: str,
    jobs: int,
    report: Callable[[int], None],
    at_once: int = AT_ONCE,
    strict: bool = False,
) -> list[FileOutput]:
    """Evaluate all files; outputs are in the order given.

    Args:
        evaluator: its name or folder.
        jobs: largest number of processes.
        report: called with the number of files done.

    Raises:
        UserError: no such evaluator; or, with ``strict``, the first file that cannot be scored.
    """
    parts = [list(tasks[start : start + at_once]) for start in range(0, len(tasks), at_once)]
    found: list[FileOutput] = []
    for outputs in _all_parts(parts, evaluator, min(jobs, len(tasks) // WORTH_A_PROCESS)):
        for task, one in zip(tasks[len(found) :], outputs):
            if strict and one.problem:
                raise UserError(f"{task.path}: {one.problem}; repair or remove it, or leave out --strict")
        found += outputs
        report(len(found))
    return found


def joint_output(files: Sequence[FileOutput]) -> EvaluatorOutput:
    """One output for all files that can be scored."""
    return output_of([one.row for one in files if one.row is not None], sum(one.silent for one in files))


def _all_parts(parts: list[list[FileTask]], evaluator: str, jobs: int) -> Iterator[list[FileOutput]]:
    if jobs < 2:
        here = open_evaluator(evaluator)
        yield from (_evaluate_part(part, here) for part in parts)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=_start, initargs=(evaluator,)) as pool:
        yield from pool.map(_evaluate_in_worker, parts)


_EVALUATORS: list[Evaluator] = []  # of a worker process: one, loaded when it starts


def _start(evaluator: str) -> None:
    _EVALUATORS.append(open_evaluator(evaluator))


def _evaluate_in_worker(part: list[FileTask]) -> list[FileOutput]:
    return _evaluate_part(part, _EVALUATORS[0])


def _evaluate_part(part: Sequence[FileTask], evaluator: Evaluator) -> list[FileOutput]:
    contents = [_read(task.path) for task in part]
    found = [content if isinstance(content, FileOutput) else None for content in contents]
    good = {i: content for i, content in enumerate(contents) if isinstance(content, Waveform)}
    kinds = {i: (content.rate, part[i].caption is not None) for i, content in good.items()}
    for rate, captioned in sorted(set(kinds.values())):
        chosen = [i for i, kind in kinds.items() if kind == (rate, captioned)]
        captions = [part[i].caption or "" for i in chosen] if captioned else None
        output = evaluator.evaluate([good[i].samples for i in chosen], rate, captions)
        for k, i in enumerate(chosen):
            samples = good[i].samples
            digest = hashlib.sha256(f"{rate} ".encode() + samples.tobytes()).hexdigest()
            found[i] = FileOutput(digest, rate, len(samples) / rate, is_silent(samples), row_of(output, k))
    return [one for one in found if one is not None]


def _read(path: Path) -> Waveform | FileOutput:
    try:
        return read_audio(path)
    except BadAudioError as error:
        return FileOutput(problem=str(error))
