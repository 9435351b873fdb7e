"""Scores of a folder of generated clips against a folder of real ones.

Files whose names match in both folders are pairs, and then the paired metrics (``kl``) are scored too; otherwise the
folders are two unrelated sets, which must hold equally many. A file that cannot be scored is left out together with
its partner and named. The same audio gives the same digits under any names, in any order, in any number of processes.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....common.errors import UserError
from ....common.lines import count
from ...metrics.metric import Metric, metric
from .files import find_audio
from .outputs import AT_ONCE, Task, hear_files, hearing, open_evaluator
from .pairing import Clip, are_paired, match, pair, partners

if TYPE_CHECKING:
    from ..base import Evaluator
    from ..panel import PanelScores


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Attributes:
        captions: name of a generated file -> its caption; empty: no captions.
        strict: the first file that cannot be scored ends everything.
        n: score this many of each, drawn by content; 0: all.
        jobs: processes at most.
    """

    reference: Path
    generated: Path
    evaluator: str = "builtin"
    captions: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    n: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class Score:
    """Metrics with intervals, how they were made (JSON-ready), and notes for the reader, a line each."""

    metrics: dict[str, Metric]
    policy: dict[str, Any]
    notes: list[str]


def score_folders(
    request: Request, report: Callable[..., None] = lambda done, total: None, at_once: int = AT_ONCE
) -> Score:
    """Score ``request``; ``report(done, total=...)`` is called with the number of files done.

    Raises:
        UserError: a folder without audio, no such evaluator, unequal sets, missing captions, fewer than two good clips,
            or, with ``strict``, a file that cannot be scored.
    """
    listener = open_evaluator(request.evaluator)  # a wrong name or checkpoint shows before the work
    real, made = find_audio(request.reference), find_audio(request.generated)
    paired, notes = are_paired(real, made), list[str]()
    if paired:
        real, made, notes = partners(real, made)
    captions = {name: _caption(request, name) for name in made}
    tasks = [*map(Task, real.values()), *(Task(path, captions[name]) for name, path in made.items())]
    told = functools.partial(report, total=len(tasks))
    heard = hear_files(tasks, request.evaluator, request.jobs, told, at_once, request.strict)
    reference = [Clip(name, one) for name, one in zip(real, heard)]
    generated = [Clip(name, one, captions[name] or "") for name, one in zip(made, heard[len(real) :])]
    notes += [f"left out: {task.path}: {one.problem}" for task, one in zip(tasks, heard) if one.problem]
    reference, generated = (pair if paired else match)(reference, generated, request.n)
    if len(generated) < min(len(real), len(made)):
        notes.append(f"scored {len(generated):,} of {count(min(len(real), len(made)), 'clip')} of each set")
    scores = _panel(reference, generated, listener, paired)
    return Score(_metrics(scores), scores.details, [*notes, *_doubts(reference, generated)])


def _caption(request: Request, name: str) -> str | None:
    if request.captions and name not in request.captions:
        raise UserError(f"no caption for {name} of {request.generated}; add a row with that path to the captions")
    return request.captions.get(name)


def _panel(reference: Sequence[Clip], generated: Sequence[Clip], listener: Evaluator, paired: bool) -> PanelScores:
    from ..panel import clip_scores, panel

    real, made = hearing([clip.heard for clip in reference]), hearing([clip.heard for clip in generated])
    about = {"paired_by_name": paired, **_about("reference", reference), **_about("generated", generated)}
    return panel(real, made, listener, clip_scores(made, real if paired else None, listener.name), {}, about)


def _metrics(scores: PanelScores) -> dict[str, Metric]:
    from ...metrics.catalogue import about

    found = scores.intervals(range(len(scores.generated.embeddings)))
    return {
        name: metric(one.estimate, low=one.low, high=one.high, n=one.n_items, better=about(name).better)
        for name, one in found.items()
    }


def _doubts(reference: Sequence[Clip], generated: Sequence[Clip]) -> list[str]:
    """Reasons to doubt a comparison of the two sets."""
    notes = []
    lengths = [statistics.median(clip.heard.seconds for clip in clips) for clips in (reference, generated)]
    if max(lengths) > 1.1 * min(lengths):
        notes.append(
            f"doubtful: reference clips last {lengths[0]:.3g} s, generated ones {lengths[1]:.3g} s; cut them alike"
        )
    lowest = [min(clip.heard.rate for clip in clips) for clips in (reference, generated)]
    if lowest[0] != lowest[1]:
        notes.append(
            f"doubtful: lowest sample rates {lowest[0]} and {lowest[1]} Hz; a narrower band alone moves distances"
        )
    for kind, clips in (("reference", reference), ("generated", generated)):
        if silent := sum(clip.heard.silent for clip in clips):
            notes.append(f"{kind}: {silent} of {count(len(clips), 'clip')} silent, scored as they are")
        if repeated := len(clips) - len({clip.heard.digest for clip in clips}):
            notes.append(f"{kind}: {count(repeated, 'exact copy', 'exact copies')} of another clip")
    return notes


def _about(kind: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Rates, lengths, number of silent clips and a digest of all content."""
    lengths = [clip.heard.seconds for clip in clips]
    content = "".join(sorted(clip.heard.digest for clip in clips))
    about = {
        "sample_rates": sorted({clip.heard.rate for clip in clips}),
        "seconds": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
        "silent_clips": sum(clip.heard.silent for clip in clips),
        "content": hashlib.sha256(content.encode()).hexdigest()[:16],
    }
    return {f"{name}_{kind}": value for name, value in about.items()}
