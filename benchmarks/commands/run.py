"""``bench run``: measure the cells of a study, then write its report."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.axes.base import Estimate
    from benchmarks.cells import Cell
    from benchmarks.runner import Plan
    from benchmarks.study import Study


SHORTCUTS = {  # study keys with options of their own
    "backbone.preset": "scale", "latency.device": "device", "latency.dtype": "dtype", "latency.threads": "threads",
    "latency.peers": "peers", "latency.compile": "compile_",
}  # fmt: skip


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
    sweep: Annotated[
        list[str], typer.Option(help="Measure at each value, e.g. latency.batch=1,8,64; repeatable.")
    ] = [],  # noqa: B006
    scale: Annotated[str, typer.Option(help="Backbone preset, e.g. tiny, 193m, 400m. Default: the study's.")] = "",
    device: Annotated[
        str,
        typer.Option(help="cpu, cuda (an error without a GPU) or auto (a GPU where there is one). Default: auto."),
    ] = "",
    dtype: Annotated[str, typer.Option(help="Latency: fp32, tf32, bf16, fp16, or auto (bf16 on a GPU).")] = "",
    threads: Annotated[int, typer.Option(help="Latency: CPU threads. Default: one per core.")] = 0,
    peers: Annotated[bool, typer.Option("--peers", help="Latency: time other libraries at the same work too.")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="Latency: torch.compile the backbone's blocks.")] = False,
    jobs: Annotated[
        int,
        typer.Option(
            help="Worker processes at a time, which share the cores (OMP_NUM_THREADS, where set, for each). "
            "With GPUs: at most one per GPU. Latency: always 1. Default: one per GPU; without a GPU the study's."
        ),
    ] = 0,
    timeout: Annotated[
        float, typer.Option(help="Minutes that one worker may take. Default: the study's, or no limit.")
    ] = 0.0,
    results: Annotated[Path, typer.Option(help="Where records, figures and audio go.")] = Path("results"),
    work: Annotated[Path, typer.Option(help="Where checkpoints go; can be deleted.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="The report to write at the end.")] = Path("REPORT.md"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells, estimated time and memory, and stop.")
    ] = False,
) -> int:
    """Measure every cell of a study that has no good record yet, then write the report.

    \b
    Examples:
      bench run quickstart
      bench run quickstart --corpus my/folder            your own audio: a folder with manifest.csv
      bench run --paradigm fm --axis fidelity --seed 0 --seed 1
      bench run small_cpu --updates 300 --set train.lr=2e-3 --dry-run
      bench run --paradigm fm --axis latency                 needs no weights and no data; --scale tiny for a laptop
      bench run latency_batch --device cuda --sweep latency.batch=1,8,64 --peers
    """
    options = dict(locals())
    from benchmarks.axes import AXES
    from benchmarks.axes.base import Context
    from benchmarks.runner import plan
    from benchmarks.runner import run as run_cells
    from benchmarks.sharing import found_elsewhere, take_over
    from benchmarks.sweep import expand

    chosen = study_of_options(options)
    measured = AXES.load(chosen.axis)()
    cells = expand(chosen)
    context = Context(chosen.name, results / chosen.name, work)
    if dry_run:
        todo, shared = plan(cells, context.results), found_elsewhere(cells, chosen.axis, context.results)
        _announce(chosen, todo)
        _print_cells(cells, todo, {i: study for i, (study, _) in shared.items()}, *measured.estimate(cells, results))
        return 0
    taken = take_over(cells, chosen.axis, context.results)
    _announce(chosen, plan(cells, context.results), taken)
    command = shlex.join(["bench", *sys.argv[1:]])
    minutes = timeout if timeout > 0 else chosen.timeout
    records = run_cells(
        cells,
        chosen.axis,
        context,
        jobs=1 if measured.exclusive else jobs,
        cpu_jobs=chosen.jobs,
        command=command,
        timeout_s=minutes * 60 if minutes > 0 else None,
    )
    from benchmarks.report import write_report

    print(write_report(results, [chosen.name], out))
    return int(any(record.status in ("failed", "oom", "timeout") for record in records))


def study_of_options(options: Mapping[str, Any]) -> Study:
    """The study that a command's options describe, by their names here; those that it does not have are not given.

    Applies ``--device`` to this process and its workers too; on axis latency the study holds it instead.
    """
    from benchmarks.gpus import check_device, use_device

    device = options.get("device") or "auto"
    check_device(device)
    shortcuts = {key: options.get(name) for key, name in SHORTCUTS.items()}
    shortcuts["backbone.preset"] = (options.get("scale") or "").lower()
    study = chosen_study(
        options["study"], options.get("axis") or "", options.get("corpus") or "", options.get("seed") or (),
        options.get("updates") or 0, options.get("settings") or (), options.get("paradigm") or (),
        options.get("sweep") or (), shortcuts,
    )  # fmt: skip
    if study.axis != "latency":
        use_device(device)
    return study


def chosen_study(
    name: str,
    axis: str,
    corpus: str,
    seeds: Sequence[int],
    updates: int,
    settings: Sequence[str],
    paradigms: Sequence[str],
    sweeps: Sequence[str] = (),
    shortcuts: Mapping[str, Any] = MappingProxyType({}),
) -> Study:
    """The study that the options describe; ``shortcuts`` are study keys with options of their own, empty: not given."""
    from benchmarks.axes import AXES
    from benchmarks.study import load_study, with_corpus
    from common.errors import UserError

    if updates < 0:
        raise UserError(f"--updates {updates}: give a positive number")
    short = [f"seeds={list(seeds)}"] * bool(seeds) + [f"train.updates={updates}"] * bool(updates)
    given = {key: value for key, value in shortcuts.items() if value}
    short += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    default = AXES.load(axis or "fidelity")().default_study if not name or axis else ""
    study = load_study(name or default, [*short, *settings], paradigms, sweeps)
    if axis and study.axis != axis:
        raise UserError(f"study {study.name!r} measures {study.axis}, not {axis}; leave out --axis, or run {default!r}")
    idle = [key for key in given if key.startswith("latency.") and key != "latency.device"]
    if idle and study.axis != "latency":
        option = idle[0].removeprefix("latency.")
        raise UserError(f"--{option} has no effect on axis {study.axis}; leave it out, or give --axis latency")
    if corpus:
        study = with_corpus(study, corpus)
    return dataclasses.replace(study, jobs=max(1, study.jobs))


def _announce(study: Study, todo: Plan, taken: Mapping[str, int] = MappingProxyType({})) -> None:
    from common.lines import say

    total = len(todo.done) + len(todo.pending)
    held = f", {len(todo.done)} have their records already" if todo.done else ""
    shared = ", ".join(f"{n} taken over from study {other}" for other, n in taken.items())
    say(f"study {study.name} ({study.axis}): {total} cells{held}" + (f" ({shared})" if shared else ""))
    for problem in todo.problems:
        say(f"left out: {problem}")


def _print_cells(
    cells: Sequence[Cell], todo: Plan, shared: Mapping[str, str], estimates: Mapping[str, Estimate], basis: str
) -> None:
    """``shared``: cell id -> the study whose record will be taken over."""
    from benchmarks.console import duration, size, table

    states = {cell.id: "done" for cell in todo.done} | {cell_id: f"in {study}" for cell_id, study in shared.items()}
    rows = [
        [
            c.id, c.system, c.label, c.seed, "" if c.at_updates is None else c.at_updates,
            duration(estimates[c.id].seconds), size(estimates[c.id].bytes), states.get(c.id, "to do"),
        ]
        for c in cells
    ]  # fmt: skip
    print(table(["cell", "system", "setting", "seed", "updates", "time", "memory", "state"], rows))
    left = [estimates[c.id].seconds for c in cells if c.id not in states]
    known = [seconds for seconds in left if seconds is not None]
    unknown = f", and {len(left) - len(known)} of unknown length" if len(known) < len(left) else ""
    print(f"\nTo do: {len(left)} cells, about {duration(sum(known))} of worker time{unknown}. {basis}")
