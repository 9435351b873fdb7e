"""The training runs of this machine, as records have them: their rates, and whether a plan would have predicted them.

Runs on other processors or devices do not count. A record states the operations of its run; for older records, which do
not, they are counted from the config of the cell, where its latents are the given ones.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .... import paradigms
from ....common.environment import cpu_model
from ....training.budget import flops_per_update
from ...analysis.records import Record
from .sizes import ModelInputs, meta_model
from .timings import seconds_alone


@dataclass(frozen=True)
class MeasuredRun:
    """A training run of this machine, as its record has it: operations, and seconds on a machine of its own."""

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


def runs_here(records: Iterable[Record], inputs: ModelInputs) -> list[MeasuredRun]:
    """The training runs of this machine's CPU, each once per study, at its end.

    Args:
        inputs: of the models in records that do not state their operations; those of other latents are left out.
    """
    longest: dict[tuple[str, str], Record] = {}
    for record in records:
        training, here = record.training, record.environment.get("cpu") == cpu_model()
        if record.status != "ok" or training is None or not here or record.environment.get("device") != "cpu":
            continue
        held = longest.setdefault((record.study, training.folder), record)
        if held.training is not None and held.training.updates < training.updates:
            longest[record.study, training.folder] = record
    runs = (_run(record, inputs) for record in longest.values())
    return [run for run in runs if run is not None]


def _run(record: Record, inputs: ModelInputs) -> MeasuredRun | None:
    training, cell = record.training, record.config
    if training is None or not training.cpu_seconds or cell.model is None or cell.train is None:
        return None
    if cell.model.paradigm not in paradigms.names():  # a paradigm of another package
        return None
    flops = training.flops
    if flops is None:
        if cell.data.representation.name != inputs.latent.name or cell.data.text != "builtin":
            return None
        model = meta_model(cell.model, inputs)
        flops = training.updates * flops_per_update(model, cell.train, inputs.text_tokens)
    about = record.study, record.system, record.seed, training.folder, cell.model.paradigm
    return MeasuredRun(*about, flops, seconds_alone(record))


def training_rates(runs: Iterable[MeasuredRun]) -> dict[str, float]:
    """Paradigm -> median operations per second; a run that several studies share counts once."""
    rates = defaultdict[str, list[float]](list)
    for run in {run.folder: run for run in runs}.values():
        rates[run.paradigm].append(run.rate)
    return {name: statistics.median(values) for name, values in rates.items()}


def predictions(study: str, runs: list[MeasuredRun]) -> list[tuple[MeasuredRun, float]]:
    """Every run of ``study``, with the seconds that the other runs of its paradigm predict; none without others."""
    found = []
    for run in (run for run in runs if run.study == study):
        others = training_rates(other for other in runs if other.folder != run.folder)
        if run.paradigm in others:
            found.append((run, run.flops / others[run.paradigm]))
    return found
