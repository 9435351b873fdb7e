"""``bench run STUDY --again``: set earlier results aside and delete trained weights, then measure everything anew.

Earlier results move to ``<results>/earlier/<study>-<UTC time>``, where no command looks for studies. The new folder
holds the file ``ANEW``, which keeps this run, and one that continues it after an interruption, from copying the records
of other studies (reuse.py).
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Sequence

from ...common.errors import UserError
from ...common.files import write_text
from ...common.lines import count, say
from ...common.locks import held_alone
from ...training.trained import training_folder, untuned
from ..study.axis import Context
from ..study.cells import Cell
from .reuse import ANEW

EARLIER = "earlier"


def start_over(cells: Sequence[Cell], context: Context, command: str) -> None:
    """Delete the trained weights of ``cells``, then move the study's earlier results away.

    The order matters: after an interruption in between, no result is lost and the weights are trained again.

    Raises:
        UserError: another process works in the study's folder, or it cannot be moved.
    """
    trained = [cell.config for cell in cells if cell.kind == "paradigm" and "train" in cell.config]
    names = {training_folder(part) for config in trained for part in (config, untuned(config))}
    folders = [context.work / name for name in sorted(names) if (context.work / name).is_dir()]
    earlier = context.results.is_dir()
    with held_alone(context.results, command):
        for folder in folders:
            shutil.rmtree(folder)
        if folders:
            say(f"deleted the weights of {count(len(folders), 'training run')} in {context.work}")
        if earlier:
            _set_aside(context)
    text = "bench run --again: cells of this study are measured here and not taken over from other studies.\n"
    write_text(context.results / ANEW, text)


def _set_aside(context: Context) -> None:
    now = datetime.datetime.now(datetime.UTC)
    aside = context.results.parent / EARLIER / f"{context.results.name}-{now:%Y%m%dT%H%M%SZ}"
    try:
        aside.parent.mkdir(exist_ok=True)
        os.rename(context.results, aside)
        (aside / ".lock").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot move {context.results} to {aside}: {error.strerror or error}") from error
    say(f"earlier results are in {aside}")
