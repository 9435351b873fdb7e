"""``bench run``: measure the cells of a study, then write its page."""

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

from .options import Json, Publish, Updates, WriteResults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..run.runner import Plan
    from ..study.study import Study


SHORTCUTS = {  # study keys with options of their own
    "backbone.preset": "scale", "latency.device": "device", "latency.dtype": "dtype", "latency.threads": "threads",
    "latency.peers": "peers", "latency.compile": "compile_",
}  # fmt: skip


def run(
    study: Annotated[
        str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file; default: the axis' own.")
    ] = "",
    paradigm: Annotated[
        list[str],
        typer.Option(
            "--paradigm",
            "-p",
            help="Only this arm, or a paradigm with its defaults; repeatable. Default: all arms of the study.",
        ),
    ] = [],  # noqa: B006
    axis: Annotated[str, typer.Option(help="What to measure. Default: the study's axis, or fidelity.")] = "",
    corpus: Annotated[
        str,
        typer.Option(
            help="Folder with a manifest to use instead of the study's corpus; results go to <study>-<folder>."
        ),
    ] = "",
    seed: Annotated[list[int], typer.Option(min=0, help="Study seed; repeatable. Default: the study's.")] = [],  # noqa: B006
    updates: Updates = None,
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
    timeout: Annotated[
        float,
        typer.Option(
            min=0, show_default=False, help="Minutes that one worker may take. Default: the study's, or no limit."
        ),
    ] = 0.0,
    results: WriteResults = None,
    publish: Publish = False,
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
    as_json: Json = False,
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
    from ...common.errors import UserError
    from ...common.lines import said_if_slow
    from ..analysis.locations import check_out, to_write
    from ..analysis.records import check_records
    from ..study.axis import AXES, Context

    if as_json and not dry_run:
        raise UserError("--json prints the plan as JSON; add --dry-run")
    folder = to_write(results, publish)
    check_out(work, "folder", "--work")
    chosen = study_of_options(options)
    measured = AXES.load(chosen.axis)()
    context = Context(chosen.name, folder / chosen.name, work)
    if not again:
        check_records(context.results)
    doing = f"study {chosen.name}: reading its corpus and evaluator ..."
    if dry_run:
        from ..run.estimate.listing import print_plan

        with said_if_slow(doing):
            print_plan(chosen, context, jobs, as_json)
        return 0
    from ...common.files import held_alone
    from ..report import write_study
    from ..run.reuse import take_over
    from ..run.runner import plan
    from ..run.runner import run as run_cells
    from ..study.sweep import expand

    with said_if_slow(doing):
        cells = expand(chosen)
    command = shlex.join(["bench", *sys.argv[1:]])
    if again:
        from ..run.again import start_over

        start_over(cells, context, command)
    minutes = timeout or chosen.timeout
    with held_alone(context.results, command):
        taken = take_over(cells, chosen.axis, context.results)
        _announce(chosen, plan(cells, context.results), context.results, command, taken)
        records = run_cells(
            cells,
            chosen.axis,
            context,
            jobs=1 if measured.exclusive else jobs,
            cpu_jobs=chosen.jobs,
            command=command,
            timeout_s=minutes * 60 if minutes > 0 else None,
        )
    print(write_study(folder, chosen.name))
    return int(any(record.status in ("failed", "oom", "timeout") for record in records))


def study_of_options(options: Mapping[str, Any]) -> Study:
    """The study that the options of a command describe; a command need not have all of the options of ``run``.

    Also applies ``--device`` to this process and its workers, except on axis latency, where the study holds it.
    """
    from ...common.gpus import check_device, use_device

    device = options.get("device") or "auto"
    check_device(device)
    shortcuts = {key: options.get(name) for key, name in SHORTCUTS.items()}
    shortcuts["backbone.preset"] = (options.get("scale") or "").lower()
    study = chosen_study(
        options["study"], options.get("axis") or "", options.get("corpus") or "", options.get("seed") or (),
        options.get("updates"), options.get("settings") or (), options.get("paradigm") or (),
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
    updates: int | None,
    settings: Sequence[str],
    paradigms: Sequence[str],
    sweeps: Sequence[str] = (),
    shortcuts: Mapping[str, Any] = MappingProxyType({}),
) -> Study:
    """The study that the options describe; ``shortcuts``: values of study keys that have options of their own."""
    from ...common.errors import UserError
    from ..study.axis import AXES
    from ..study.study import load_study, with_corpus

    short = [f"seeds={list(seeds)}"] * bool(seeds)
    given = {key: value for key, value in shortcuts.items() if value}
    short += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    default = AXES.load(axis or "fidelity")().default_study if not name or axis else ""
    study = load_study(name or default, [*short, *settings], paradigms, sweeps, updates)
    if axis and study.axis != axis:
        raise UserError(f"study {study.name} measures {study.axis}, not {axis}; leave out --axis, or run {default}")
    idle = [key for key in given if key.startswith("latency.") and key != "latency.device"]
    if idle and study.axis != "latency":
        option = idle[0].removeprefix("latency.")
        raise UserError(f"--{option} has no effect on axis {study.axis}; leave it out, or give --axis latency")
    if corpus:
        study = with_corpus(study, corpus)
    return dataclasses.replace(study, jobs=max(1, study.jobs))


def _announce(study: Study, todo: Plan, results: Path, command: str, taken: Mapping[str, int]) -> None:
    """Say what is there and what is to do.

    Args:
        taken: other study -> how many records were taken over from it.
    """
    from ...common.lines import count, say

    done, left = len(todo.done), len(todo.pending)
    shared = "".join(f"; {count(n, 'record')} taken over from study {other}" for other, n in taken.items())
    for problem in todo.problems:
        say(f"left out: {problem}")
    if not left:
        again = command if "--again" in command.split() else f"{command} --again"
        have = f"{count(done, 'cell')}, all measured already in {results}{shared}"
        say(f"study {study.name}: {have}; to measure anew: {again}")
        return
    skipped = f"; {count(done, 'cell')} already measured, skipped" if done else ""
    say(f"study {study.name} ({study.axis}): {count(left, 'cell')} to measure{skipped}{shared}")
