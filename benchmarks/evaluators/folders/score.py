"""Scores of a folder of generated clips against a folder of real ones, by a panel of evaluators.

``pairing`` decides from names which files take part, before anything is decoded. A file that cannot be scored is left
out together with its partner, and named. Clips are sorted by their content, so the same audio gives the same scores
under any names, in any order, in any number of processes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common.errors import UserError
from ....common.lines import count
from ...metrics.catalogue import metric_of
from ...metrics.metric import Metric
from ..cache import CachedEvaluator
from ..panel import PanelScores, clip_scores, panel
from .captions import read_captions
from .files import find_audio
from .outputs import AT_ONCE, FileOutput, FileTask, evaluate_files, joint_outputs, open_evaluators
from .pairing import Matched, match_names
from .remarks import ScoredFile, about_set, remarks, unknown_words

DEFAULT_TAGGER, DEFAULT_JUDGES = "builtin", ("musicnn", "logmel")
OF_EVALUATOR = ("evaluator_identity", "evaluator_checkpoint", "frechet_clipped", "fad_inf_fit")
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreRequest:
    """Settings of ``score_folders``.

    Attributes:
        reference, generated: folders of audio.
        evaluators: their names or folders.
        captions: table of captions of the generated files, see ``captions``; ``None``: no captions.
        strict: end with an error at the first file that cannot be scored or is truncated.
        n: number of clips of each folder to score, drawn by content; 0: all.
        jobs: largest number of processes.
        may_pair: whether files of one name are pairs.
    """

    reference: Path
    generated: Path
    evaluators: tuple[str, ...] = (DEFAULT_TAGGER, *DEFAULT_JUDGES)
    captions: Path | None = None
    strict: bool = False
    n: int = 0
    jobs: int = 1
    may_pair: bool = True


@dataclass(frozen=True)
class FolderScores:
    """Metrics with intervals, how they were computed (JSON-ready), and notes for the reader, a line each."""

    metrics: dict[str, Metric]
    policy: dict[str, Any]
    notes: list[str]


def score_folders(
    request: ScoreRequest, report: Report = lambda done, total: None, at_once: int = AT_ONCE
) -> FolderScores:
    """Score ``request``; ``report(done, total)`` is called with the number of files done.

    Raises:
        UserError: a folder without audio, no such evaluator, unequal sets, missing captions, fewer than two good clips,
            or, with ``strict``, a file that cannot be scored.
    """
    real, made = find_audio(request.reference), find_audio(request.generated)
    matched = match_names(real.files, made.files, request.n, request.may_pair)
    table = None if request.captions is None else read_captions(request.captions)
    captions = {} if table is None else table.of(list(matched.generated))
    opened = open_evaluators(request.evaluators)  # so that a wrong name or checkpoint shows before the work
    evaluators = sorted(opened, key=lambda one: one.role == "tagger")  # the judges' metrics first
    notes = [*real.notes, *made.notes, *matched.notes, *([] if table is None else table.notes())]
    reference, generated, faults = _evaluated(request, matched, captions, report, at_once)
    panels = {one.name: _panel(reference, generated, one, matched.paired) for one in evaluators}
    metrics = {
        name: metric_of(name, found)
        for scores in panels.values()
        for name, found in scores.intervals(range(len(generated))).items()
    }
    policy = _policy(panels, evaluators, reference, generated, matched.paired)
    notes += [*faults, *remarks(reference, generated)]
    for one in evaluators:
        if captions and one.vocabulary:
            notes += unknown_words([clip.caption for clip in generated], one.vocabulary, one.name)
    return FolderScores(metrics, policy, notes)


def _evaluated(
    request: ScoreRequest, matched: Matched, captions: dict[str, str], report: Report, at_once: int
) -> tuple[list[ScoredFile], list[ScoredFile], list[str]]:
    """Both sets with the evaluators' outputs, and a line on each file that is left out.

    If only ``n`` of the clips are wanted, all are decoded to draw them by content, and those drawn are evaluated.
    """
    real, made = matched.reference, matched.generated
    drawn = 0 < request.n < max(len(real), len(made))

    def run(first: Sequence[str], second: Sequence[str], evaluators: tuple[str, ...]) -> list[FileOutput]:
        tasks = [FileTask(real[name]) for name in first]
        tasks += [FileTask(made[name], captions.get(name)) for name in second]
        progress = functools.partial(_report_done, report, len(tasks))
        return evaluate_files(tasks, evaluators, request.jobs, progress, at_once, request.strict)

    outputs = run(list(real), list(made), () if drawn else request.evaluators)
    paths = [*real.values(), *made.values()]
    faults = [f"left out: {path}: {one.problem}" for path, one in zip(paths, outputs) if one.problem]
    reference = [ScoredFile(name, one) for name, one in zip(real, outputs)]
    generated = [ScoredFile(name, one, captions.get(name, "")) for name, one in zip(made, outputs[len(real) :])]
    reference, generated = (_pair if matched.paired else _match)(reference, generated, request.n, faults)
    if len(generated) < (smaller := min(len(real), len(made))):
        faults.append(f"scored {len(generated):,} of {count(smaller, 'clip')} of each set")
    if drawn:
        outputs = run([clip.name for clip in reference], [clip.name for clip in generated], request.evaluators)
        reference = [ScoredFile(clip.name, one) for clip, one in zip(reference, outputs)]
        made_outputs = outputs[len(reference) :]
        generated = [ScoredFile(clip.name, one, clip.caption) for clip, one in zip(generated, made_outputs)]
    return reference, generated, faults


def _report_done(report: Report, total: int, done: int) -> None:
    report(done, total)


def _pair(
    reference: list[ScoredFile], generated: list[ScoredFile], n: int, faults: list[str]
) -> tuple[list[ScoredFile], list[ScoredFile]]:
    """Good clips side by side with their partners, ``n`` of them (0: all).

    Raises:
        UserError: fewer than two pairs, or fewer than ``n``.
    """
    partner = {clip.name: clip for clip in reference if not clip.output.problem}
    good = [(clip, partner[clip.name]) for clip in generated if not clip.output.problem and clip.name in partner]
    good.sort(key=lambda both: (both[0].output.digest, both[1].output.digest, both[0].caption))
    good = good[: _number(n, len(good), faults)]
    return [other for _, other in good], [clip for clip, _ in good]


def _match(
    reference: list[ScoredFile], generated: list[ScoredFile], n: int, faults: list[str]
) -> tuple[list[ScoredFile], list[ScoredFile]]:
    """Good clips of two unrelated sets, equally many; ``n`` (0: as many as there are) are taken by content.

    Raises:
        UserError: fewer than two clips, or fewer than ``n``.
    """
    sets = [[clip for clip in clips if not clip.output.problem] for clips in (reference, generated)]
    for clips in sets:
        clips.sort(key=lambda clip: (clip.output.digest, clip.caption))
    taken = _number(n, min(map(len, sets)), faults)
    return sets[0][:taken], sets[1][:taken]


def _number(wanted: int, there: int, faults: list[str]) -> int:
    why = f" ({faults[0]})" if faults else ""
    if there < 2:
        raise UserError(f"only {count(there, 'good clip')} of each set; a distance needs 2 at least: add clips{why}")
    if wanted > there:
        raise UserError(f"--n {wanted}: only {count(there, 'good clip')} of each set; give a smaller number{why}")
    return wanted or there


def _panel(
    reference: Sequence[ScoredFile], generated: Sequence[ScoredFile], evaluator: CachedEvaluator, paired: bool
) -> PanelScores:
    real, made = joint_outputs([[clip.output for clip in clips] for clips in (reference, generated)], evaluator.name)
    return panel(real, made, evaluator, clip_scores(made, real if paired else None, evaluator.name), {}, {})


def _policy(
    panels: dict[str, PanelScores],
    evaluators: Sequence[CachedEvaluator],
    reference: Sequence[ScoredFile],
    generated: Sequence[ScoredFile],
    paired: bool,
) -> dict[str, Any]:
    """Settings and sets behind the scores: what all evaluators share, then each evaluator's own; JSON-ready."""
    shared = next(iter(panels.values())).details
    own = {
        one.name: {"role": one.role, **{k: v for k, v in panels[one.name].details.items() if k in OF_EVALUATOR}}
        for one in evaluators
    }
    missing = {
        f"{family}_{name}": why
        for name, scores in panels.items()
        for family, why in scores.details["not_scored"].items()
    }
    sets = {"reference": reference, "generated": generated}
    return {
        "paired_by_name": paired,
        **{key: shared[key] for key in ("n_reference", "n_generated", "policy")},
        **{key: value for kind, clips in sets.items() for key, value in about_set(kind, clips).items()},
        **{f"content_{kind}": _content(clips) for kind, clips in sets.items()},
        "evaluators": own,
        "not_scored": missing,
    }


def _content(clips: Sequence[ScoredFile]) -> str:
    """Digest of all content of a set."""
    return hashlib.sha256("".join(sorted(clip.output.digest for clip in clips)).encode()).hexdigest()[:16]
