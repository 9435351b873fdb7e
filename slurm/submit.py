"""Submit cells as one job array, without those that are already measured, queued or running.

An array element holds one group of cells (one training run and its measurements), or several if the cluster allows
fewer elements than there are groups. On cluster ``local`` the whole study is one element, whose runner keeps
``array_parallelism`` workers busy; ``debug`` runs the same in this process. What groups share, such as encoded clips,
is prepared by the first element on each machine (task.py), because login nodes forbid long computations.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..benchmarks.analysis.locations import check_writable
from ..benchmarks.analysis.records import check_records, load_records
from ..benchmarks.run.reuse import found_elsewhere, take_over
from ..benchmarks.run.runner import Plan, plan, python_path
from ..benchmarks.study.cells import Cell
from ..common.errors import UserError, did_you_mean
from ..common.locks import locked
from .manifest import Manifest, Submission, earlier, folder_of, numbered, write
from .scheduler import drop_held
from .site import Site, sbatch_parameters
from .status import open_cells
from .task import Element

CLUSTERS = ("slurm", "local", "debug")
SLURM_ONLY = ("partition", "account", "qos", "cpus", "mem", "time")  # options without effect elsewhere


@dataclass(frozen=True)
class Order:
    """What is to be submitted, and how.

    Attributes:
        cells: all cells of the study.
        results, work: as in ``Context``: the study's results folder, and the work folder of all studies.
        exclusive: elements need their machine to themselves.
        timeout_s: seconds that one worker may take; None: no limit but that of the element.
        command: the command line, which records hold.
    """

    study: str
    axis: str
    cells: Sequence[Cell]
    results: Path
    work: Path
    cluster: str
    site: Site
    exclusive: bool = False
    timeout_s: float | None = None
    command: str = ""


@dataclass(frozen=True)
class ToDo(Plan):
    """The plan of an order; ``done`` includes what another study has measured, ``open`` is queued or running."""

    open: list[Cell] = field(default_factory=list)


def to_do(order: Order) -> ToDo:
    """What is left to submit.

    Raises:
        UserError: the scheduler does not answer, so that it is not known what is queued or running.
    """
    check_records(order.results)
    todo = plan(order.cells, order.results)
    under_way = open_cells(order.work, order.study)
    elsewhere = found_elsewhere(todo.pending, order.axis, order.results)
    known = under_way | set(elsewhere)
    groups = [[cell for cell in group if cell.id not in known] for group in todo.groups]
    done = todo.done + [cell for cell in todo.pending if cell.id in elsewhere]
    waiting = [cell for cell in todo.pending if cell.id in under_way and cell.id not in elsewhere]
    return ToDo(done, [group for group in groups if group], todo.problems, waiting)


def submit(order: Order) -> Submission | None:
    """Submit what is left to do; returns None if nothing is. Two callers at a time do not submit the same cells.

    Raises:
        UserError: the folders cannot be written, or the cluster refuses.
    """
    for folder in (order.results / "records", folder_of(order.work, order.study)):
        check_writable(folder, "folder", "--work")
    with locked(folder_of(order.work, order.study) / ".lock"):
        take_over(order.cells, order.axis, order.results)
        todo = to_do(order)
        if not todo.groups:
            return None
        for sent in earlier(order.work, order.study):
            drop_held(sent)
        submission = write(_manifest(order, todo.groups, _attempts(order, todo)))
        jobs = _send(submission)
        job_id = jobs[0].job_id.partition("_")[0] if order.cluster != "debug" else "debug"
        submission = numbered(submission, job_id)
    if order.cluster == "debug":
        for job in jobs:
            if (error := job.exception()) is not None:
                raise error
    return submission


def check_cluster(cluster: str, options: dict[str, Any]) -> None:
    """Check the name of a cluster, and that it uses every option that is given.

    Raises:
        UserError: an unknown cluster, or an option that has no effect on it.
    """
    if cluster not in CLUSTERS:
        raise UserError(
            f"unknown cluster {cluster!r}{did_you_mean(cluster, list(CLUSTERS))}; known: {', '.join(CLUSTERS)}"
        )
    idle = [name for name in SLURM_ONLY if cluster != "slurm" and options.get(name) is not None]
    if idle:
        raise UserError(f"--{idle[0]} has no effect on cluster {cluster}; leave it out, or give --cluster slurm")


def check_slurm() -> None:
    """Check that this machine can submit to SLURM.

    Raises:
        UserError: it has no ``sbatch`` or no ``srun``.
    """
    if not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError(
            "sbatch not found: SLURM is not on this machine; run this on a login node, or give --cluster local"
        )


def directives(order: Order, elements: int) -> list[str]:
    """The #SBATCH lines of an array of ``elements`` elements; needs no cluster."""
    from submitit.slurm.slurm import _make_sbatch_string

    planned = Submission((folder_of(order.work, order.study) / "TIME.json").resolve(), _manifest(order, [], {}))
    count = elements if elements > 1 else None
    text = _make_sbatch_string("", planned.folder, map_count=count, **_parameters(planned))
    return [line for line in text.splitlines() if line.startswith("#SBATCH")]


def _attempts(order: Order, todo: ToDo) -> dict[str, int]:
    attempts: dict[str, int] = {}
    for record in load_records(order.results, {cell.id for cell in todo.pending})[0]:
        attempts[record.id] = max(record.attempt, attempts.get(record.id, 0))
    return attempts


def _manifest(order: Order, groups: Sequence[Sequence[Cell]], attempts: dict[str, int]) -> Manifest:
    on_slurm = order.cluster == "slurm"
    elements = packed(groups, order.site.max_array if on_slurm else 1)
    return Manifest(
        study=order.study, axis=order.axis, cluster=order.cluster, command=order.command,
        results=str(order.results.resolve()), work=str(order.work.resolve()),
        jobs=1 if on_slurm or order.exclusive else order.site.array_parallelism,
        timeout_s=order.timeout_s, exclusive=order.exclusive, site=order.site, cells=tuple(order.cells),
        elements=elements, attempts=attempts,
    )  # fmt: skip


def packed(groups: Sequence[Sequence[Cell]], most: int) -> tuple[tuple[str, ...], ...]:
    """Cell ids of each element: one group each, or, if there are more than ``most`` groups, dealt out in turn."""
    count = min(len(groups), most)
    return tuple(tuple(cell.id for group in groups[i::count] for cell in group) for i in range(count))


def _send(submission: Submission) -> list[Any]:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    manifest = submission.manifest
    logging.getLogger("submitit").setLevel(logging.ERROR)
    submission.folder.mkdir(parents=True, exist_ok=True)
    path = str(submission.path.resolve())
    try:
        executor = _executor(submission)
        return list(executor.submit_array([Element(path, index) for index in range(len(manifest.elements))]))
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        submission.path.unlink()
        told = " ".join(str(error).split())
        raise UserError(f"{manifest.cluster} refuses the job array: {told[-400:]}; check the site profile") from error


def _executor(submission: Submission) -> Any:
    import submitit

    manifest, folder = submission.manifest, submission.folder.resolve()
    site = manifest.site
    if manifest.cluster == "debug":
        return submitit.DebugExecutor(folder)
    if manifest.cluster == "local":
        local = submitit.LocalExecutor(folder, max_num_timeout=site.max_num_timeout)
        local.update_parameters(timeout_min=60 * 24 * 365, gpus_per_node=site.gpus, setup=list(site.setup))
        return local
    slurm = submitit.SlurmExecutor(folder, max_num_timeout=site.max_num_timeout)
    slurm.update_parameters(**_parameters(submission))
    return slurm


def _parameters(submission: Submission) -> dict[str, Any]:
    paths = python_path().get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    found = (f"export PYTHONPATH={paths}",)  # also where the cluster passes no environment on
    manifest = submission.manifest
    return sbatch_parameters(manifest.site, manifest.exclusive, submission.name, found)
