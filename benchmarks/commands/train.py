"""``bench train``: train the arms of a study and stop there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

TRAINED = ("fidelity", "control", "inpainting", "frame_rate")  # axes whose arms are trained


def train(
    study: Annotated[str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file.")] = "quickstart",
    paradigm: Annotated[list[str], typer.Option("--paradigm", "-p", help="Only this arm; repeatable.")] = [],  # noqa: B006
    corpus: Annotated[str, typer.Option(help="Folder with a manifest to use instead of the study's corpus.")] = "",
    seed: Annotated[list[int], typer.Option(help="Study seed; repeatable.")] = [],  # noqa: B006
    updates: Annotated[int, typer.Option(help="Training updates.")] = 0,
    settings: Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.lr=1e-3; repeatable.")] = [],  # noqa: B006
    work: Annotated[Path, typer.Option(help="Where checkpoints go.")] = Path("runs"),
) -> None:
    """Train without measuring. `bench run` of the same study finds the weights; a stopped training goes on.

    Under torchrun its processes share every batch; the curve is that of one process but for rounding.

    \b
    Examples:
      bench train quickstart --paradigm fm
      bench train --paradigm ar --set 'train.budget={unit: flops, amount: 1.5e13}'
      torchrun --standalone --nproc-per-node 2 -m benchmarks.cli train quickstart
      bench train -p ar --corpus my/folder --updates 5000 --set train.lr=5e-4
    """
    from accelerate import PartialState

    from benchmarks.axes.fidelity import data_of
    from benchmarks.commands.run import chosen_study
    from benchmarks.sweep import expand
    from benchmarks.trained import train_system
    from common.errors import UserError
    from common.lines import say_once
    from training.loop import leave_process_group, runs_on_cpu

    chosen = chosen_study(study, "", corpus, seed, updates, settings, paradigm)
    if chosen.axis not in TRAINED:
        raise UserError(f"study {chosen.name!r} measures {chosen.axis} and trains nothing; choose one of fidelity")
    processes = PartialState(cpu=runs_on_cpu())
    try:
        with processes.main_process_first():  # what the first caches, the others find
            groups = {cell.group: cell for cell in expand(chosen) if cell.kind == "paradigm"}
        for cell in groups.values():
            with processes.main_process_first():
                data = data_of(cell)
            result, training = train_system(cell.config, data, work)
            ended = f"loss {result.final_loss:.4f} at {training.updates}, {result.final}"
            say_once(f"{cell.system} seed {cell.seed}: {ended}", sys.stdout)
    finally:
        leave_process_group()
