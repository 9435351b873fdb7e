"""Verification: make a record's cell again from the record alone, measure it again, and compare every number.

A record holds the config that decided its result, by content, and how its cell was prepared: under which names the
worker found corpus, codec and evaluator. What is found under these names here must be the same content; else the record
is refused with what differs. On the same machine with the same packages and threads, seeded cells repeat to the last
digit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ...common.config import flat
from ...common.environment import environment
from ...common.errors import UserError
from ..analysis.records import Record
from ..study.axis import Context, find_axis
from ..study.cells import Cell
from .runner import run

PARTS = ("value", "low", "high", "n")
BRING_BACK = "bring back the data, study or code that the record was made with"
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
    if find_axis(record.axis).exclusive:
        raise UserError(
            f"{path}: times of axis {record.axis} differ from run to run; only seeded cells can be verified"
        )


def cell_of(record: Record, corpus: str = "") -> Cell | None:
    """The cell that ``record`` measured; None for a record older than the field ``how``.

    Args:
        corpus: folder of the corpus, where it is another than the record's on this machine.
    """
    how = record.how
    if how is None:
        return None
    kind = cast(Literal["paradigm", "reference"], record.kind)
    settings = _with_corpus(how.settings, corpus) if corpus else how.settings
    return Cell(
        record.axis, record.system, kind, record.seed, record.at_updates, how.group, record.cell, settings,
        how.updates, how.label,
    )  # fmt: skip


def _with_corpus(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """``Cell.how`` with the files of its corpus, which is under the key ``corpus`` at any depth, in another folder."""
    changed: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "corpus" and isinstance(value, Mapping):
            changed[key] = {**value, "spec": folder, "clips": None, "seconds": None}
        else:
            changed[key] = _with_corpus(value, folder) if isinstance(value, Mapping) else value
    return changed


def check_content(cell: Cell, path: Path) -> None:
    """Refuse a cell whose corpus, codec, evaluator or protocol are others here.

    Raises:
        UserError: naming what differs, or what is not here at all.
    """
    try:
        here = find_axis(cell.axis).content(cell)
    except UserError as error:
        raise UserError(f"{path}: {error} (see --corpus)") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: its field 'how' is damaged ({error}); give the study's file by --study") from error
    if gaps := _gaps(cell.config, _overlaid(cell.config, here)):
        raise UserError(f"{path}: cannot be repeated here, for its content differs: {_listed(gaps)}; {BRING_BACK}")


def cell_among(record: Record, cells: Sequence[Cell], path: Path) -> Cell:
    """The cell among ``cells`` that the record measured.

    Raises:
        UserError: there is none; names what differs from the nearest.
    """
    found = next((cell for cell in cells if cell.id == record.id), None)
    if found is not None:
        return found
    gaps = [_gaps(record.cell, cell.config) for cell in cells]
    nearest = min((gap for gap in gaps if gap), key=len, default={})
    told = _listed(nearest) if nearest else "it is empty"
    raise UserError(f"{path}: cannot be repeated here, for the study has no such cell: {told}; {BRING_BACK}")


def measured_again(record: Record, cell: Cell, study: str, work: Path | None) -> Record:
    """A new record of ``cell``, measured in a results folder that is thrown away, with the threads that ``record`` had.

    Args:
        work: where weights are found, or trained if they are not; None: train them anew in any case.
    """
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(record.environment.get("threads", 1))))  # workers obey it
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        context = Context(study, Path(folder) / "results" / study, work or Path(folder) / "work")
        (again,) = run([cell], cell.axis, context)
    return again


def differences(record: Record, again: Record, tolerance: float = 0.0) -> list[Difference]:
    """Every number of the record's metrics that differs by more than ``tolerance``, relative to the larger one.

    Metrics that came after the record are left out, and so are the ends of intervals whose rule has changed since.
    """
    found, parts = [], PARTS if same_intervals(record, again) else ("value", "n")
    for name in record.metrics:
        for part in parts:
            there, here = (getattr(r.metrics.get(name), part, None) for r in (record, again))
            if not _same(there, here, tolerance):
                found.append(Difference(name, part, there, here))
    return found


def same_intervals(record: Record, again: Record) -> bool:
    """Whether the intervals of two records were computed by the same rule."""
    there, here = (one.environment.get("scoring", {}).get("intervals") for one in (record, again))
    return bool(there == here)


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


def _overlaid(config: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the values of ``parts`` in their places, at any depth."""
    held = dict(config)
    for key, value in parts.items():
        below = held.get(key)
        held[key] = _overlaid(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return held


def _gaps(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> both values, where two configs differ."""
    one, other = flat(there), flat(here)
    return {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}


def _listed(gaps: Mapping[str, tuple[Any, Any]]) -> str:
    told = ", ".join(f"{key} {there!r} (here {here!r})" for key, (there, here) in list(gaps.items())[:4])
    return told + (f" and {len(gaps) - 4} more" if len(gaps) > 4 else "")
