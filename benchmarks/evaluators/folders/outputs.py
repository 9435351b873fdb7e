"""Run evaluators on audio files, a few in memory at a time, in several processes if there are many.

Each file is decoded once, and every evaluator is given its samples. The output for a clip does not depend on the other
clips, on their order or on the process, so splitting the work does not change the results. Outputs for known clips come
from the cache (``evaluators/cache.py``).
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ....common.errors import UserError
from ...metrics.loudness import loudness_lufs, peak
from ..audio import is_silent
from ..base import EvaluatorOutput, get_evaluator
from ..cache import CachedEvaluator, ClipRow, output_of, row_of
from .decode import BadAudioError, Waveform, read_audio

AT_ONCE = 16  # files in memory per process; small, so that processes end at about the same time
WORTH_A_PROCESS = 100  # files; starting a process takes a few seconds


@dataclass(frozen=True)
class FileTask:
    """A file to evaluate, with its caption if it has one."""

    path: Path
    caption: str | None = None


@dataclass(frozen=True)
class FileOutput:
    """What was found in one file.

    Attributes:
        digest: of the samples and their rate.
        rate, seconds: sample rate in Hz, and length.
        silent: whether the clip is silent.
        loudness_lufs: NaN for a clip below 0.4 s.
        peak: largest magnitude; 1 is full scale.
        truncated: how one sees that the file ends early; empty for a whole file.
        rows: evaluator -> its outputs for the clip as named arrays.
        problem: why the file cannot be scored; empty if it can.
    """

    digest: str = ""
    rate: int = 0
    seconds: float = 0.0
    silent: bool = False
    loudness_lufs: float = math.nan
    peak: float = 0.0
    truncated: str = ""
    rows: Mapping[str, ClipRow] = field(default_factory=dict)
    problem: str = ""


def open_evaluators(names: Sequence[str]) -> list[CachedEvaluator]:
    """The evaluators called ``names``, or in folders of these names, with a cache.

    Raises:
        UserError: none given, no such evaluator or checkpoint, or two whose metrics would have the same names.
    """
    if not names:
        raise UserError("no evaluator to score with; give --evaluator NAME or --judges NAME,NAME")
    found = [_open(name) for name in dict.fromkeys(names)]
    suffix, most = Counter(one.name for one in found).most_common(1)[0]
    if most > 1:
        raise UserError(f"{most} evaluators whose metrics end in _{suffix}; score with one of them at a time")
    return found


def _open(name: str) -> CachedEvaluator:
    found = get_evaluator(f"builtin:{name}" if Path(name).is_dir() else name)
    return found if isinstance(found, CachedEvaluator) else CachedEvaluator(found)


def evaluate_files(
    tasks: Sequence[FileTask],
    evaluators: Sequence[str],
    jobs: int,
    report: Callable[[int], None],
    at_once: int = AT_ONCE,
    strict: bool = False,
) -> list[FileOutput]:
    """Evaluate all files; outputs are in the order given.

    Args:
        evaluators: names or folders; none: files are only decoded and described.
        jobs: largest number of processes.
        report: called with the number of files done.

    Raises:
        UserError: no such evaluator; or, with ``strict``, the first file that cannot be scored or is truncated.
    """
    parts = [list(tasks[start : start + at_once]) for start in range(0, len(tasks), at_once)]
    found: list[FileOutput] = []
    for outputs in _all_parts(parts, evaluators, min(jobs, len(tasks) // WORTH_A_PROCESS)):
        for task, one in zip(tasks[len(found) :], outputs):
            if strict and (fault := one.problem or one.truncated):
                raise UserError(f"{task.path}: {fault}; repair or remove it, or leave out --strict")
        found += outputs
        report(len(found))
    return found


def joint_outputs(sets: Sequence[Sequence[FileOutput]], evaluator: str) -> list[EvaluatorOutput]:
    """One evaluator's output for each set of files, all of which can be scored.

    A file of a low rate has fewer octave bands; only the bands that all files of all sets have are kept.
    """
    rows = [[dict(one.rows[evaluator]) for one in files] for files in sets]
    held = [row for each in rows for row in each if "band_levels" in row]
    bands = min((len(row["band_levels"]) for row in held), default=0)
    for row in held:
        row["band_levels"] = row["band_levels"][:bands]
    return [output_of(each, sum(one.silent for one in files)) for each, files in zip(rows, sets)]


def _all_parts(parts: list[list[FileTask]], evaluators: Sequence[str], jobs: int) -> Iterator[list[FileOutput]]:
    if jobs < 2:
        here = open_evaluators(evaluators) if evaluators else []
        yield from (_evaluate_part(part, here) for part in parts)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=_start, initargs=(evaluators,)) as pool:
        yield from pool.map(_evaluate_in_worker, parts)


_EVALUATORS: list[CachedEvaluator] = []  # of a worker process, loaded when it starts


def _start(evaluators: Sequence[str]) -> None:
    _EVALUATORS.extend(open_evaluators(evaluators) if evaluators else [])


def _evaluate_in_worker(part: list[FileTask]) -> list[FileOutput]:
    return _evaluate_part(part, _EVALUATORS)


def _evaluate_part(part: Sequence[FileTask], evaluators: Sequence[CachedEvaluator]) -> list[FileOutput]:
    contents = [_read(task.path) for task in part]
    found = [content if isinstance(content, FileOutput) else None for content in contents]
    good = {i: content for i, content in enumerate(contents) if isinstance(content, Waveform)}
    kinds = {i: (content.rate, part[i].caption is not None) for i, content in good.items()}
    for rate, captioned in sorted(set(kinds.values())):
        chosen = [i for i, kind in kinds.items() if kind == (rate, captioned)]
        clips = [good[i].samples for i in chosen]
        captions = [part[i].caption or "" for i in chosen] if captioned else None
        outputs = {one.name: one.evaluate(clips, rate, captions) for one in evaluators}
        for k, i in enumerate(chosen):
            found[i] = _described(good[i], {name: row_of(output, k) for name, output in outputs.items()})
    return [one for one in found if one is not None]


def _described(content: Waveform, rows: Mapping[str, ClipRow]) -> FileOutput:
    samples, rate = content.samples, content.rate
    return FileOutput(
        digest=hashlib.sha256(f"{rate} ".encode() + samples.tobytes()).hexdigest(),
        rate=rate,
        seconds=len(samples) / rate,
        silent=is_silent(samples),
        loudness_lufs=loudness_lufs(samples, rate),
        peak=peak(samples),
        truncated=content.truncated,
        rows=rows,
    )


def _read(path: Path) -> Waveform | FileOutput:
    try:
        return read_audio(path)
    except BadAudioError as error:
        return FileOutput(problem=str(error))
