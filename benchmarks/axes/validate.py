"""The validation of a study's metrics: the ladder of degradations on the study's own evaluation set."""

from __future__ import annotations

import json
import math
import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...common.config import config_hash, to_dict
from ...common.console import duration
from ...common.environment import environment
from ...common.errors import UserError
from ...common.files import write_text
from ...common.lines import count, say
from ...training.sources import Data, Sources, load_data
from ..analysis.validation import FOLDER, ChainInfo, Validation
from ..evaluators.ladder import LadderSet, Report, measure_ladder
from ..metrics.degradations import CHAINS
from ..metrics.ladder import REFERENCES as SYSTEMS
from ..study.cells import Content, EvaluationConfig, Identity
from ..study.references import BASELINES, CEILINGS, REFERENCES, ReferenceContext, why_impossible
from ..study.study import Study
from .eval_set import check_roles, eligible, eval_audio, load_evaluators, named_evaluators

CLIPS = 128  # degraded by default: validity is about the metric, so n should not limit it
LEAST = 8  # clips
SHOWN = (*CEILINGS[1:], *BASELINES, "noise", "silence")  # references that are measured beside the degradations
DIGITS = 6  # significant digits that a validation keeps


def validate(study: Study, n: int | None, results: Path, command: str = "") -> Path:
    """Measure the ladder of a study's metrics and write the validation; returns its file.

    A validation that exists is not measured again, nor are finished steps of one that was interrupted.

    Args:
        n: clips to degrade; None: ``CLIPS``, or as many as the corpus has.

    Raises:
        UserError: too few clips, an evaluator that is not here, or a folder that cannot be written.
    """
    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
    evaluators = load_evaluators(named_evaluators(study.evaluation), data.corpus, data.representation)
    check_roles(evaluators, study.evaluation)
    asked = _evaluation(study, data, n)
    identities = tuple(Identity(one.name, one.identity) for one in evaluators)
    corpus = Content(data.corpus.name, data.corpus.fingerprint)
    measured = {
        "corpus": to_dict(corpus), "split": asked.split, "seconds": asked.seconds, "sample_rate": asked.sample_rate,
        "prompts": asked.prompts, "evaluators": [to_dict(one) for one in identities],
        "representation": data.representation.fingerprint, "chains": {c.name: list(c.steps) for c in CHAINS.values()},
    }  # fmt: skip
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", corpus.name)
    file = results / FOLDER / f"{name}-{config_hash(measured, 8)}.json"
    if file.exists():
        say(f"{file} exists; delete it to measure it again")
        return file
    clips = _clips(asked, data)
    metrics = measure_ladder(clips, evaluators, _reporter())
    found = Validation(
        corpus, asked.split, asked.seconds, asked.sample_rate, asked.prompts, identities, _chains(clips), metrics,
        study=study.name, representation=study.representation,
        created=datetime.now(UTC).isoformat(timespec="seconds"), command=command, environment=environment(),
        notes=_notes(clips),
    )  # fmt: skip
    write_text(file, text_of(found))
    return file


def text_of(validation: Validation) -> str:
    """A validation as JSON with a line for each metric."""
    plain = rounded(to_dict(validation))
    metrics = ",\n".join(f" {json.dumps(name)}: {_compact(one)}" for name, one in plain.pop("metrics").items())
    rest = ",\n".join(f"{json.dumps(key)}: {_compact(value)}" for key, value in plain.items())
    return f'{{{rest},\n"metrics": {{\n{metrics}\n}}}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Plain data with ``digits`` significant digits, and None for what is not finite."""
    if isinstance(value, dict):
        return {key: rounded(one, digits) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one, digits) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def _evaluation(study: Study, data: Data, n: int | None) -> EvaluationConfig:
    """How the clips are chosen and scored: as in the study, but for their number.

    Raises:
        UserError: too few clips.
    """
    split, seconds = study.evaluation.split, study.train.seconds
    held = len(eligible(data.corpus, split, seconds)) // 2  # as many again are the reference set
    prompts = min(n or CLIPS, held)
    if prompts < LEAST:
        raise UserError(
            f"corpus {data.corpus.name}: {count(2 * held, f'{split} clip')} of {seconds:g} s or more; validation needs "
            f"{2 * LEAST}; add clips or lower train.seconds"
        )
    if n is not None and prompts < n:
        say(f"note: {count(prompts, 'clip')}, not {n}: the reference set needs as many others of split {split}")
    return EvaluationConfig(split, prompts, seconds, data.representation.spec.sample_rate)


def _clips(asked: EvaluationConfig, data: Data) -> LadderSet:
    """The clips that are degraded, the reference set, and the study's systems without a model."""
    clips, audio_BN = eval_audio(asked, data.corpus)
    prompts, own_BN, reference_BN = clips[: asked.prompts], audio_BN[: asked.prompts], audio_BN[asked.prompts :]
    context = ReferenceContext(
        prompts, own_BN, (0.0,) * len(prompts), data.corpus, data.representation, asked.sample_rate, seed=0
    )
    possible = [name for name in SHOWN if not why_impossible(name, prompts, data.corpus, asked.seconds)]
    return LadderSet(
        [clip.id for clip in prompts], [clip.caption for clip in prompts], [clip.attributes for clip in prompts],
        list(own_BN), list(reference_BN), asked.sample_rate,
        {name: partial(_made, name, context) for name in possible},
        config_hash([data.representation.fingerprint, data.corpus.fingerprint, possible]),
    )  # fmt: skip


def _made(name: str, context: ReferenceContext) -> list[np.ndarray]:
    return list(REFERENCES[name](context))


def _chains(clips: LadderSet) -> dict[str, ChainInfo]:
    found = {
        chain.name: ChainInfo(chain.title, chain.unit, chain.required_of, tuple(f"{step:g}" for step in steps))
        for chain in CHAINS.values()
        if (steps := chain.steps_at(clips.sample_rate))
    }
    return {**found, SYSTEMS: ChainInfo("references", "", "nothing", tuple(clips.references))}


def _notes(clips: LadderSet) -> tuple[str, ...]:
    missing = {
        chain.title: [f"{step:g}" for step in chain.steps if step not in chain.steps_at(clips.sample_rate)]
        for chain in CHAINS.values()
    }
    return tuple(
        f"{title} at {', '.join(steps)} not measured, since it is not possible at {clips.sample_rate} Hz here"
        for title, steps in missing.items()
        if steps
    )


def _reporter() -> Report:
    """Prints a line for every step, with the time that is left by the steps measured so far."""
    begun: list[tuple[float, int]] = []

    def report(done: int, total: int, name: str, known: bool) -> None:
        if known:
            return
        now = time.monotonic()
        begun.append((now, done))
        spent, made = now - begun[0][0], done - begun[0][1]
        left = f" · {duration(spent / made * (total - done))} left" if made else ""
        say(f"[{done}/{total} steps] {name}{left}")

    return report
