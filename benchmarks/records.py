"""Records: what one measurement left behind, one JSON file per attempt, never overwritten.

A record is a cell (the whole resolved config of one measurement) with its status, its metrics with n and interval, what
training cost, and where and when it ran; docs/records.md explains every field. Files live at
``results/<study>/records/<id>-<attempt>.json``, with per-item scores beside as ``<id>-<attempt>.items.csv``. Many
writers may share the folder: a file appears whole under a name that nobody else holds, or not at all.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from common.config import config_hash, from_dict, later, to_dict
from common.errors import UserError
from common.files import json_text, read_json, write_new

SCHEMA_VERSION = 1
Status = Literal["ok", "oom", "timeout", "unsupported", "failed", "throttled"]
GOOD = frozenset({"ok", "unsupported"})  # final answers; every other status is tried again by the next run
ItemRow = Mapping[str, Any]  # one generated clip: "item" (prompt id), "caption", then one number per metric


@dataclass(frozen=True)
class Metric:
    """One figure. ``low`` and ``high`` bound its 95% interval (None: no interval); ``value`` None: not defined here."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"


@dataclass(frozen=True)
class Training:
    """What the checkpoint behind a cell cost; ``curve`` holds equally long columns (step, loss, cpu_seconds ...)."""

    updates: int
    cpu_seconds: float
    wall_seconds: float
    tokens: int = 0  # latent frames seen, padding left out
    parameters: dict[str, int] = field(default_factory=dict)
    curve: dict[str, tuple[float, ...]] = field(default_factory=dict)
    folder: str = ""  # the checkpoint, relative to the work folder
    flops: float | None = None  # of forward and backward passes, counted by ``Paradigm.training_cost``
    budget: dict[str, Any] = field(default_factory=dict)  # what was asked for: ``unit`` and ``amount``


@dataclass(frozen=True)
class Record:
    """One attempt at one cell. Field by field: docs/records.md."""

    id: str
    study: str
    axis: str
    system: str
    kind: str
    seed: int
    status: Status
    cell: dict[str, Any]
    created: str
    attempt: int = 0
    at_updates: int | None = None
    reason: str = ""
    metrics: dict[str, Metric] = field(default_factory=dict)
    training: Training | None = None
    timing: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    command: str = ""
    schema_version: int = SCHEMA_VERSION
    origin: str = later("")

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.id}-{self.attempt}"

    @property
    def ended(self) -> bool:
        """Whether this is of the end of training, or of what is not trained; else it is of a snapshot."""
        updates = self.cell.get("train", {}).get("updates")
        return self.at_updates is None or updates is None or self.at_updates >= updates


KEYS = {cls: frozenset(f.name for f in dataclasses.fields(cls)) for cls in (Record, Metric, Training)}


def save_record(folder: Path, record: Record, items: Sequence[ItemRow] = ()) -> Record:
    """Write ``record`` (and its per-item scores) as the cell's next attempt; returns it with its attempt number.

    The record is published last, so a record that exists has its items.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing half-written stays.
    """
    records = folder / "records"
    for attempt in itertools.count(_last_attempt(records, record.id) + 1):
        numbered = dataclasses.replace(record, attempt=attempt)
        items_path = records / f"{numbered.stem}.items.csv" if items else None
        if items_path is not None:
            if not write_new(items_path, _csv_text(items)):
                continue
            artefacts = {**record.artefacts, "items": f"records/{items_path.name}"}
            numbered = dataclasses.replace(numbered, artefacts=artefacts)
        published = False
        try:
            published = write_new(records / f"{numbered.stem}.json", json_text(to_dict(numbered)))
        finally:
            if items_path is not None and not published:
                items_path.unlink()
        if published:
            return numbered
    raise AssertionError("unreachable: attempts are endless")


def load_records(folder: Path, ids: Collection[str] | None = None) -> tuple[list[Record], list[str]]:
    """Records of one study's folder, oldest first, and one line for every file that is not a good record.

    Args:
        ids: of the cells whose files to read; None: all.
    """
    records: list[Record] = []
    problems: list[str] = []
    for path in record_paths(folder, ids):
        try:
            records.append(read_record(path))
        except UserError as error:
            problems.append(str(error))
    return sorted(records, key=lambda r: (r.created, r.attempt)), problems


def record_paths(folder: Path, ids: Collection[str] | None = None) -> list[Path]:
    """The files of one study that should be records, of all cells or of those in ``ids``; none is opened."""
    paths = sorted((folder / "records").glob("[!.]*.json"))
    return paths if ids is None else [path for path in paths if path.stem.rpartition("-")[0] in ids]


def read_record(path: Path) -> Record:
    """One record, checked.

    Raises:
        UserError: not JSON, not a record, another schema version, or a file whose name or cell contradicts its id.
    """
    data = _parsed(path)
    if not isinstance(data, dict) or "schema_version" not in data or "cell" not in data:
        raise UserError(f"{path}: not a record of this suite; move it elsewhere")
    if data["schema_version"] != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema version {data['schema_version']}, this program reads {SCHEMA_VERSION}; "
            "read it with the version of the program that wrote it, or run the cell again"
        )
    record = _converted(data, path)
    if path.stem != record.stem:
        raise UserError(f"{path}: its name does not match its id and attempt ({record.stem}); rename it")
    if config_hash(record.cell) != record.id:
        raise UserError(f"{path}: its cell does not match its id (edited by hand?); delete it and run the cell again")
    return record


def _parsed(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return read_json(path)  # slower by far, and says what is wrong


def _converted(data: dict[str, Any], path: Path) -> Record:
    """``data`` as a record: at once where it is one beyond doubt, else by the strict way, which names what is not."""
    try:
        record = msgspec.convert(data, Record)
    except msgspec.ValidationError:
        return from_dict(Record, data, str(path))
    known = data.keys() <= KEYS[Record] and all(
        about.keys() <= KEYS[Metric] for about in data.get("metrics", {}).values()
    )
    known = known and (record.training is None or data["training"].keys() <= KEYS[Training])
    return record if known else from_dict(Record, data, str(path))


def read_items(folder: Path, record: Record) -> list[dict[str, Any]]:
    """The per-item scores of ``record``: numbers as floats, empty fields as NaN; empty list where it has none."""
    name = record.artefacts.get("items")
    if name is None:
        return []
    try:
        with open(folder / name, newline="", encoding="utf-8") as file:
            return [{key: _number(key, value) for key, value in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise UserError(
            f"{folder / name}: per-item scores cannot be read ({error.strerror}); run the cell again"
        ) from error


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """Cell id -> the record that speaks for it: the newest good one, else the newest."""
    chosen: dict[str, Record] = {}
    for record in records:
        held = chosen.get(record.id)
        if held is None or record.status in GOOD or held.status not in GOOD:
            chosen[record.id] = record
    return chosen


def metric(value: float | None, **fields: Any) -> Metric:
    """A Metric whose NaN or infinite numbers become None, since JSON has neither."""
    finite = {k: (None if isinstance(v, float) and v - v != 0 else v) for k, v in {"value": value, **fields}.items()}
    return Metric(**finite)  # type: ignore[arg-type]


def _last_attempt(records: Path, cell_id: str) -> int:
    attempts = [path.name.removeprefix(f"{cell_id}-").split(".")[0] for path in records.glob(f"{cell_id}-*")]
    return max((int(a) for a in attempts if a.isdigit()), default=0)


def _csv_text(items: Sequence[ItemRow]) -> str:
    columns = list(dict.fromkeys(key for row in items for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in items:
        writer.writerow({k: "" if isinstance(v, float) and v != v else _short(v) for k, v in row.items()})
    return buffer.getvalue()


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _number(key: str, text: str) -> Any:
    if key in ("item", "caption"):
        return text
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return text
