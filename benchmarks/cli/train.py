"""``bench train``: train the arms of a study without measuring them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ...common.errors import UserError
from ...common.lines import count, say_once
from ..analysis.locations import check_writable
from .options import Corpus, Paradigms, Seeds, Settings, StudyName, Updates, study_of_options


def train(
    study: StudyName = "quickstart",
    paradigm: Paradigms = [],  # noqa: B006
    corpus: Corpus = "",
    seed: Seeds = [],  # noqa: B006
    updates: Updates = None,
    settings: Settings = [],  # noqa: B006
    work: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("runs"),
) -> None:
    """Train the arms of a study without measuring them.

    `bench run` of the same study uses the weights; an interrupted training goes on with the same command. Under
    torchrun, the processes share every batch; the loss is that of one process, up to rounding. The validation loss is
    the same loss on clips of the valid split, without condition dropout, by the averaged weights, with its standard
    error over clips.

    \b
    Examples:
      bench train quickstart --paradigm fm
      bench train --paradigm ar --set 'train.budget={unit: flops, amount: 1.5e13}'
      bench train -p ar --set train.updates=20000 --set 'train.budget={unit: convergence, amount: 0.02}'
      torchrun --standalone --nproc-per-node 2 -m paradigm_bench.benchmarks.cli.main train quickstart
      bench train -p ar --corpus my/folder --updates 5000 --set train.lr=5e-4
    """
    options = dict(locals())
    check_writable(work, "folder", "--work")
    from accelerate import PartialState

    from ...training.loop import leave_process_group, runs_on_cpu
    from ...training.trained import train_system, training_folder, untuned
    from ..axes.fidelity.cells import data_of
    from ..study.axis import TrainingAxis, find_axis
    from ..study.sweep import expand

    chosen = study_of_options(options)
    if not isinstance(find_axis(chosen.axis), TrainingAxis):
        raise UserError(
            f"study {chosen.name} measures {chosen.axis} and trains nothing; give one that trains, e.g. quickstart"
        )
    processes = PartialState(cpu=runs_on_cpu())
    try:
        with processes.main_process_first():  # what the first caches, the others find
            trained = [(untuned(cell.config), cell) for cell in expand(chosen) if cell.kind == "paradigm"]
        for config, cell in {training_folder(config): (config, cell) for config, cell in trained}.values():
            with processes.main_process_first():
                data = data_of(cell)
            result, training = train_system(config, data, work)
            held_out = training.validation
            validation = f", validation {held_out['loss'][-1]:.4g} ± {held_out['error'][-1]:.2g}" if held_out else ""
            losses = f"loss {result.final_loss:.4g}{validation} after {count(training.updates, 'update')}"
            ended = ", ".join(part for part in (losses, training.ended, f"weights in {result.final}") if part)
            say_once(f"{cell.system} seed {cell.seed}: {ended}", sys.stdout)
    finally:
        leave_process_group()
