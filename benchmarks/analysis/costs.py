"""What the arms of a table cost to train, by their records, and whether they are of one size.

Arms of unequal size differ in more than their paradigm. Their study runs all the same, and its tables say so.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .comparability import device_kind
from .records import Record
from .result_table import ResultTable, TableRow

TOLERANCE = 0.05  # of the smaller number of trained parameters, by which two arms may differ


@dataclass(frozen=True)
class ArmCost:
    """What one arm cost to train, in the mean over its seeds.

    Attributes:
        parameters: trained parameters.
        updates, tokens: optimiser steps, and latent frames that were trained on.
        hours: of audio that was heard, in crops; None: the records do not say.
        flops: floating-point operations of training; None: not counted.
        seconds: of training, by all CPU threads, or by the clock on a GPU.
        device: ``cpu``, ``gpu`` or ``mps``; empty where the records do not say.
    """

    parameters: int
    updates: float
    tokens: float
    hours: float | None
    flops: float | None
    seconds: float
    device: str


def cost_of(records: Sequence[Record]) -> ArmCost | None:
    """The cost of an arm by the records of its seeds; None where they do not state it."""
    costs = [record.training for record in records if record.training is not None]
    if not costs:
        return None
    device = next((kind for record in records if (kind := device_kind(record))), "")
    hours = [found for record in records if (found := _hours(record)) is not None]
    flops = [cost.flops for cost in costs if cost.flops]
    clock = device not in ("", "cpu")
    return ArmCost(
        parameters=sum(costs[0].parameters.values()),
        updates=statistics.fmean(cost.updates for cost in costs),
        tokens=statistics.fmean(cost.tokens for cost in costs),
        hours=statistics.fmean(hours) if hours else None,
        flops=statistics.fmean(flops) if flops else None,
        seconds=statistics.fmean(cost.wall_seconds if clock else cost.cpu_seconds for cost in costs),
        device=device,
    )


def costs_of(rows: Sequence[TableRow]) -> dict[str, ArmCost]:
    """System -> what it cost, of the rows whose records say it."""
    found = {row.system: cost_of(row.good) for row in rows}
    return {system: cost for system, cost in found.items() if cost is not None}


def sizes(table: ResultTable) -> dict[str, int]:
    """Arm -> its number of trained parameters, where its records state it."""
    return {system: cost.parameters for system, cost in costs_of(table.arms).items() if cost.parameters}


def unequal(by_arm: Mapping[str, int]) -> frozenset[str]:
    """The arms of another size than the rest, empty where all agree within ``TOLERANCE``.

    They are those that differ by more than that from the median arm. Where no arm does, as with 100, 104 and 108, they
    are the smallest and the largest.
    """
    known = sorted(by_arm.values())
    if not known or known[-1] <= known[0] * (1 + TOLERANCE):
        return frozenset()
    median = statistics.median_low(known)
    apart = {arm for arm, n in by_arm.items() if max(n, median) > min(n, median) * (1 + TOLERANCE)}
    return frozenset(apart or {arm for arm, n in by_arm.items() if n in (known[0], known[-1])})


def _hours(record: Record) -> float | None:
    """Hours of audio that training has heard: updates x batch x seconds of a crop."""
    train = record.config.train
    if train is None or record.training is None:
        return None
    return record.training.updates * train.batch * train.seconds / 3600
