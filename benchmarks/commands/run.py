"""``bench run``: measure the cells of a study, then write its report."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.cells import Cell
    from benchmarks.runner import Plan
    from benchmarks.study import Study


def run(
    study: Annotated[
        str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file; default: the axis' own.")
    ] = "",
    paradigm: Annotated[
        list[str], typer.Option("--paradigm", "-p", help="Only this arm; repeatable. Default: all of the study's.")
    ] = [],  # noqa: B006
    axis: Annotated[str, typer.Option(help="What to measure. Default: the study's axis, or fidelity.")] = "",
    corpus: Annotated[
        str,
        typer.Option(
            help="Folder with a manifest to use instead of the study's corpus; results go to <study>-<folder>."
        ),
    ] = "",
    seed: Annotated[list[int], typer.Option(help="Study seed; repeatable. Default: the study's.")] = [],  # noqa: B006
    updates: Annotated[int, typer.Option(help="Training updates of every arm. Default: the study's.")] = 0,
    settings: Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.lr=1e-3; repeatable.")] = [],  # noqa: B006
    jobs: Annotated[
        int, typer.Option(help="Worker processes at a time; they share the cores. Default: the study's.")
    ] = 0,
    timeout: Annotated[float, typer.Option(help="Minutes that one worker may take; 0: no limit.")] = 0.0,
    results: Annotated[Path, typer.Option(help="Where records, figures and audio go.")] = Path("results"),
    work: Annotated[Path, typer.Option(help="Where checkpoints go; can be deleted.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="The report to write at the end.")] = Path("REPORT.md"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and stop.")] = False,
) -> int:
    """Train, sample and judge every cell of a study that has no good record yet, then write the report.

    \b
    Examples:
      bench run quickstart
      bench run quickstart --corpus my/folder            your own audio: a folder with manifest.csv
      bench run --paradigm fm --axis fidelity --seed 0 --seed 1
      bench run small_cpu --updates 300 --set train.lr=2e-3 --dry-run
    """
    from benchmarks.axes import AXES
    from benchmarks.axes.base import Context
    from benchmarks.cells import check_distinct
    from benchmarks.runner import plan
    from benchmarks.runner import run as run_cells

    chosen = chosen_study(study, axis, corpus, seed, updates, settings, paradigm)
    cells = AXES.load(chosen.axis)().expand(chosen)
    check_distinct(cells, chosen.name)
    context = Context(chosen.name, results / chosen.name, work)
    todo = plan(cells, context.results)
    _announce(chosen, todo)
    if dry_run:
        _print_cells(cells, todo)
        return 0
    command = shlex.join(["bench", *sys.argv[1:]])
    records = run_cells(
        cells,
        chosen.axis,
        context,
        jobs=jobs or chosen.jobs,
        command=command,
        timeout_s=timeout * 60 if timeout > 0 else None,
    )
    from benchmarks.report import write_report

    print(write_report(results, [chosen.name], out))
    return int(any(record.status in ("failed", "oom", "timeout") for record in records))


def chosen_study(
    name: str,
    axis: str,
    corpus: str,
    seeds: Sequence[int],
    updates: int,
    settings: Sequence[str],
    paradigms: Sequence[str],
) -> Study:
    """The study that the options describe."""
    from benchmarks.axes import AXES
    from benchmarks.study import load_study, with_corpus
    from common.errors import UserError

    if updates < 0:
        raise UserError(f"--updates {updates}: give a positive number")
    short = [f"seeds={list(seeds)}"] * bool(seeds) + [f"train.updates={updates}"] * bool(updates)
    default = AXES.load(axis or "fidelity")().default_study if not name or axis else ""
    study = load_study(name or default, [*short, *settings], paradigms)
    if axis and study.axis != axis:
        raise UserError(f"study {study.name!r} measures {study.axis}, not {axis}; leave out --axis, or run {default!r}")
    if corpus:
        study = with_corpus(study, corpus)
    return dataclasses.replace(study, jobs=max(1, study.jobs))


def _announce(study: Study, todo: Plan) -> None:
    from benchmarks.progress import say

    total = len(todo.done) + len(todo.pending)
    held = f", {len(todo.done)} have their records already" if todo.done else ""
    say(f"study {study.name} ({study.axis}): {total} cells{held}")


def _print_cells(cells: Sequence[Cell], todo: Plan) -> None:
    from benchmarks.console import table

    done = {cell.id for cell in todo.done}
    rows = [
        [c.id, c.system, c.seed, "" if c.at_updates is None else c.at_updates, "done" if c.id in done else "to do"]
        for c in cells
    ]
    print(table(["cell", "system", "seed", "updates", "state"], rows))
