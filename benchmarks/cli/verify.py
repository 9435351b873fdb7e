"""``bench verify``: measure a record's cell again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json

if TYPE_CHECKING:
    from ..analysis.records import Record
    from ..run.verify import Difference


def verify(
    context: typer.Context,
    record: Annotated[Path, typer.Argument(help="A record, packed or not: results/STUDY/ID-ATTEMPT.")],
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Largest relative difference that counts as the same, e.g. 1e-4 for another machine."),
    ] = 0.0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train the weights again even if they are in the work folder.")
    ] = False,
    study: Annotated[str, typer.Option(help="File of the study, if it has moved since the record was written.")] = "",
    corpus: Annotated[
        str, typer.Option(help="Folder of the corpus, if it has moved since the record was written.")
    ] = "",
    work: Annotated[Path, typer.Option(help="Folder of trained weights; missing ones are trained there.")] = Path(
        "runs"
    ),
    as_json: Json = False,
) -> int:
    """Measure a record's cell again and compare every metric.

    The exit status is 1 if a metric differs. The cell comes from the record's own command and must have the same id,
    which covers corpus, codec, evaluator, model, training and sampler. Nothing is written to the results folder. Times
    (axis latency) cannot be verified.

    \b
    Examples:
      bench verify results/quickstart/e1bc68ed6b74-1
      bench verify RECORD --fresh                 train the weights again first
      bench verify RECORD --tolerance 1e-3        recorded on another machine
    """
    from ..analysis.locations import check_out
    from ..analysis.packs import record_path
    from ..analysis.records import read_record
    from ..run import verify as verifying
    from ..run.progress import say
    from ..study.sweep import expand

    check_out(work, "folder", "--work")
    record = record_path(record)
    held = read_record(record)
    verifying.check_repeatable(held, record)
    chosen = verifying.study_of(held, record, getattr(context.find_root().command, "commands", {}), study, corpus)
    cell = verifying.cell_of(held, expand(chosen), record)
    say(f"{record}: measuring {cell.title} of study {chosen.name} again")
    again = verifying.measured_again(held, cell, chosen.name, None if fresh else work)
    if again.status != "ok":
        print(f"{held.stem} does not repeat: {again.status}: {again.reason}")
        return 1
    found = verifying.differences(held, again, tolerance)
    if as_json:
        print(as_table(found, as_json))
        return int(bool(found))
    print(told(held, found, tolerance, verifying.loss_parts_at(held, again), verifying.other_conditions(held)))
    return int(bool(found))


def told(held: Record, found: list[Difference], tolerance: float, update: int | None, others: list[str]) -> str:
    """What ``bench verify`` prints."""
    within = f"within {tolerance:g}" if tolerance else "to the last digit"
    names = {difference.metric for difference in found}
    same = len(held.metrics.keys() - names)
    lines = [f"{held.stem} ({held.study}): {same} of {len(held.metrics)} metrics repeat {within}, intervals and n too"]
    if found:
        lines.append(as_table(found))
    if update is not None:
        lines.append(f"The loss curves part at update {update}: the weights are not the same.")
    if others:
        lines.append("Recorded under other conditions: " + ", ".join(others) + ".")
    return "\n".join(lines)


def as_table(found: list[Difference], as_json: bool = False) -> str:
    """The metrics that differ."""
    from ...common.console import shown

    rows = [[d.metric, d.part, _digits(d.recorded), _digits(d.here), _gap(d)] for d in found]
    return shown(["metric", "part", "recorded", "here", "relative difference"], rows, as_json)


def _digits(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _gap(found: Difference) -> str:
    if found.recorded is None or found.here is None:
        return ""
    return f"{abs(found.recorded - found.here) / max(abs(found.recorded), abs(found.here)):.2g}"
