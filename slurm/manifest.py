"""Submissions: one JSON file each, ``<work>/<study>/submissions/<time>.json``, with its logs beside it.

The file is written before the array exists and again with the array's job id, so that every job has its manifest.
Elements read their cells from it. `bench status`, `resume` and `cancel` need only this file: neither the study's file
nor the options of the submission.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..benchmarks.study.cells import Cell
from ..common.config import from_dict, to_dict
from ..common.errors import UserError
from ..common.files import read_json, write_json
from .site import Site


@dataclass(frozen=True)
class Manifest:
    """One submission.

    Attributes:
        results, work: absolute folders, as in ``Context``.
        jobs: worker processes at a time within an element.
        timeout_s: seconds that one worker may take; None: no limit but the element's own.
        cells: all cells of the study, those with a good record included.
        elements: ids of the cells that each array element has to measure.
        attempts: how often a cell was tried before; a record of a later attempt is the submission's own.
        job_id: of the array; empty while it is being submitted; the controller's process on cluster ``local``.
    """

    study: str
    axis: str
    cluster: str
    command: str
    results: str
    work: str
    jobs: int
    timeout_s: float | None
    exclusive: bool
    site: Site
    cells: tuple[Cell, ...]
    elements: tuple[tuple[str, ...], ...]
    attempts: dict[str, int]
    job_id: str = ""

    def cells_of(self, index: int) -> list[Cell]:
        """The cells of element ``index``, in order."""
        by_id = {cell.id: cell for cell in self.cells}
        return [by_id[cell_id] for cell_id in self.elements[index]]

    def element_id(self, index: int) -> str:
        """What the scheduler calls element ``index``; an array of one is a plain job."""
        return f"{self.job_id}_{index}" if len(self.elements) > 1 else self.job_id


@dataclass(frozen=True)
class Submission:
    """A manifest and where it lies."""

    path: Path
    manifest: Manifest

    @property
    def folder(self) -> Path:
        """Logs and submitit's own files."""
        return self.path.with_suffix("")

    @property
    def name(self) -> str:
        """The array's name in the queue, its own for every submission."""
        return f"bench-{self.manifest.study}-{self.path.stem}"

    def log(self, index: int) -> Path:
        """What element ``index`` wrote to stderr."""
        return self.folder / f"{self.manifest.element_id(index)}_0_log.err"


def write(manifest: Manifest) -> Submission:
    """Write a new submission's manifest under a name of its own."""
    stem = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
    path = folder_of(Path(manifest.work), manifest.study) / f"{stem}.json"
    write_json(path, to_dict(manifest))
    return Submission(path, manifest)


def numbered(submission: Submission, job_id: str) -> Submission:
    """The submission with the array's job id, written."""
    manifest = dataclasses.replace(submission.manifest, job_id=job_id)
    write_json(submission.path, to_dict(manifest))
    return Submission(submission.path, manifest)


def folder_of(work: Path, study: str) -> Path:
    """Where the manifests of a study lie."""
    return work / study / "submissions"


def read(path: Path) -> Submission:
    """One manifest."""
    return Submission(path, from_dict(Manifest, read_json(path), str(path)))


def submissions(work: Path, study: str) -> list[Submission]:
    """All submissions of a study, oldest first.

    Args:
        study: its name, or a study file whose name then counts.

    Raises:
        UserError: no such study, or one that was never submitted.
    """
    found = earlier(work, study)
    if not found:
        from ..benchmarks.study.study import load_study

        study = load_study(study).name
        found = earlier(work, study)
    if not found:
        raise UserError(f"study {study!r} was not submitted from work folder {work}; start with: bench submit {study}")
    return found


def earlier(work: Path, study: str) -> list[Submission]:
    """All submissions of the study called so, oldest first; none is no error."""
    return [read(path) for path in sorted(folder_of(work, study).glob("[!.]*.json"))]


def cells_of(sent: Sequence[Submission]) -> list[Cell]:
    """Every cell of a study's submissions once, in the order of the newest."""
    return list({cell.id: cell for submission in reversed(sent) for cell in submission.manifest.cells}.values())
