"""The state of every cell of a submitted study: from its records first, then from the scheduler.

done      a good record (``ok`` or ``unsupported``)
queued    in an array element that waits to start, or to start again
running   in an array element that runs
failed, oom, timeout, throttled    no good record, and the newest says so
lost      its array element is over and left no record: cancelled, killed, or its node failed
unknown   no good record, and the scheduler does not answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..benchmarks.analysis.records import GOOD, Record, latest, load_records
from ..benchmarks.run.runner import plan
from ..benchmarks.study.cells import Cell
from ..common.config import config_hash
from ..common.errors import UserError
from ..common.files import read_json
from ..common.lines import count
from .manifest import Manifest, Submission, cells_of, earlier, submissions
from .scheduler import ElementState, element_states

STATES = ("done", "running", "queued", "failed", "oom", "timeout", "throttled", "lost", "unknown")
OPEN = ("running", "queued")
ENDINGS = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "OUT_OF_MEMORY": "oom"}


@dataclass(frozen=True)
class CellStatus:
    """State of a cell, and the reason."""

    cell: Cell
    state: str
    reason: str = ""


@dataclass(frozen=True)
class _Place:
    """The array element that a cell belongs to."""

    submission: Submission
    index: int
    element: ElementState


def status(work: Path, study: str) -> list[CellStatus]:
    """The state of every cell of a study's submissions, in the order of the newest submission.

    Raises:
        UserError: the study was never submitted.
    """
    sent = submissions(work, study)
    places = _places(sent)  # the scheduler before the records: what ends in between has its record
    cells, results = cells_of(sent), Path(sent[-1].manifest.results)
    records = latest(load_records(results, {cell.id for cell in cells})[0])
    done = {cell.id for cell in plan(cells, results).done}
    return [
        CellStatus(cell, "done", records[cell.id].reason if cell.id in records else "")
        if cell.id in done
        else _status(cell, records.get(cell.id), places.get(cell.id))
        for cell in cells
    ]


def open_cells(work: Path, study: str) -> set[str]:
    """Ids of the cells that are queued or running.

    Raises:
        UserError: the scheduler does not answer.
    """
    found: set[str] = set()
    for submission in earlier(work, study):
        for index, element in enumerate(element_states(submission)):
            if element.state != "over":
                found.update(submission.manifest.elements[index])
    return found


def summary(found: Sequence[CellStatus]) -> str:
    """The numbers of cells by state, e.g. ``60 cells: 40 done, 12 running, 8 queued``."""
    counts = Counter(status.state for status in found)
    parts = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{count(len(found), 'cell')}: {parts}"


def _places(sent: Sequence[Submission]) -> dict[str, _Place]:
    """Cell id -> its array element: an open one, else the newest."""
    places: dict[str, _Place] = {}
    for submission in sent:
        for index, element in enumerate(_known_states(submission)):
            for cell_id in submission.manifest.elements[index]:
                held = places.get(cell_id)
                if held is None or held.element.state == "over":
                    places[cell_id] = _Place(submission, index, element)
    return places


def _known_states(submission: Submission) -> list[ElementState]:
    try:
        return element_states(submission)
    except UserError as error:
        return [ElementState("over", "UNKNOWN", str(error))] * len(submission.manifest.elements)


def _status(cell: Cell, record: Record | None, place: _Place | None) -> CellStatus:
    if place is None:
        return CellStatus(cell, "lost", "in no array")
    element, manifest = place.element, place.submission.manifest
    if element.state == "running":
        return CellStatus(cell, "running", _progress(manifest, place.index, cell))
    if element.state == "queued":
        return CellStatus(cell, "queued", element.reason)
    own = record is not None and record.attempt > manifest.attempts.get(cell.id, 0)
    if record is not None and own and record.status not in GOOD:
        return CellStatus(cell, record.status, record.reason)
    if element.code == "UNKNOWN":
        return CellStatus(cell, "unknown", element.reason)
    name, log = manifest.element_id(place.index), place.submission.log(place.index)
    told = ", ".join(filter(None, [element.code, element.reason])) or "the scheduler gives no reason"
    seen = f"; its output is in {log}" if log.exists() else ""
    return CellStatus(cell, ENDINGS.get(element.code, "lost"), f"element {name}: {told}{seen}")


def _progress(manifest: Manifest, index: int, cell: Cell) -> str:
    """Progress of the worker of a running element. After a restart it has only the last cells of the element left."""
    ids = manifest.elements[index]
    jobs = Path(manifest.work) / "jobs"
    files = [f for start in range(len(ids)) for f in jobs.glob(f"{config_hash(list(ids[start:]))}-*.status.json")]
    if not files:
        return ""
    try:
        data = read_json(max(files, key=lambda file: file.stat().st_mtime))
        return f"{100 * float(data['done']):.0f}% of its element: {data['text']}"
    except (OSError, UserError, KeyError, TypeError):
        return ""
