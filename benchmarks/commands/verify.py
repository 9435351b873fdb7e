"""``bench verify``: measure a record's cell again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.records import Record
    from benchmarks.verifying import Difference


def verify(
    context: typer.Context,
    record: Annotated[Path, typer.Argument(help="A record: results/<study>/records/<id>-<attempt>.json.")],
    tolerance: Annotated[
        float, typer.Option(help="Relative difference that still counts as the same, e.g. 1e-4 on another machine.")
    ] = 0.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train the weights anew even where they are at hand.")] = False,
    study: Annotated[str, typer.Option(help="The study, where its file is not where the record's command says.")] = "",
    corpus: Annotated[str, typer.Option(help="The corpus folder, where it is not where the command says.")] = "",
    work: Annotated[Path, typer.Option(help="Where weights are found, or trained.")] = Path("runs"),
) -> int:
    """Measure a seeded cell again and compare every metric with the record; status 1 if one differs.

    The cell comes from the record's own command and must have the same id, which covers corpus, codec, evaluator,
    model, training and sampler. Nothing is added to results. Times (axis latency) cannot be verified.

    \b
    Examples:
      bench verify results/quickstart/records/e1bc68ed6b74-1.json
      bench verify RECORD --fresh                 from the random seed on: trains first
      bench verify RECORD --tolerance 1e-3        recorded on another machine
    """
    from benchmarks import verifying
    from benchmarks.progress import say
    from benchmarks.records import read_record
    from benchmarks.sweep import expand
    from common.errors import UserError

    if tolerance < 0:
        raise UserError(f"--tolerance {tolerance:g}: give 0 or more")
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
    print(told(held, found, tolerance, verifying.loss_parts_at(held, again), verifying.other_conditions(held)))
    return int(bool(found))


def told(held: Record, found: list[Difference], tolerance: float, update: int | None, others: list[str]) -> str:
    """What ``bench verify`` prints."""
    from benchmarks.console import table

    within = f"within {tolerance:g}" if tolerance else "to the last digit"
    names = {difference.metric for difference in found}
    same = len(held.metrics.keys() - names)
    lines = [f"{held.stem} ({held.study}): {same} of {len(held.metrics)} metrics repeat {within}, intervals and n too"]
    if found:
        rows = [[d.metric, d.part, _digits(d.recorded), _digits(d.here), _gap(d)] for d in found]
        lines.append(table(["metric", "", "recorded", "here", "relative difference"], rows))
    if update is not None:
        lines.append(f"The loss curves part at update {update}: the weights are not the same.")
    if others:
        lines.append("Recorded under other conditions: " + ", ".join(others) + ".")
    return "\n".join(lines)


def _digits(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _gap(found: Difference) -> str:
    if found.recorded is None or found.here is None:
        return ""
    return f"{abs(found.recorded - found.here) / max(abs(found.recorded), abs(found.here)):.2g}"
