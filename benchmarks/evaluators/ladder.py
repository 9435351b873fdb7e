"""The ladder: every metric of every evaluator on real audio that is degraded step by step.

The prompts' own clips are degraded and scored against the untouched reference set, by the same function that scores
generated clips, with the clean clips as their pairs. The scores of a finished step are cached under the content of the
clips and the evaluator's identity, so an interrupted measurement goes on after the last step, and one with another
evaluator measures only what is new.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...common.files import cache_dir, read_json, write_json
from ...common.seeds import seed_for
from ..metrics.catalogue import about
from ..metrics.degradations import CHAINS, Chain
from ..metrics.ladder import REFERENCES, MetricLadder, SetScore, StepScore, step_scores
from .base import Audio, Evaluator, EvaluatorOutput
from .cache import output_of, row_of
from .panel import score_set

CLEAN = "clean"
VERSION = 1  # to be raised when a degradation or the meaning of a metric changes
Report = Callable[[int, int, str, bool], None]
"""Called with the number of steps so far, that of all steps, the name of the next one, and whether it is known."""


@dataclass(frozen=True)
class LadderSet:
    """Real clips on which metrics are validated.

    Attributes:
        ids, captions, attributes: of the n prompts.
        audio, reference: n prompts' own clips and n other clips, mono float32 (N,).
        sample_rate: of all clips, Hz.
        references: system without a model (codec, retrieved clip, noise ...) -> its clips (n,); may be empty.
        references_identity: hash of what they are made from beside the prompts.
    """

    ids: Sequence[str]
    captions: Sequence[str]
    attributes: Sequence[Mapping[str, str]]
    audio: Audio
    reference: Audio
    sample_rate: int
    references: Mapping[str, Callable[[], Audio]] = field(default_factory=dict)
    references_identity: str = ""

    @functools.cached_property
    def key(self) -> str:
        """A hash of the clips and of the steps, under which scores are cached."""
        digest = hashlib.sha256(repr((VERSION, self.sample_rate, list(self.captions), list(self.attributes))).encode())
        for wav in (*self.audio, *self.reference):
            digest.update(np.ascontiguousarray(wav, np.float32).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Step:
    """One set of clips to score: a step of a chain, or the clean clips."""

    chain: str
    step: float
    audio: Callable[[], Audio]
    index: np.ndarray | None = None  # of clean clips, for a chain that rearranges them

    @property
    def name(self) -> str:
        return self.chain if self.chain == CLEAN else f"{self.chain}-{self.step:g}"


def measure_ladder(
    clips: LadderSet, evaluators: Sequence[Evaluator], report: Report, chains: Sequence[Chain] = ()
) -> dict[str, MetricLadder]:
    """The ladders of all metrics of the evaluators, by the metrics' names.

    Args:
        chains: to measure; empty: all of ``degradations.CHAINS``, and the references.

    Raises:
        UserError: clips that cannot be scored, or a cache folder that cannot be written.
    """
    steps = _steps(clips, chains)
    opened = [_Opened(evaluator, clips) for evaluator in evaluators]
    for done, step in enumerate(steps):
        missing = [one for one in opened if not one.file(step).exists()]
        report(done, len(steps), step.name, not missing)
        audio = step.audio() if missing else ()
        for one in missing:
            write_json(one.file(step), one.scores(step, audio))
    held: dict[str, dict[str, SetScore]] = {step.name: {} for step in steps}
    for step in steps:
        for one in opened:
            held[step.name] |= _read(one.file(step))
    return {name: _ladder(name, steps, held, clips.ids) for name in held[CLEAN]}


class _Opened:
    """An evaluator with its outputs for the clean clips and the reference set, which are computed once, when needed."""

    def __init__(self, evaluator: Evaluator, clips: LadderSet) -> None:
        self.evaluator, self.clips = evaluator, clips
        self.folder = cache_dir("ladder", clips.key, f"{evaluator.name}-{evaluator.identity}")

    def file(self, step: _Step) -> Path:
        """Where the scores of a step are kept."""
        made_from = f"-{self.clips.references_identity}" if step.chain == REFERENCES else ""
        return self.folder / f"{step.name}{made_from}.json"

    @functools.cached_property
    def reference(self) -> EvaluatorOutput:
        return self.evaluator.evaluate(self.clips.reference, self.clips.sample_rate)

    @functools.cached_property
    def clean(self) -> EvaluatorOutput:
        return self.evaluator.evaluate(self.clips.audio, self.clips.sample_rate, self.clips.captions)

    def scores(self, step: _Step, audio: Audio) -> dict[str, Any]:
        """The scores of a step as plain data: name -> value, and the score or contribution of each clip."""
        found = score_set(
            self.reference,
            self._output(step, audio),
            captions=self.clips.captions,
            asked=self.clips.attributes,
            evaluator=self.evaluator,
            sample_rate=self.clips.sample_rate,
            paired=self.clean,
        )
        items = found.per_item | found.contributions()
        return {
            name: {
                "value": _finite(value),
                "items": list(map(_finite, items[name].tolist())) if name in items else None,
            }
            for name, value in found.set_metrics.items()
        }

    def _output(self, step: _Step, audio: Audio) -> EvaluatorOutput:
        """The evaluator's output for a step; known without it where the clips are the clean ones in other places."""
        if step.chain == CLEAN:
            return self.clean
        reads_captions = self.clean.similarity is not None
        if step.index is not None and not reads_captions:
            return output_of([row_of(self.clean, int(i)) for i in step.index], self.clean.silent)
        return self.evaluator.evaluate(audio, self.clips.sample_rate, self.clips.captions if reads_captions else None)


def _steps(clips: LadderSet, chains: Sequence[Chain]) -> list[_Step]:
    steps = [_Step(CLEAN, 0.0, lambda: clips.audio)]
    for chain in chains or CHAINS.values():
        steps += [_step(chain, step, clips) for step in chain.steps_at(clips.sample_rate)]
    if not chains:
        made = enumerate(clips.references.values(), 1)
        steps += [_Step(REFERENCES, float(number), make) for number, make in made]
    return steps


def _step(chain: Chain, step: float, clips: LadderSet) -> _Step:
    if chain.rearrange is not None:
        index = chain.rearrange(len(clips.ids), step, 0)
        return _Step(chain.name, step, lambda: [clips.audio[i] for i in index], index)
    degrade, seeds = chain.degrade, [seed_for("ladder", clip) for clip in clips.ids]
    assert degrade is not None, chain.name
    return _Step(
        chain.name,
        step,
        lambda: [degrade(wav, clips.sample_rate, step, seed) for wav, seed in zip(clips.audio, seeds)],
    )


def _read(file: Path) -> dict[str, SetScore]:
    return {
        name: SetScore(one["value"], None if one["items"] is None else np.array(one["items"], np.float64))
        for name, one in read_json(file, remade=True).items()
        if one["value"] is not None
    }


def _ladder(
    name: str, steps: Sequence[_Step], held: Mapping[str, dict[str, SetScore]], prompts: Sequence[str]
) -> MetricLadder:
    clean, better = held[CLEAN][name], about(name).better
    chains: dict[str, tuple[StepScore, ...]] = {}
    for chain in dict.fromkeys(step.chain for step in steps if step.chain != CLEAN):
        own = [step for step in steps if step.chain == chain and name in held[step.name]]
        scored = [held[step.name][name] for step in own]
        found = step_scores(clean, [step.step for step in own], scored, prompts, better == "higher")
        chains[chain] = tuple(found)
    return MetricLadder(clean.value, better, chains)


def _finite(value: float) -> float | None:
    """The value for JSON, which has neither NaN nor infinity."""
    return value if math.isfinite(value) else None
