"""Records: the results of single measurements, one JSON file per attempt, never overwritten.

A record is a cell (the whole resolved config of one measurement) with its status, its metrics with n and interval, what
training cost, and where and when it ran; docs/records.md explains every field. Runs write files,
``results/<study>/records/<id>-<attempt>.json``, with per-item scores in ``<id>-<attempt>.items.csv``. Many processes
may write to the folder: a file appears whole under a name that no other process has taken, or not at all.

``bench pack`` moves these files into one (packs.py). All functions here find a record and its text files by the same
names in either form; where both exist, the file counts.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import itertools
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ...common.config import config_hash, from_dict, later, to_dict
from ...common.errors import UserError, did_you_mean
from ...common.files import json_text, write_new
from ...training.budget import TrainingCost
from ..metrics.metric import Metric
from ..study.axis import ItemRow, Status
from ..study.cells import C, CellConfig, Preparation, read_config
from . import packs

SCHEMA_VERSION = 1
GOOD = frozenset({"ok", "unsupported"})  # final answers; every other status is tried again by the next run


@dataclass(frozen=True)
class Record:
    """One attempt to measure one cell; docs/records.md explains the fields."""

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
    training: TrainingCost | None = None
    timing: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    command: str = ""
    schema_version: int = SCHEMA_VERSION
    origin: str = later("")
    how: Preparation | None = later(None)  # noqa: RUF009

    def read(self, cls: type[C]) -> C:
        """The cell's config as a dataclass of its axis.

        Raises:
            UserError: a value of the wrong type.
        """
        return read_config(self.cell, cls)

    @functools.cached_property
    def config(self) -> CellConfig:
        """The part of the cell's config that several axes have."""
        return self.read(CellConfig)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.id}-{self.attempt}"

    @property
    def ended(self) -> bool:
        """False for a snapshot from before the end of training."""
        train = self.config.train
        return self.at_updates is None or train is None or self.at_updates >= train.updates


class OtherSchemaError(UserError):
    """A record of another schema version, written by another version of the program."""

    def __init__(self, path: Path, version: Any) -> None:
        super().__init__(path, version)
        self.path, self.version = path, version

    def __str__(self) -> str:
        return (
            f"{self.path}: schema version {self.version}, this program reads {SCHEMA_VERSION}; "
            "use the version of the program that wrote it, or another results folder"
        )


KEYS = {cls: frozenset(f.name for f in dataclasses.fields(cls)) for cls in (Record, Metric, TrainingCost, Preparation)}


def save_record(folder: Path, record: Record, items: Sequence[ItemRow] = ()) -> Record:
    """Write ``record`` (and its per-item scores) as the cell's next attempt; returns it with its attempt number.

    The record is written after its items, so a record that exists has its items.

    Raises:
        UserError: the folder cannot be written or the disk is full; no incomplete file stays.
    """
    records = folder / "records"
    for attempt in itertools.count(_last_attempt(folder, record.id) + 1):
        numbered = dataclasses.replace(record, attempt=attempt)
        items_path = records / f"{numbered.stem}.items.csv" if items else None
        if items_path is not None:
            if not write_new(items_path, _csv_text(items)):
                continue
            artefacts = {**record.artefacts, "items": f"records/{items_path.name}"}
            numbered = dataclasses.replace(numbered, artefacts=artefacts)
        published = False
        try:
            published = _publish(records / f"{numbered.stem}.json", json_text(to_dict(numbered)))
        finally:
            if items_path is not None and not published:
                items_path.unlink()
        if published:
            return numbered
    raise AssertionError("unreachable: attempts are endless")


def _publish(path: Path, text: str) -> bool:
    """Write a new record; False where a file or a packed record has its name, or is given it meanwhile."""
    if path.stem in packs.opened(path.parent.parent).lines or not write_new(path, text):
        return False
    line = packs.opened(path.parent.parent).lines.get(path.stem)
    if line is None or json_text(json.loads(bytes(line.record))) == text:
        return True
    path.unlink()
    return False


def chosen_studies(results: Path, names: Collection[str] = ()) -> list[str]:
    """The studies ``names`` of those that hold records in ``results``; without names all of them; sorted.

    Raises:
        UserError: one of them holds none, or there are none at all.
    """
    known = packs.studies_in(results)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"no study {name!r} in {results}{hint}; it holds: {', '.join(known) or 'none'}")
    if not known:
        raise UserError(f"no records in {results}; bench run quickstart makes some")
    return [name for name in known if not names or name in names]


def load_records(folder: Path, ids: Collection[str] | None = None) -> tuple[list[Record], list[str]]:
    """Records of one study's folder, oldest first, and a line for each file there that cannot be read as a record.

    Args:
        ids: of the cells whose records to read; None: all.
    """
    records: list[Record] = []
    errors: list[UserError] = []
    for path in record_paths(folder, ids):
        try:
            records.append(read_record(path))
        except UserError as error:
            errors.append(error)
    problems = [*filter(None, [packs.opened(folder).problem]), *problem_lines(errors)]
    return sorted(records, key=lambda r: (r.created, r.attempt)), problems


def load_typed(folder: Path) -> tuple[list[Record], list[str]]:
    """``load_records`` without the records whose config has a value that the dataclasses do not know."""
    records, problems = load_records(folder)
    typed = []
    for record in records:
        try:
            record.read(CellConfig)
        except UserError as error:
            problems.append(f"{record_file(folder, record)}: {record.stem}: {error}; move it elsewhere")
        else:
            typed.append(record)
    return typed, problems


def all_records(results: Path) -> list[Record]:
    """All records in ``results`` that can be read, of all studies."""
    return [record for study in packs.studies_in(results) for record in load_records(results / study)[0]]


def problem_lines(errors: Iterable[UserError]) -> list[str]:
    """A line for each error, but one line for all records of a folder that have another schema version."""
    lines: list[str] = []
    others: dict[Path, list[OtherSchemaError]] = {}
    for error in errors:
        if isinstance(error, OtherSchemaError):
            others.setdefault(error.path.parent.parent, []).append(error)
        else:
            lines.append(str(error))
    for folder, found in others.items():
        versions = ", ".join(dict.fromkeys(str(error.version) for error in found))
        all_of_them = (
            f"{folder}: {len(found)} records have schema version {versions}, this program reads {SCHEMA_VERSION}; "
            "use the version of the program that wrote them, or another results folder"
        )
        lines.append(all_of_them if len(found) > 1 else str(found[0]))
    return lines


def check_records(folder: Path) -> None:
    """Refuse to measure into the folder of a study that this program cannot read in full.

    Raises:
        UserError: records of another schema version, or a pack that is cut off.
    """
    if problem := packs.opened(folder).problem:
        raise UserError(problem)
    others: list[UserError] = []
    for path in record_paths(folder):
        try:
            read_record(path)
        except OtherSchemaError as error:
            others.append(error)
        except UserError:  # reports name this file, and its cell is measured again
            continue
    for line in problem_lines(others):
        raise UserError(line)


def record_paths(folder: Path, ids: Collection[str] | None = None) -> list[Path]:
    """Paths of the records of one study, of all cells or of those in ``ids``; a packed record has that of its old file.

    No file is opened.
    """
    names = {path.name for path in (folder / "records").glob("[!.]*.json")}  # before the pack: see read_record
    names |= {f"{stem}.json" for stem in packs.opened(folder).lines}
    chosen = names if ids is None else [name for name in names if name[:-5].rpartition("-")[0] in ids]
    return [folder / "records" / name for name in sorted(chosen)]


def record_file(folder: Path, record: Record) -> Path:
    """The file that holds ``record``: its own, or the pack."""
    own = folder / "records" / f"{record.stem}.json"
    return own if own.exists() else folder / packs.PACK


def read_record(path: Path) -> Record:
    """The record of the file ``path``, which may have been packed since, checked.

    Raises:
        UserError: not JSON, not a record, another schema version, or a file whose name or cell contradicts its id.
    """
    try:
        data = msgspec.json.decode(_content(path))
    except msgspec.MsgspecError as error:
        raise UserError(
            f"cannot read {path} as JSON: {error}; restore it, or move it elsewhere and run the cell again"
        ) from error
    if not isinstance(data, dict) or "schema_version" not in data or "cell" not in data:
        raise UserError(f"{path}: not a record of this suite; move it elsewhere")
    if data["schema_version"] != SCHEMA_VERSION:
        raise OtherSchemaError(path, data["schema_version"])
    record = _converted(data, path)
    if path.stem != record.stem:
        raise UserError(f"{path}: its name does not match its id and attempt ({record.stem}); rename it")
    if config_hash(record.cell) != record.id:
        raise UserError(f"{path}: its cell does not match its id (edited by hand?); delete it and run the cell again")
    return record


def _content(path: Path) -> bytes | msgspec.Raw:
    """The JSON of a record. The file is tried before the pack, so that a record that is packed meanwhile is found."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        line = packs.opened(path.parent.parent).lines.get(path.stem)
        if line is None:
            raise UserError(f"no such file or packed record: {path}") from error
        return line.record
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error


def _converted(data: dict[str, Any], path: Path) -> Record:
    """``data`` as a record: fast where all is well, else by ``from_dict``, whose errors name the wrong key."""
    try:
        record = msgspec.convert(data, Record)
    except msgspec.ValidationError:
        return from_dict(Record, data, str(path))
    known = data.keys() <= KEYS[Record] and all(
        about.keys() <= KEYS[Metric] for about in data.get("metrics", {}).values()
    )
    known = known and (record.training is None or data["training"].keys() <= KEYS[TrainingCost])
    known = known and (record.how is None or data["how"].keys() <= KEYS[Preparation])
    return record if known else from_dict(Record, data, str(path))


def read_items(folder: Path, record: Record) -> list[dict[str, Any]]:
    """The per-item scores of ``record``: numbers as floats, empty fields as NaN; empty list where it has none.

    Raises:
        UserError: it has scores, but they are gone or cannot be read.
    """
    rows = csv.DictReader(io.StringIO(items_text(folder, record), newline=""))
    return [{key: _number(key, value) for key, value in row.items()} for row in rows]


def items_text(folder: Path, record: Record) -> str:
    """The per-item scores of ``record`` as CSV; empty where it has none.

    Raises:
        UserError: it has scores, but they are gone or cannot be read.
    """
    try:
        return read_text(folder, record.artefacts["items"]) if "items" in record.artefacts else ""
    except UserError as error:
        raise UserError(f"per-item scores: {error}") from error


def read_text(folder: Path, name: str) -> str:
    """The text of an artefact, packed or not; ``name`` as in ``Record.artefacts``, relative to ``folder``.

    Raises:
        UserError: it is gone, or cannot be read.
    """
    home, within = folder, name
    if name.startswith("../"):  # of a record that was copied from another study
        _, study, within = name.split("/", 2)
        home = folder.parent / study
    try:
        return (home / within).read_bytes().decode()
    except FileNotFoundError as error:
        text = packs.opened(home).text(within)
        if text is None:
            raise UserError(f"{home / within} is gone; restore it, or run the cell again") from error
        return text
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{home / within} cannot be read ({error}); restore it, or run the cell again") from error


def artefact(folder: Path, record: Record, name: str) -> str | None:
    """The text of the artefact that ``record`` calls ``name``; None where it has none, or its file is gone."""
    if name not in record.artefacts:
        return None
    try:
        return read_text(folder, record.artefacts[name])
    except UserError:
        return None


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """Cell id -> the record that counts: the newest good one, else the newest."""
    chosen: dict[str, Record] = {}
    for record in records:
        held = chosen.get(record.id)
        if held is None or record.status in GOOD or held.status not in GOOD:
            chosen[record.id] = record
    return chosen


def _last_attempt(folder: Path, cell_id: str) -> int:
    """The highest attempt number that a record of the cell has; 0 without one."""
    names = [path.name.split(".")[0] for path in (folder / "records").glob(f"{cell_id}-*")]
    names += packs.opened(folder).lines  # after the files: what is packed meanwhile is in one of the two
    attempts = [name.removeprefix(f"{cell_id}-") for name in names if name.startswith(f"{cell_id}-")]
    return max((int(attempt) for attempt in attempts if attempt.isdigit()), default=0)


def _csv_text(items: Sequence[ItemRow]) -> str:
    """Rows as CSV; NaN becomes an empty field."""
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
