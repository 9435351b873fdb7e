"""What records say about this machine: at which rate each training run went, and whether a plan would have known it.

Seconds are those of all CPU threads over the threads of a worker: what a run would take on a machine of its own, which
the clock tells only where nothing else ran. Runs by other processors or devices do not count. Operations are in the
record, or, for records made before they were, counted from its config where the latents are the built-in codec's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from .... import paradigms
from ....common.config import from_dict
from ....common.environment import cpu_model
from ....training import TrainSpec
from ....training.budget import flops_per_update
from ...analysis.records import Record
from .paper import Sight, on_paper


@dataclass(frozen=True)
class Trained:
    """One training run that records tell of."""

    study: str
    system: str
    seed: int
    folder: str
    paradigm: str
    flops: float
    seconds: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.flops / self.seconds


@dataclass(frozen=True)
class Check:
    """A run, and the seconds that a plan from the other runs' records gives it."""

    run: Trained
    predicted: float

    @property
    def ratio(self) -> float:
        """Predicted over taken."""
        return self.predicted / self.run.seconds


def trained_here(records: Iterable[Record], sight: Sight) -> list[Trained]:
    """The training runs of this machine, each once per study, at its end."""
    longest: dict[tuple[str, str], Record] = {}
    for record in records:
        training, here = record.training, record.environment.get("cpu") == cpu_model()
        if record.status != "ok" or training is None or not here or record.environment.get("device") != "cpu":
            continue
        held = longest.setdefault((record.study, training.folder), record)
        if held.training is not None and held.training.updates < training.updates:
            longest[record.study, training.folder] = record
    runs = (_run(record, sight) for record in longest.values())
    return [run for run in runs if run is not None]


def _run(record: Record, sight: Sight) -> Trained | None:
    training, cell = record.training, record.cell
    if training is None or not training.cpu_seconds:
        return None
    flops, named = training.flops, cell["model"]["paradigm"]
    if named not in paradigms.names():  # a paradigm of another package
        return None
    if flops is None:
        if cell["data"]["representation"]["name"] != sight.latent.name or cell["data"]["text"] != "builtin":
            return None
        spec = from_dict(TrainSpec, cell["train"], "train")
        flops = training.updates * flops_per_update(on_paper(cell["model"], sight), spec, sight.text_tokens)
    seconds = training.cpu_seconds / (record.environment.get("threads") or 1)
    return Trained(record.study, record.system, record.seed, training.folder, named, flops, seconds)


def rates(runs: Iterable[Trained]) -> dict[str, float]:
    """Paradigm -> median operations per second; a run that several studies share counts once."""
    once = {run.folder: run for run in runs}
    found: dict[str, list[float]] = {}
    for run in once.values():
        found.setdefault(run.paradigm, []).append(run.rate)
    return {name: statistics.median(values) for name, values in found.items()}


def checks(study: str, runs: list[Trained]) -> list[Check]:
    """Every run of ``study`` beside what records of other runs of its paradigm predict; none where there are none."""
    found = []
    for run in (run for run in runs if run.study == study):
        others = rates(other for other in runs if other.folder != run.folder)
        if run.paradigm in others:
            found.append(Check(run, run.flops / others[run.paradigm]))
    return found
