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
from ..benchmarks.study.load import load_study
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
        timeout_s: seconds that one worker may take; None: no limit but that of the element.
        exclusive: elements need their machine to themselves.
        cells: all cells of the study, those with a good record included.
        elements: ids of the cells that each array element has to measure.
        attempts: cell id -> number of earlier attempts; records of later attempts belong to this submission.
        job_id: id of the array, empty while it is being submitted; on cluster ``local`` that of its process.
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
        """The cells of array element ``index``, in order."""
        by_id = {cell.id: cell for cell in self.cells}
        return [by_id[cell_id] for cell_id in self.elements[index]]

    def element_id(self, index: int) -> str:
        """The scheduler's id of array element ``index``; an array of one element is a plain job."""
        return f"{self.job_id}_{index}" if len(self.elements) > 1 else self.job_id


@dataclass(frozen=True)
class Submission:
    """A manifest and the path of its file."""

    path: Path
    manifest: Manifest

    @property
    def folder(self) -> Path:
        """Folder of the logs and of submitit's own files."""
        return self.path.with_suffix("")

    @property
    def name(self) -> str:
        """Name of the array in the queue; no two submissions have the same."""
        return f"bench-{self.manifest.study}-{self.path.stem}"

    def log(self, index: int) -> Path:
        """File with what array element ``index`` wrote to stderr."""
        return self.folder / f"{self.manifest.element_id(index)}_0_log.err"


def write(manifest: Manifest) -> Submission:
    """Write the manifest of a new submission, to a new file."""
    stem = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
    path = folder_of(Path(manifest.work), manifest.study) / f"{stem}.json"
    write_json(path, to_dict(manifest))
    return Submission(path, manifest)


def numbered(submission: Submission, job_id: str) -> Submission:
    """Add the id of the array to the submission and write it again."""
    manifest = dataclasses.replace(submission.manifest, job_id=job_id)
    write_json(submission.path, to_dict(manifest))
    return Submission(submission.path, manifest)


def folder_of(work: Path, study: str) -> Path:
    """Folder of the manifests of a study."""
    return work / study / "submissions"


def read(path: Path) -> Submission:
    """Read one manifest."""
    return Submission(path, from_dict(Manifest, read_json(path), str(path)))


def submissions(work: Path, study: str) -> list[Submission]:
    """All submissions of a study, oldest first.

    Args:
        study: name of the study, or its YAML file.

    Raises:
        UserError: no such study, or one that was never submitted.
    """
    found = earlier(work, study)
    if not found:
        study = load_study(study).name
        found = earlier(work, study)
    if not found:
        raise UserError(f"study {study!r} was not submitted from work folder {work}; start with: bench submit {study}")
    return found


def earlier(work: Path, study: str) -> list[Submission]:
    """All submissions of the study with this name, oldest first; there may be none."""
    return [read(path) for path in sorted(folder_of(work, study).glob("[!.]*.json"))]


def cells_of(sent: Sequence[Submission]) -> list[Cell]:
    """The cells of several submissions of a study, each once, in the order of the newest submission."""
    return list({cell.id: cell for submission in reversed(sent) for cell in submission.manifest.cells}.values())
