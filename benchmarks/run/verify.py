"""Verification: make a record's cell again from the record alone, measure it again, and compare every figure.

A record holds the config that decided its result, by content, and the command that was typed. The command leads back to
the study, whose cell of the same id also knows where this machine finds corpus, codec and evaluator. A cell that is not
there any more (another corpus, other weights of codec or evaluator, an edited study or default) is refused by the names
of what differs. On the same machine with the same packages and threads, seeded cells repeat to the last digit.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.config import flat
from ...common.environment import environment
from ...common.errors import UserError
from ..analysis.records import Record
from ..study.axis import AXES, Context
from ..study.cells import Cell

if TYPE_CHECKING:
    import click

    from ..study.study import Study

PARTS = ("value", "low", "high", "n")
CONDITIONS = ("cpu", "device", "threads", "python", "packages", "git.revision")  # under which figures may differ


@dataclass(frozen=True)
class Difference:
    """One number of a metric that is not what the record has; None: not there, or not defined."""

    metric: str
    part: str
    recorded: float | None
    here: float | None


def check_repeatable(record: Record, path: Path) -> None:
    """Refuse what no second measurement could confirm.

    Raises:
        UserError: times, and records without figures.
    """
    if record.status != "ok":
        raise UserError(f"{path}: has no figures to verify, its status is {record.status!r}; give one that is 'ok'")
    if AXES.load(record.axis)().exclusive:
        raise UserError(
            f"{path}: times of axis {record.axis} differ from run to run; only seeded cells can be verified"
        )


def study_of(
    record: Record, path: Path, commands: Mapping[str, click.Command], study: str = "", corpus: str = ""
) -> Study:
    """The study that the record's command describes.

    Args:
        commands: of the command line, by name.
        study, corpus: instead of the command's own, where those are elsewhere on this machine.

    Raises:
        UserError: no such command, or what it names is not here.
    """
    from ..cli.run import study_of_options

    name, *words = shlex.split(record.command)[1:] or [""]
    command = commands.get(name)
    if command is None or not any(parameter.name == "study" for parameter in command.params):
        raise UserError(f"{path}: its command {record.command!r} runs no study, so its cell cannot be found again")
    options = command.make_context(name, words).params
    given = {key: value for key, value in (("study", study), ("corpus", corpus)) if value}
    try:
        return study_of_options({**options, **given})
    except UserError as error:
        raise UserError(f"{path}: {error} (its command: {record.command}; see --study and --corpus)") from error


def cell_of(record: Record, cells: Sequence[Cell], path: Path) -> Cell:
    """The cell among ``cells`` that the record measured.

    Raises:
        UserError: there is none; names what differs from the nearest.
    """
    found = next((cell for cell in cells if cell.id == record.id), None)
    if found is not None:
        return found
    gaps = [_gaps(record.cell, cell.config) for cell in cells]
    nearest = min((gap for gap in gaps if gap), key=len, default={})
    told = ", ".join(f"{key} {there!r} (here {here!r})" for key, (there, here) in list(nearest.items())[:4])
    more = f" and {len(nearest) - 4} more" if len(nearest) > 4 else ""
    raise UserError(
        f"{path}: cannot be repeated here, for the study has no such cell: {told or 'it is empty'}{more}; "
        "bring back the data, study or code that the record was made with"
    )


def measured_again(record: Record, cell: Cell, study: str, work: Path | None) -> Record:
    """Measure ``cell`` in a results folder that is thrown away, with the threads that the record had.

    Args:
        work: where weights are found, or trained if they are not; None: train them anew in any case.
    """
    from .runner import run

    os.environ["OMP_NUM_THREADS"] = str(max(1, int(record.environment.get("threads", 1))))  # workers obey it
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        context = Context(study, Path(folder) / "results" / study, work or Path(folder) / "work")
        (again,) = run([cell], cell.axis, context)
    return again


def differences(record: Record, again: Record, tolerance: float = 0.0) -> list[Difference]:
    """Every number of every metric that differs by more than ``tolerance``, relative to the larger one."""
    found = []
    for name in dict.fromkeys([*record.metrics, *again.metrics]):
        for part in PARTS:
            there, here = (getattr(r.metrics.get(name), part, None) for r in (record, again))
            if not _same(there, here, tolerance):
                found.append(Difference(name, part, there, here))
    return found


def loss_parts_at(record: Record, again: Record) -> int | None:
    """The first update at which the two loss curves differ; None: nowhere, or nothing was trained."""
    if record.training is None or again.training is None:
        return None
    curves = [r.training.curve for r in (record, again) if r.training is not None]
    points = [list(zip(curve.get("update", ()), curve.get("loss", ()))) for curve in curves]
    return next((int(one[0]) for one, other in zip(*points) if one != other), None)


def other_conditions(record: Record) -> list[str]:
    """What differs between the machine and code of the record and those here, as ``torch 2.12 (here 2.13)``."""
    there, here = flat(record.environment), flat(environment())
    keys = [key for key in there if key in CONDITIONS or key.partition(".")[0] in CONDITIONS]
    return [
        f"{key.removeprefix('packages.')} {there[key]} (here {here.get(key)})"
        for key in keys
        if key != "threads" and there[key] != here.get(key)
    ]


def _same(there: float | None, here: float | None, tolerance: float) -> bool:
    if there is None or here is None:
        return there is here
    return abs(there - here) <= tolerance * max(abs(there), abs(here))


def _gaps(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    one, other = flat(there), flat(here)
    return {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}
