"""``bench run``: measure the cells of a study, then write its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.errors import UserError
from ...common.lines import count, said_if_slow, say
from ...common.locks import held_alone
from . import options as shared

if TYPE_CHECKING:
    from ..run.runner import Plan
    from ..study.axis import Context


def run(
    study: Annotated[
        str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file; default: the axis' own.")
    ] = "",
    paradigm: shared.Paradigms = [],  # noqa: B006
    axis: shared.AxisName = "",
    corpus: shared.Corpus = "",
    seed: shared.Seeds = [],  # noqa: B006
    updates: shared.Updates = None,
    settings: shared.Settings = [],  # noqa: B006
    sweep: shared.Sweeps = [],  # noqa: B006
    scale: shared.Scale = "",
    device: Annotated[
        str,
        typer.Option(help="cpu, cuda (an error without a GPU) or auto (a GPU where there is one). Default: auto."),
    ] = "",
    dtype: Annotated[str, typer.Option(help="Latency: fp32, tf32, bf16, fp16, or auto (bf16 on a GPU).")] = "",
    threads: Annotated[
        int, typer.Option(min=0, show_default=False, help="Latency: CPU threads. Default: one per core.")
    ] = 0,
    peers: Annotated[
        bool, typer.Option("--peers", help="Latency: also time other libraries at the same work.")
    ] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="Latency: torch.compile the backbone's blocks.")] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            show_default=False,
            help="Worker processes at a time; they share the cores. On axis latency always 1. "
            "Default: one per GPU, which is also the maximum; on CPUs the study's value.",
        ),
    ] = 0,
    timeout: shared.Timeout = 0.0,
    results: shared.WriteResults = None,
    publish: shared.Publish = False,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints; it can be deleted.")] = Path("runs"),
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Measure anew: earlier results move to RESULTS/earlier/, trained weights are deleted."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Train nothing: list the cells with estimated time and memory, and stop."),
    ] = False,
    as_json: shared.Json = False,
) -> int:
    """Train, sample and judge the arms of a study.

    Writes the page of the study, README.md and report.html, into the results folder. Cells that are already measured
    are skipped; an interrupted run goes on with the same command.

    \b
    Examples:
      bench run quickstart
      bench run quickstart --dry-run                     what it will do and how long it takes
      bench run quickstart --again                       measure it anew
      bench run quickstart --corpus my/folder            your own audio: a folder with manifest.csv
      bench run --paradigm fm --axis fidelity --seed 0 --seed 1
      bench run small_cpu --updates 300 --set train.lr=2e-3
      bench run --paradigm fm --axis latency                 needs no weights and no data; --scale tiny for a laptop
      bench run latency_batch --device cuda --sweep latency.batch=1,8,64 --peers
    """
    options = dict(locals())
    from ..analysis.records import check_records
    from ..study.axis import Context, find_axis

    if as_json and not dry_run:
        raise UserError("--json prints the plan as JSON; add --dry-run")
    asked = shared.asked(options)
    chosen, context = asked.study, Context(asked.study.name, asked.results, work)
    if not again:
        check_records(context.results)
    reading = f"study {chosen.name}: reading its corpus and evaluator ..."
    if dry_run:
        from ..run.estimate.dry_run import print_cells

        with said_if_slow(reading):
            print_cells(chosen, context, jobs, as_json)
        return 0
    from ..report import write_study
    from ..run import again as anew
    from ..run import reuse, runner
    from ..study.sweep import expand

    with said_if_slow(reading):
        cells = expand(chosen)
    command = shared.command_line()
    if again:
        anew.start_over(cells, context, command)
    with held_alone(context.results, command):
        taken = reuse.take_over(cells, chosen.axis, context.results)
        todo = runner.plan(cells, context.results)
        _announce(context, chosen.axis, todo, command, taken)
        records = runner.run(
            cells, chosen.axis, context, todo=todo, jobs=1 if find_axis(chosen.axis).exclusive else jobs,
            cpu_jobs=chosen.jobs, command=command, timeout_s=asked.timeout_s,
        )  # fmt: skip
    print(write_study(asked.results.parent, chosen.name))
    return int(any(record.status in ("failed", "oom", "timeout") for record in records))


def _announce(context: Context, axis: str, todo: Plan, command: str, taken: Mapping[str, int]) -> None:
    """Say what is measured already and what is left to measure.

    Args:
        taken: other study -> number of records that were taken over from it.
    """
    done, left = len(todo.done), len(todo.pending)
    reused = "".join(f"; {count(n, 'record')} taken over from study {other}" for other, n in taken.items())
    for problem in todo.problems:
        say(f"left out: {problem}")
    if not left:
        again = command if "--again" in command.split() else f"{command} --again"
        have = f"{count(done, 'cell')}, all measured already in {context.results}{reused}"
        say(f"study {context.study}: {have}; to measure anew: {again}")
        return
    skipped = f"; {count(done, 'cell')} already measured, skipped" if done else ""
    say(f"study {context.study} ({axis}): {count(left, 'cell')} to measure{skipped}{reused}")
