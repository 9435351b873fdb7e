"""The state of every cell, from the records first and then from the scheduler; each cell is counted once.

done      a good record (``ok`` or ``unsupported``)
queued    in an element that waits for its start, or for its next one
running   in an element that runs
failed, oom, timeout, throttled    no good record, and the newest says so
lost      its element is over and left no record: cancelled, killed outright, or its node was gone
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
from .scheduler import Fate, fates

STATES = ("done", "running", "queued", "failed", "oom", "timeout", "throttled", "lost", "unknown")
OPEN = ("running", "queued")
ENDINGS = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "OUT_OF_MEMORY": "oom"}


@dataclass(frozen=True)
class CellStatus:
    """Where a cell is, and why."""

    cell: Cell
    state: str
    reason: str = ""


@dataclass(frozen=True)
class _Place:
    """The newest element that a cell belongs to."""

    submission: Submission
    index: int
    fate: Fate


def status(work: Path, study: str) -> list[CellStatus]:
    """Every cell of the study's submissions, in the order of the newest.

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
        for index, fate in enumerate(fates(submission)):
            if fate.state != "over":
                found.update(submission.manifest.elements[index])
    return found


def summary(found: Sequence[CellStatus]) -> str:
    """``60 cells: 40 done, 12 running, 8 queued``."""
    counts = Counter(status.state for status in found)
    parts = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{count(len(found), 'cell')}: {parts}"


def _places(sent: Sequence[Submission]) -> dict[str, _Place]:
    """Cell id -> the element that has it: an open one, else the newest."""
    places: dict[str, _Place] = {}
    for submission in sent:
        for index, fate in enumerate(_known_fates(submission)):
            for cell_id in submission.manifest.elements[index]:
                held = places.get(cell_id)
                if held is None or held.fate.state == "over":
                    places[cell_id] = _Place(submission, index, fate)
    return places


def _known_fates(submission: Submission) -> list[Fate]:
    try:
        return fates(submission)
    except UserError as error:
        return [Fate("over", "UNKNOWN", str(error))] * len(submission.manifest.elements)


def _status(cell: Cell, record: Record | None, place: _Place | None) -> CellStatus:
    if place is None:
        return CellStatus(cell, "lost", "in no array")
    fate, manifest = place.fate, place.submission.manifest
    if fate.state == "running":
        return CellStatus(cell, "running", _progress(manifest, place.index, cell))
    if fate.state == "queued":
        return CellStatus(cell, "queued", fate.reason)
    own = record is not None and record.attempt > manifest.attempts.get(cell.id, 0)
    if record is not None and own and record.status not in GOOD:
        return CellStatus(cell, record.status, record.reason)
    if fate.word == "UNKNOWN":
        return CellStatus(cell, "unknown", fate.reason)
    element, log = manifest.element_id(place.index), place.submission.log(place.index)
    told = ", ".join(filter(None, [fate.word, fate.reason])) or "no word from the scheduler"
    seen = f"; its output is in {log}" if log.exists() else ""
    return CellStatus(cell, ENDINGS.get(fate.word, "lost"), f"element {element}: {told}{seen}")


def _progress(manifest: Manifest, index: int, cell: Cell) -> str:
    """How far a running element's worker is; a restarted one has a suffix of the element's cells left."""
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
