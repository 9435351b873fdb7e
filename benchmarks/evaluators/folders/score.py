"""Scores of a folder of generated clips against a folder of real ones.

Where every file of the smaller folder has a partner with its name in the other, partners are pairs and the paired
metric ``kl`` is scored too; otherwise the folders are two unrelated sets, which must have the same size. A file that
cannot be scored is left out together with its partner, and named. Clips are sorted by their content, so the same audio
gives the same scores under any names, in any order, in any number of processes.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....common.errors import UserError
from ....common.lines import count
from ...metrics.catalogue import metric_of
from ...metrics.metric import Metric
from ..base import Evaluator
from ..panel import PanelScores, clip_scores, panel
from .files import find_audio
from .outputs import AT_ONCE, FileOutput, FileTask, evaluate_files, joint_output, open_evaluator


@dataclass(frozen=True)
class ScoreRequest:
    """Settings of ``score_folders``.

    Attributes:
        reference, generated: folders of audio.
        evaluator: its name or folder.
        captions: name of a generated file -> its caption; empty: no captions.
        strict: end with an error at the first file that cannot be scored.
        n: number of clips of each folder to score, drawn by content; 0: all.
        jobs: largest number of processes.
    """

    reference: Path
    generated: Path
    evaluator: str = "builtin"
    captions: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    n: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class FolderScores:
    """Metrics with intervals, how they were computed (JSON-ready), and notes for the reader, a line each."""

    metrics: dict[str, Metric]
    policy: dict[str, Any]
    notes: list[str]


@dataclass(frozen=True)
class ScoredFile:
    """A file of one of the folders, with the evaluator's output."""

    name: str
    output: FileOutput
    caption: str = ""


def score_folders(
    request: ScoreRequest, report: Callable[..., None] = lambda done, total: None, at_once: int = AT_ONCE
) -> FolderScores:
    """Score ``request``; ``report(done, total=...)`` is called with the number of files done.

    Raises:
        UserError: a folder without audio, no such evaluator, unequal sets, missing captions, fewer than two good clips,
            or, with ``strict``, a file that cannot be scored.
    """
    evaluator = open_evaluator(request.evaluator)  # first, so that a wrong name or checkpoint shows before the work
    real, made = find_audio(request.reference), find_audio(request.generated)
    paired, notes = _are_paired(real, made), list[str]()
    if paired:
        real, made, notes = _partners(real, made)
    captions = {name: _caption(request, name) for name in made}
    tasks = [*map(FileTask, real.values()), *(FileTask(path, captions[name]) for name, path in made.items())]
    progress = functools.partial(report, total=len(tasks))
    outputs = evaluate_files(tasks, request.evaluator, request.jobs, progress, at_once, request.strict)
    reference = [ScoredFile(name, one) for name, one in zip(real, outputs)]
    generated = [ScoredFile(name, one, captions[name] or "") for name, one in zip(made, outputs[len(real) :])]
    notes += [f"left out: {task.path}: {one.problem}" for task, one in zip(tasks, outputs) if one.problem]
    reference, generated = (_pair if paired else _match)(reference, generated, request.n)
    if len(generated) < min(len(real), len(made)):
        notes.append(f"scored {len(generated):,} of {count(min(len(real), len(made)), 'clip')} of each set")
    scores = _panel(reference, generated, evaluator, paired)
    intervals = scores.intervals(range(len(generated)))
    metrics = {name: metric_of(name, found) for name, found in intervals.items()}
    return FolderScores(metrics, scores.details, [*notes, *_doubts(reference, generated)])


def _caption(request: ScoreRequest, name: str) -> str | None:
    if request.captions and name not in request.captions:
        raise UserError(f"no caption for {name} of {request.generated}; add a row with that path to the captions")
    return request.captions.get(name)


def _are_paired(reference: Mapping[str, Path], generated: Mapping[str, Path]) -> bool:
    """Whether every file of the smaller set has a partner with its name."""
    smaller, larger = sorted((reference, generated), key=len)
    return set(smaller) <= set(larger)


def _partners(
    reference: Mapping[str, Path], generated: Mapping[str, Path]
) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """The files whose names both sets have, and a line on those left out."""
    kept, notes = [], []
    for kind, found, other in (("reference", reference, generated), ("generated", generated, reference)):
        if alone := [name for name in found if name not in other]:
            notes.append(f"{kind}: left out {count(len(alone), 'file')} without a partner, such as {alone[0]}")
        kept.append({name: path for name, path in found.items() if name in other})
    return kept[0], kept[1], notes


def _pair(
    reference: list[ScoredFile], generated: list[ScoredFile], n: int
) -> tuple[list[ScoredFile], list[ScoredFile]]:
    """Good clips side by side with their partners, ``n`` of them (0: all).

    Raises:
        UserError: fewer than two pairs, or fewer than ``n``.
    """
    partner = {clip.name: clip for clip in reference if not clip.output.problem}
    good = [(clip, partner[clip.name]) for clip in generated if not clip.output.problem and clip.name in partner]
    good.sort(key=lambda both: (both[0].output.digest, both[1].output.digest, both[0].caption))
    good = good[: _number(n, len(good))]
    return [other for _, other in good], [clip for clip, _ in good]


def _match(
    reference: list[ScoredFile], generated: list[ScoredFile], n: int
) -> tuple[list[ScoredFile], list[ScoredFile]]:
    """Good clips of two unrelated sets, equally many; ``n`` (0: as many as there are) are taken by content.

    Raises:
        UserError: unequal sets and no ``n``, fewer than two clips, or fewer than ``n``.
    """
    if not n and len(reference) != len(generated):
        raise UserError(
            f"{count(len(reference), 'reference file')}, {len(generated)} generated: scores compare at equal n only; "
            f"give as many of each, or --n {min(len(reference), len(generated))} to draw as many from both"
        )
    sets = [[clip for clip in clips if not clip.output.problem] for clips in (reference, generated)]
    for clips in sets:
        clips.sort(key=lambda clip: (clip.output.digest, clip.caption))
    taken = _number(n, min(map(len, sets)))
    return sets[0][:taken], sets[1][:taken]


def _number(wanted: int, there: int) -> int:
    if there < 2:
        raise UserError(f"only {count(there, 'good clip')} of each set; a distance needs 2 at least: add clips")
    if wanted > there:
        raise UserError(f"--n {wanted}: only {count(there, 'good clip')} of each set; give a smaller number")
    return wanted or there


def _panel(
    reference: Sequence[ScoredFile], generated: Sequence[ScoredFile], evaluator: Evaluator, paired: bool
) -> PanelScores:
    real, made = (joint_output([clip.output for clip in clips]) for clips in (reference, generated))
    about = {"paired_by_name": paired, **_about("reference", reference), **_about("generated", generated)}
    return panel(real, made, evaluator, clip_scores(made, real if paired else None, evaluator.name), {}, about)


def _doubts(reference: Sequence[ScoredFile], generated: Sequence[ScoredFile]) -> list[str]:
    notes = []
    lengths = [statistics.median(clip.output.seconds for clip in clips) for clips in (reference, generated)]
    if max(lengths) > 1.1 * min(lengths):
        notes.append(
            f"doubtful: reference clips last {lengths[0]:.3g} s, generated ones {lengths[1]:.3g} s; cut them alike"
        )
    lowest = [min(clip.output.rate for clip in clips) for clips in (reference, generated)]
    if lowest[0] != lowest[1]:
        notes.append(
            f"doubtful: lowest sample rates {lowest[0]} and {lowest[1]} Hz; a narrower band alone moves distances"
        )
    for kind, clips in (("reference", reference), ("generated", generated)):
        if silent := sum(clip.output.silent for clip in clips):
            notes.append(f"{kind}: {silent} of {count(len(clips), 'clip')} silent, scored as they are")
        if repeated := len(clips) - len({clip.output.digest for clip in clips}):
            notes.append(f"{kind}: {count(repeated, 'exact copy', 'exact copies')} of another clip")
    return notes


def _about(kind: str, clips: Sequence[ScoredFile]) -> dict[str, Any]:
    """Sample rates, lengths, number of silent clips and a digest of all content, for the details."""
    lengths = [clip.output.seconds for clip in clips]
    content = "".join(sorted(clip.output.digest for clip in clips))
    about = {
        "sample_rates": sorted({clip.output.rate for clip in clips}),
        "seconds": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
        "silent_clips": sum(clip.output.silent for clip in clips),
        "content": hashlib.sha256(content.encode()).hexdigest()[:16],
    }
    return {f"{name}_{kind}": value for name, value in about.items()}
