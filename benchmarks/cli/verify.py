"""``bench verify``: measure the cell of a record again and compare the metrics."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.console import shown
from ...common.errors import UserError
from ...common.lines import say
from ..analysis.locations import check_writable
from .options import Json, study_of_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click

    from ..analysis.records import Record
    from ..run.verify import Difference
    from ..study.cells import Cell


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
    study: Annotated[str, typer.Option(help="File of a study to take the cell from, instead of the record.")] = "",
    corpus: Annotated[
        str, typer.Option(help="Folder of the corpus, if it has moved since the record was written.")
    ] = "",
    work: Annotated[Path, typer.Option(help="Folder of trained weights; missing ones are trained there.")] = Path(
        "runs"
    ),
    as_json: Json = False,
) -> int:
    """Measure a record's cell again and compare every metric.

    The exit status is 1 if a metric differs. The cell comes from the record itself; corpus, codec and evaluator must
    have the same content here. Of an older record, without the field `how`, the cell comes from the study that its
    command names. Nothing is written to the results folder. Times (axis latency) cannot be verified.

    \b
    Examples:
      bench verify results/quickstart/e1bc68ed6b74-1
      bench verify RECORD --fresh                 train the weights again first
      bench verify RECORD --tolerance 1e-3        recorded on another machine
    """
    from ..analysis.packs import record_path
    from ..analysis.records import read_record
    from ..run import verify as verifying

    check_writable(work, "folder", "--work")
    record = record_path(record)
    held = read_record(record)
    verifying.check_repeatable(held, record)
    cell = None if study else verifying.cell_of(held, corpus)
    if cell is None:
        commands = getattr(context.find_root().command, "commands", {})
        cell = cell_by_command(held, record, commands, study, corpus)
    else:
        verifying.check_content(cell, record)
    say(f"{record}: measuring {cell.title} of study {held.study} again")
    again = verifying.measured_again(held, cell, held.study, None if fresh else work)
    if again.status != "ok":
        print(f"{held.stem} does not repeat: {again.status}: {again.reason}")
        return 1
    found = verifying.differences(held, again, tolerance)
    if as_json:
        print(as_table(found, as_json))
        return int(bool(found))
    others, intervals = verifying.other_conditions(held), verifying.same_intervals(held, again)
    print(summary(held, found, tolerance, verifying.loss_parts_at(held, again), others, intervals))
    return int(bool(found))


def cell_by_command(
    record: Record, path: Path, commands: Mapping[str, click.Command], study: str = "", corpus: str = ""
) -> Cell:
    """The cell of a record that does not hold all of it (made before ``Record.how``), by the command that was typed.

    Args:
        commands: of the command line, by name.
        study, corpus: instead of the command's own, where those are elsewhere on this machine.

    Raises:
        UserError: no such command, what it names is not here, or its study has no such cell.
    """
    from ..run.verify import cell_among
    from ..study.sweep import expand

    try:
        name, *words = shlex.split(record.command)[1:] or [""]
    except ValueError as error:
        raise UserError(
            f"{path}: its command {record.command!r} cannot be read ({error}); restore the record"
        ) from error
    command = commands.get(name)
    if command is None or not any(parameter.name == "study" for parameter in command.params):
        raise UserError(f"{path}: its command {record.command!r} runs no study, so its cell cannot be found again")
    options = command.make_context(name, words).params
    given = {key: value for key, value in (("study", study), ("corpus", corpus)) if value}
    try:
        chosen = study_of_options({**options, **given})
    except UserError as error:
        raise UserError(f"{path}: {error} (its command: {record.command}; see --study and --corpus)") from error
    stated = record.config.evaluation  # records older than judges were scored by none, whatever the study has now
    evaluation = dataclasses.replace(
        chosen.evaluation, judges=tuple(judge.name for judge in stated.judges), replication=stated.replication
    )
    return cell_among(record, expand(dataclasses.replace(chosen, evaluation=evaluation)), path)


def summary(
    held: Record,
    found: list[Difference],
    tolerance: float,
    update: int | None,
    others: list[str],
    intervals: bool = True,
) -> str:
    """The summary that ``bench verify`` prints; ``intervals``: they were compared too."""
    within = f"within {tolerance:g}" if tolerance else "to the last digit"
    names = {difference.metric for difference in found}
    same = len(held.metrics.keys() - names)
    also = "intervals and n" if intervals else "n"
    lines = [f"{held.stem} ({held.study}): {same} of {len(held.metrics)} metrics repeat {within}, {also} too"]
    if not intervals:
        lines.append("Intervals were not compared: the rule that computes them has changed since.")
    if found:
        lines.append(as_table(found))
    if update is not None:
        lines.append(f"The loss curves part at update {update}: the weights are not the same.")
    if others:
        lines.append("Recorded under other conditions: " + ", ".join(others) + ".")
    return "\n".join(lines)


def as_table(found: list[Difference], as_json: bool = False) -> str:
    """A table of the metrics that differ."""
    rows = [[d.metric, d.part, _digits(d.recorded), _digits(d.here), _gap(d)] for d in found]
    return shown(["metric", "part", "recorded", "here", "relative difference"], rows, as_json)


def _digits(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _gap(found: Difference) -> str:
    if found.recorded is None or found.here is None:
        return ""
    return f"{abs(found.recorded - found.here) / max(abs(found.recorded), abs(found.here)):.2g}"
