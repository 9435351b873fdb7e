"""``bench plan``: what a study will take, with every assumption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, ReadResults, Updates

if TYPE_CHECKING:
    from ..analysis.records import Record
    from ..run.estimate.devices import Device
    from ..run.estimate.plan import Plan, Run
    from ..run.estimate.reached import Check, Trained


def plan(
    study: Annotated[str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file.")],
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
    paradigm: Annotated[
        list[str], typer.Option("--paradigm", "-p", help="Only this arm, or a paradigm with its defaults; repeatable.")
    ] = [],  # noqa: B006
    settings: Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.batch=64; repeatable.")] = [],  # noqa: B006
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
    from ...common.needs import only_listed
    from ..analysis.locations import to_read
    from ..analysis.records import all_records
    from ..run.estimate.devices import sampling_shares
    from ..run.estimate.plan import make_plan, width_of
    from ..run.estimate.reached import checks
    from .run import chosen_study

    chosen = chosen_study(study, "", "", [], updates, settings, paradigm)
    records = all_records(to_read(results))
    trained = _trained(records) if device == "measured" and rates is None else []
    known = _device(device, rates, mfu, sampling_shares(records, width_of(chosen)), trained)
    with only_listed():
        made = make_plan(chosen, known, gpus, hours or None)
    _print(made, gpus, as_json)
    for check in [] if as_json else checks(chosen.name, trained):
        _print_check(check)


def _trained(records: list[Record]) -> list[Trained]:
    """Training runs of this machine; older records are counted with the built-in corpus' captions."""
    from ..run.estimate.plan import see
    from ..run.estimate.reached import trained_here
    from ..study.study import load_study

    return trained_here(records, see(load_study("quickstart")))


def _device(name: str, path: Path | None, mfu: float, shares: dict[str, float], trained: list[Trained]) -> Device:
    import dataclasses

    from ..run.estimate.devices import from_file, measured, published
    from ..run.estimate.reached import rates

    if path is not None:
        chosen = from_file(path)
    else:
        chosen = measured(shares, rates(trained)) if name == "measured" else published(name)
    chosen = dataclasses.replace(chosen, samples_at={**shares, **chosen.samples_at})
    return dataclasses.replace(chosen, mfu=mfu, trains_at={}) if mfu else chosen


def _print(made: Plan, gpus: int, as_json: bool) -> None:
    from ...common.console import duration, shown, size
    from ...common.lines import count

    header = [
        "arm", "setting", "seed", "parameters", "updates", "tokens", "FLOPs", "training", "measuring", "memory",
        "micro-batches", "disk",
    ]  # fmt: skip
    rows = [
        [
            run.arm, run.setting, run.seed, run.parameters, "?" if run.updates is None else run.updates,
            f"{run.tokens:.3g}", f"{run.flops:.3g}", hours_of(run.training_seconds), hours_of(run.measuring_seconds),
            size(run.memory_bytes), run.accumulate, size(run.disk.total),
        ]
        for run in made.runs
    ]  # fmt: skip
    print(shown(header, rows, as_json))
    if as_json:
        return
    disk = made.disk
    print(f"\nIn all: {count(len(made.runs), 'training run')}, {hours_of(made.seconds)} of one device", end="")
    print(f", each run shared by {gpus}, {duration(_longest(made.runs) / gpus)} for the longest." if gpus > 1 else ".")
    kinds = ", ".join(f"{kind} {size(value)}" for kind, value in vars(disk).items())
    print(f"Disk: {size(disk.total)} ({kinds}).\n\nAssumptions:")
    print("\n".join(f"- {line}" for line in made.assumptions))


def hours_of(seconds: float) -> str:
    """Hours of a device, ``1,234 h``; below two hours in smaller units."""
    from ...common.console import duration

    return f"{seconds / 3600:,.0f} h" if seconds >= 36000 else duration(seconds)


def _longest(runs: list[Run]) -> float:
    return max((run.training_seconds for run in runs), default=0.0)


def _print_check(check: Check) -> None:
    from ...common.console import duration

    run = check.run
    took = f"took {duration(run.seconds)} of CPU time, predicted from other runs {duration(check.predicted)}"
    print(f"Check: {run.system} seed {run.seed} {took}: ratio {check.ratio:.2f}")
