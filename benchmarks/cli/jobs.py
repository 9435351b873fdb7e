"""``bench status`` and ``bench cancel``: show the state of a submitted study, or end it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...common.console import shown
from ...common.lines import count, say
from .options import Json

Study = Annotated[str, typer.Argument(help="Name or file of a study that was submitted.")]
Work = Annotated[Path, typer.Option(help="Work folder that the study was submitted with.")]


def status(
    study: Study,
    work: Work = Path("runs"),
    every: Annotated[bool, typer.Option("--all", help="Also list the cells that are done.")] = False,
    as_json: Json = False,
) -> int:
    """Show the state of every cell of a submitted study.

    A cell is done, running, queued, failed, oom, timeout or lost; the table says why. The exit status is 1 if a cell
    ended without a good record, so that `bench resume` has something to do.

    \b
    Examples:
      bench status small_cpu
      bench status STUDY.yaml --all
    """
    from ...slurm.status import OPEN, summary
    from ...slurm.status import status as look

    found = look(work, study)
    rows = [
        [s.cell.id, s.cell.system, s.cell.label, s.cell.seed, s.cell.at_updates or "", s.state, s.reason]
        for s in found
        if every or s.state != "done"
    ]
    tell = say if as_json else print
    if rows or as_json:
        print(shown(["cell", "system", "setting", "seed", "updates", "state", "why"], rows, as_json))
        tell("")
    tell(summary(found))
    ended = [s for s in found if s.state not in ("done", "unknown", *OPEN)]
    where = "" if work == Path("runs") else f" --work {work}"
    if ended:
        tell(f"To try {count(len(ended), 'cell')} again that ended without a good record: bench resume {study}{where}")
    return int(bool(ended))


def cancel(study: Study, work: Work = Path("runs")) -> int:
    """Cancel everything that is queued or running.

    Records stay and training saves a checkpoint; `bench resume` continues from there.

    \b
    Examples:
      bench cancel small_cpu
    """
    from ...slurm.manifest import submissions
    from ...slurm.scheduler import cancel as end
    from ...slurm.scheduler import element_states

    cancelled = 0
    for submission in submissions(work, study):
        left = sum(element.state != "over" for element in element_states(submission))
        if left:
            end(submission)
        cancelled += left
    print(f"cancelled {count(cancelled, 'array element')}")
    return 0
