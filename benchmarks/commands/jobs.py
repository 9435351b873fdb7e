"""``bench status`` and ``bench cancel``: how far a submitted study is, and how to end it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Study = Annotated[str, typer.Argument(help="A study that was submitted: its name or its file.")]
Work = Annotated[Path, typer.Option(help="The work folder it was submitted with.")]


def status(
    study: Study,
    work: Work = Path("runs"),
    every: Annotated[bool, typer.Option("--all", help="List the cells that are done, too.")] = False,
) -> int:
    """Say of every cell whether it is done, running, queued, failed, oom, timeout or lost, and why.

    The records come first, then the scheduler; nothing waits. Exit status 1: something has to be resumed.

    \b
    Examples:
      bench status small_cpu
      bench status STUDY.yaml --all
    """
    from benchmarks.console import table
    from slurm.status import OPEN, summary
    from slurm.status import status as look

    found = look(work, study)
    rows = [
        [s.cell.id, s.cell.system, s.cell.label, s.cell.seed, s.cell.at_updates or "", s.state, s.reason]
        for s in found
        if every or s.state != "done"
    ]
    if rows:
        print(table(["cell", "system", "setting", "seed", "updates", "state", "why"], rows) + "\n")
    print(summary(found))
    ended = [s for s in found if s.state not in ("done", "unknown", *OPEN)]
    where = "" if work == Path("runs") else f" --work {work}"
    if ended:
        print(f"To try the {len(ended)} again that ended without a good record: bench resume {study}{where}")
    return int(bool(ended))


def cancel(study: Study, work: Work = Path("runs")) -> int:
    """Cancel what is queued or running; records stay, training saves what it can, `bench resume` goes on from there.

    \b
    Examples:
      bench cancel small_cpu
    """
    from slurm.manifest import submissions
    from slurm.scheduler import cancel as end
    from slurm.scheduler import fates

    count = 0
    for submission in submissions(work, study):
        left = sum(fate.state != "over" for fate in fates(submission))
        if left:
            end(submission)
        count += left
    print(f"cancelled {count} array elements")
    return 0
