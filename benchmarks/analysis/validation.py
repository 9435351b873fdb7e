"""Validations: what each metric of a corpus makes of known degradations of real audio, measured beforehand.

``bench validate-metrics`` writes one file per corpus and setting, ``RESULTS/validations/<corpus>-<hash>.json``; some
come with the suite. From them follow which metrics may decide on that corpus, and how large a difference must be to
count. The rules:

- A metric **notices** a step of a chain if its difference from clean audio is significant, paired by prompt and
  corrected by Holm over the chain's steps, and larger than ``NOTHING`` of the largest change that the chains it must
  order cause. A metric may notice a step and call it better.
- A metric **orders** a chain if no step is better than the one before it, and the last step is worse than clean audio.
  Better and worse are meant as for ``notices``: significant, and more than nothing. Steps that it cannot tell apart are
  in order.
- A metric **may decide** if it orders every chain that it must, over at least ``LEAST_PROMPTS`` clips; a chain that was
  not tested counts as not ordered.
- The **margin** of a metric, the largest difference that counts as none, is the effect of white noise at 30 dB on real
  audio for a metric of fidelity (at least ``NOTHING``, since a metric may hardly notice such noise), and 5% of the
  effect of exchanging all clips for another one that reads captions.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...common.config import from_dict
from ...common.errors import UserError
from ...common.files import read_json
from ...common.lines import count, say
from ..metrics.catalogue import about, is_fidelity
from ..metrics.degradations import CHAINS, required_chains
from ..metrics.ladder import REFERENCES, MetricLadder, StepScore
from ..metrics.statistics import ALPHA, holm
from ..study.cells import Content, Identity
from .records import Record

Effect = Literal["worse", "better", ""]
FOLDER = "validations"
PACKAGED = Path(__file__).with_name(FOLDER)
SCHEMA_VERSION = 1
LEAST_PROMPTS = 32  # clips; a validation of fewer shows too little to let a metric decide
NOTHING = 0.01  # share of a metric's largest change below which a change is none
MARGIN_STEP = ("noise", 30.0)  # the small degradation of real audio whose effect is the margin of fidelity
EXCHANGED_SHARE = 0.05  # of the effect of exchanging all clips: the margin of metrics that read captions


@dataclass(frozen=True)
class ChainInfo:
    """A chain of a validation: its title, the labels and the unit of its steps, and which metrics must order it."""

    title: str
    unit: str
    required_of: str
    steps: tuple[str, ...]

    def labels(self) -> list[str]:
        """The steps with their unit."""
        return [self.with_unit(step) for step in self.steps]

    def with_unit(self, step: str) -> str:
        """The label of a step with its unit."""
        between = "" if not self.unit or self.unit.startswith("%") else " "
        return f"{step}{between}{self.unit}"


@dataclass(frozen=True)
class Validation:
    """What every metric makes of degraded real audio of one corpus.

    Attributes:
        corpus, split, seconds, sample_rate: the clips; rate in Hz.
        prompts: number of clips that were degraded, and of clips in the reference set.
        evaluators: those whose metrics were measured.
        chains: name -> what it is, in the order of tables.
        metrics: name -> its scores of all steps.
        study, representation, created, command, environment: how it was measured.
        notes: what could not be measured, and why.
    """

    corpus: Content
    split: str
    seconds: float
    sample_rate: int
    prompts: int
    evaluators: tuple[Identity, ...]
    chains: dict[str, ChainInfo]
    metrics: dict[str, MetricLadder]
    study: str = ""
    representation: str = ""
    created: str = ""
    command: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def orders(self, metric: str, chain: str) -> bool | None:
        """Whether ``metric`` orders the steps of ``chain``; None where that was not tested."""
        problem = self._disorder(metric, chain)
        return None if problem is None else not problem

    def notices_from(self, metric: str, chain: str) -> str | None:
        """The label of the first step of ``chain`` that ``metric`` notices; None where it notices none."""
        return next((label for label, (_, effect) in self.labelled(metric, chain).items() if effect), None)

    def labelled(self, metric: str, chain: str) -> dict[str, tuple[StepScore, Effect]]:
        """Label of a step -> its score and its effect, of the steps that were measured."""
        steps = self._steps(metric, chain)
        return {self._label(chain, step): (step, kind) for step, kind in zip(steps, self.effects(metric, chain))}

    def effects(self, metric: str, chain: str) -> list[Effect]:
        """What ``metric`` makes of each step of ``chain`` beside clean audio; empty for a step it does not notice."""
        steps, smallest = self._steps(metric, chain), self._nothing(metric)
        noticed = [abs(s.difference) > smallest and p < ALPHA for p, s in zip(_adjusted([s.p for s in steps]), steps)]
        kinds: list[Effect] = ["better" if self._sign(metric) * step.difference > 0 else "worse" for step in steps]
        return [kind if seen else "" for kind, seen in zip(kinds, noticed)]

    def problem(self, metric: str) -> str:
        """Why ``metric`` must not decide on this corpus; empty where it orders every chain that it must."""
        if metric not in self._problems:
            self._problems[metric] = self._problem(metric)
        return self._problems[metric]

    def _problem(self, metric: str) -> str:
        if self.prompts < LEAST_PROMPTS:
            return f"validated with {count(self.prompts, 'clip')} only; it needs {LEAST_PROMPTS}"
        found = {chain: self._disorder(metric, chain) for chain in required_chains(metric)}
        untested = [chain for chain, problem in found.items() if problem is None]
        if untested and len(untested) == len(found) and any(self._steps(metric, chain) for chain in found):
            return "its order of degradations is not tested, since clips have no scores of their own in it"
        titles = ", ".join(CHAINS[chain].title for chain in untested)
        wrong = next((problem for problem in found.values() if problem), "")
        return wrong or (f"its order of these was not tested: {titles}" if untested else "")

    def margin(self, metric: str) -> float | None:
        """The largest difference that counts as none, in the metric's unit; None where it was not measured."""
        if is_fidelity(metric):
            name, wanted = MARGIN_STEP
            found = next((abs(s.difference) for s in self._steps(metric, name) if s.step == wanted), None)
            return None if found is None else max(found, self._nothing(metric))
        steps = self._steps(metric, "exchanged") if about(metric).reads_captions else ()
        return EXCHANGED_SHARE * abs(steps[-1].difference) if steps else None

    def moves_with_loudness(self, metric: str) -> bool:
        """Whether ``metric`` notices a change of level alone."""
        return self.notices_from(metric, "loudness") is not None

    def holds(self, evaluator: Identity) -> bool:
        """Whether the metrics of this very evaluator were measured."""
        return evaluator in self.evaluators

    def _disorder(self, metric: str, chain: str) -> str | None:
        """What is wrong with the order that ``metric`` gives the steps of ``chain``; None: not tested."""
        steps = self._steps(metric, chain)
        if chain not in self.chains or not steps or any(step.p is None or step.p_change is None for step in steps):
            return None
        about_chain, smallest, sign = self.chains[chain], self._nothing(metric), self._sign(metric)
        names = ["clean audio", *(about_chain.with_unit(self._label(chain, step)) for step in steps)]
        for k, (p, step) in enumerate(zip(_adjusted([step.p_change for step in steps]), steps), 1):
            if p < ALPHA and sign * step.change > smallest:
                return f"does not order {about_chain.title}: {names[k]} scores better than {names[k - 1]}"
        if self.effects(metric, chain)[-1] != "worse":
            return f"does not notice {about_chain.title}, not even at {names[-1]}"
        return ""

    def _steps(self, metric: str, chain: str) -> tuple[StepScore, ...]:
        held = self.metrics.get(metric)
        return held.chains.get(chain, ()) if held else ()

    def _label(self, chain: str, step: StepScore) -> str:
        """The label of a step: its number, or in the chain of references a name; names are counted from 1."""
        return self.chains[chain].steps[round(step.step) - 1] if chain == REFERENCES else f"{step.step:g}"

    def _sign(self, metric: str) -> float:
        return 1.0 if self.metrics[metric].better == "higher" else -1.0

    def _nothing(self, metric: str) -> float:
        """The largest change that counts as none, whatever its p."""
        if metric not in self._smallest:
            chains = required_chains(metric) or tuple(self.chains)
            changes = [abs(step.difference) for chain in chains for step in self._steps(metric, chain)]
            self._smallest[metric] = NOTHING * max(changes, default=0.0)
        return self._smallest[metric]

    @functools.cached_property
    def _problems(self) -> dict[str, str]:
        return {}

    @functools.cached_property
    def _smallest(self) -> dict[str, float]:
        return {}


def find_validation(record: Record, results: Path, evaluator: str = "") -> Validation | None:
    """The validation of a record's corpus, split, seconds and sample rate, in ``results`` or packaged.

    Of several the one of most clips is taken, and of these the newest.

    Args:
        results: the folder that holds the studies' folders.
        evaluator: name of the evaluator whose metrics it must hold, by the same weights as the record's; empty: any
            one of the record's.
    """
    asked = record.config
    own = [asked.evaluation.evaluator, *asked.evaluation.judges]
    wanted = [one for one in own if one.name == evaluator or not evaluator]
    setting = (asked.data.corpus, asked.evaluation.split, asked.evaluation.seconds, asked.evaluation.sample_rate)
    found = [
        one
        for folder in (results / FOLDER, PACKAGED)
        for one in load_validations(folder)
        if (one.corpus, one.split, one.seconds, one.sample_rate) == setting and any(map(one.holds, wanted))
    ]
    return max(found, key=lambda one: (one.prompts, one.created), default=None)


def load_validations(folder: Path) -> Sequence[Validation]:
    """The validations in a folder; a file that cannot be read is named on stderr and left out."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [found for file in files if (found := _load(file, file.stat().st_mtime_ns)) is not None]


@functools.lru_cache(maxsize=64)
def _load(file: Path, changed: int) -> Validation | None:
    """One file, read once until it changes."""
    try:
        return read_validation(file)
    except UserError as error:
        say(f"left out: {error}")
        return None


def read_validation(file: Path) -> Validation:
    """The validation in a file.

    Raises:
        UserError: it cannot be read, or is of another schema version.
    """
    data = read_json(file)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{file}: not a validation of schema version {SCHEMA_VERSION}; run bench validate-metrics again"
        )
    return from_dict(Validation, data, str(file))


def _adjusted(ps: Sequence[float | None]) -> list[float]:
    """p-values of a chain's steps with Holm's correction; 1 where a step was not tested."""
    return holm([1.0 if p is None else p for p in ps]) if ps else []
