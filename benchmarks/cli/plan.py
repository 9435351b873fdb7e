"""``bench plan``: the GPU hours, memory and storage that a study will take, with every assumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.console import duration, shown, size
from ...common.lines import count
from ...common.needs import only_listed
from ..analysis.locations import to_read
from .options import Json, Paradigms, ReadResults, Settings, StudyName, Updates, study_of_options

if TYPE_CHECKING:
    from ..run.estimate.plan import StudyPlan


def plan(
    study: StudyName,
    device: Annotated[
        str, typer.Option(help="a100, h100 or h200, by their data sheets; or measured: this machine.")
    ] = "a100",
    rates: Annotated[
        Path | None, typer.Option(help="JSON file with the rates of a device, or a record, instead of --device.")
    ] = None,
    mfu: Annotated[
        float,
        typer.Option(min=0, max=1, show_default=False, help="Share of the peak that training reaches. Default: 0.4."),
    ] = 0.0,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that share each training run.")] = 1,
    hours: Annotated[
        float, typer.Option(min=0, show_default=False, help="Hours of training audio. Default: the study's.")
    ] = 0.0,
    paradigm: Paradigms = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    updates: Updates = None,
    results: ReadResults = None,
    as_json: Json = False,
) -> None:
    """Predict the GPU hours, memory and storage of a study.

    Needs no data, weights or GPU. The study must train something.

    \b
    Examples:
      bench plan tal2025_paper --device h100 --gpus 8
      bench plan tal2025_paper --mfu 0.3 --hours 20000
      bench plan quickstart --device measured           compare with the time that its records took
      bench plan my.yaml --rates my_gpu.json
    """
    from ..analysis.records import all_records
    from ..run.estimate import devices, this_machine
    from ..run.estimate.plan import backbone_width, make_plan, model_inputs
    from ..study.load import load_study

    chosen = study_of_options({"study": study, "paradigm": paradigm, "settings": settings, "updates": updates})
    records = all_records(to_read(results))
    shares = devices.sampling_shares(records, backbone_width(chosen))
    runs: list[this_machine.MeasuredRun] = []
    if rates is not None:
        known = devices.from_file(rates)
    elif device == "measured":  # operations of old records are counted with the captions of the built-in corpus
        runs = this_machine.runs_here(records, model_inputs(load_study("quickstart")))
        known = devices.measured(shares, this_machine.training_rates(runs))
    else:
        known = devices.by_data_sheet(device)
    known = dataclasses.replace(known, samples_at={**shares, **known.samples_at})
    if mfu:
        known = dataclasses.replace(known, mfu=mfu, trains_at={})
    with only_listed():
        made = make_plan(chosen, known, gpus, hours or None)
    _print(made, gpus, as_json)
    for run, predicted in [] if as_json else this_machine.predictions(chosen.name, runs):
        took = f"took {duration(run.seconds)} of CPU time, predicted from other runs {duration(predicted)}"
        print(f"Check: {run.system} seed {run.seed} {took}: ratio {predicted / run.seconds:.2f}")


def _print(plan: StudyPlan, gpus: int, as_json: bool) -> None:
    """Print the table of training runs and, unless it is JSON, the totals and the assumptions."""
    header = [
        "arm", "setting", "seed", "parameters", "updates", "tokens", "FLOPs", "training", "measuring", "memory",
        "micro-batches", "disk",
    ]  # fmt: skip
    rows = [
        [
            run.arm, run.setting, run.seed, run.parameters, "?" if run.updates is None else run.updates,
            f"{run.tokens:.3g}", f"{run.flops:.3g}", _hours(run.training_seconds), _hours(run.measuring_seconds),
            size(run.memory_bytes), run.accumulate, size(run.disk.total),
        ]
        for run in plan.runs
    ]  # fmt: skip
    print(shown(header, rows, as_json))
    if as_json:
        return
    longest = max((run.training_seconds for run in plan.runs), default=0.0)
    shared = f", each run shared by {gpus}, {duration(longest / gpus)} for the longest." if gpus > 1 else "."
    print(f"\nIn all: {count(len(plan.runs), 'training run')}, {_hours(plan.seconds)} of one device{shared}")
    kinds = ", ".join(f"{kind} {size(value)}" for kind, value in vars(plan.disk).items())
    print(f"Disk: {size(plan.disk.total)} ({kinds}).\n\nAssumptions:")
    print("\n".join(f"- {line}" for line in plan.assumptions))


def _hours(seconds: float) -> str:
    """Hours of a device, e.g. ``1,234 h``; below ten hours in finer units."""
    return f"{seconds / 3600:,.0f} h" if seconds >= 36000 else duration(seconds)
