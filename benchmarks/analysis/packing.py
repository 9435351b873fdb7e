"""Moves the records of a study, with their text files, into one file (packs.py), and back into files of their own.

A file is deleted only after the pack is on the disk and reads back as the same bytes. The pack is replaced as a whole,
by its old content followed by a new member, so that a crash at any time leaves each record in at least one of the two
forms; where it is in both, the next ``bench pack`` deletes its files.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...common.errors import UserError
from ...common.files import atomic_path, json_text, write_text
from ...common.locks import held_alone
from . import packs
from .records import SCHEMA_VERSION, OtherSchemaError, problem_lines, read_record

TEXT = (".csv", ".json", ".txt")  # endings of the artefacts that are packed; audio stays as it is
BROKEN = f"{packs.PACK}.broken"
Packed = tuple[dict[str, Any], dict[str, str]]  # a record and its text files by name


@dataclass(frozen=True)
class Moved:
    """What was done.

    Attributes:
        records: number of records that were moved.
        files: number of files that were deleted or written.
        left: a line for each record or file that stays as it is.
    """

    records: int
    files: int
    left: list[str] = field(default_factory=list)


def pack(folder: Path) -> Moved:
    """Pack all records of one study that are files of their own, and delete these files.

    A record that could not be unpacked byte for byte stays as it is.

    Raises:
        UserError: another process works in the folder, its pack is cut off, or it cannot be written.
    """
    with held_alone(folder, f"bench pack {folder.name}"):
        held, left = packs.opened(folder), list[str]()
        if held.problem:
            raise UserError(held.problem)
        found: dict[str, Packed] = {}
        for path in sorted((folder / "records").glob("[!.]*.json")):
            try:
                found[path.stem] = _to_pack(folder, path)
            except UserError as error:
                left.append(str(error))
            except FileNotFoundError:  # its writer took it back, since another had the same number
                continue
        new = {stem: packed for stem, packed in found.items() if stem not in held.lines}
        if new:
            _append(held, new)
        deleted = _delete(folder, found, left)
    return Moved(len(new), deleted, left)


def unpack(folder: Path) -> Moved:
    """Write every packed record of one study to files of its own again, and delete the pack.

    Of a pack that is cut off, what can be read becomes files; the pack itself is kept as ``records.jsonl.gz.broken``.

    Raises:
        UserError: another process works in the folder, a file of another content has a record's name, or the pack
            holds records of another schema version or names of files outside the folder.
    """
    with held_alone(folder, f"bench pack {folder.name} --undo"):
        held = packs.opened(folder)
        records = {f"records/{stem}.json": json.loads(bytes(line.record)) for stem, line in held.lines.items()}
        _check_content(folder, records, held)
        missing = [name for name in held.files if not (folder / name).exists()]  # a file is newer than what is packed
        for name in missing:
            write_text(folder / name, held.text(name) or "")
        for name, record in records.items():  # after their text files, so that a record that exists has its items
            write_text(folder / name, json_text(record))
        if held.problem:
            held.path.rename(held.path.with_name(BROKEN))
        held.path.unlink(missing_ok=True)
    return Moved(len(records), len(records) + len(missing))


def _to_pack(folder: Path, path: Path) -> Packed:
    """The record of the file ``path`` and its text files.

    Raises:
        UserError: it is not a valid record, or it could not be unpacked to the same bytes.
    """
    record, content = read_record(path), path.read_bytes()
    data = json.loads(content)
    if json_text(data).encode() != content:
        raise UserError(f"{path}: not written the way this program writes records (edited by hand?)")
    texts = {}
    for name in record.artefacts.values():
        if not name.endswith(TEXT) or not _is_inside(name):
            continue
        try:
            texts[name] = (folder / name).read_bytes().decode()
        except FileNotFoundError:  # deleted to save space, or packed already
            continue
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: its file {folder / name} is not UTF-8 text") from error
    return data, texts


def _append(held: packs.Pack, new: Mapping[str, Packed]) -> None:
    """Add ``new`` records to a pack, and read all of them back before the old file is replaced."""
    old = held.path.read_bytes() if held.lines else b""
    with atomic_path(held.path) as temporary:
        temporary.write_bytes(old + packs.encoded(new.values()))
        made = packs.read(temporary)
        same = made.lines.keys() == held.lines.keys() | new.keys() and not made.problem
        if not same or any(_of_line(made.lines[stem]) != packed for stem, packed in new.items()):
            raise UserError(f"{held.path} does not read back as it was written; nothing was deleted, check the disk")


def _of_line(line: packs.Line) -> Packed:
    return json.loads(bytes(line.record)), {name: json.loads(bytes(text)) for name, text in line.files.items()}


def _delete(folder: Path, found: Mapping[str, Packed], left: list[str]) -> int:
    """Delete the files of ``found`` whose bytes the pack holds; returns how many, and adds the others to ``left``."""
    held, deleted = packs.opened(folder), 0
    packed = {f"records/{stem}.json": json_text(json.loads(bytes(held.lines[stem].record))) for stem in found}
    texts = {name: held.text(name) for _, files in found.values() for name in files}
    for name, text in {**texts, **packed}.items():  # records last, so that a record that exists has its items
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            if text is None or path.read_bytes() != text.encode():
                left.append(f"{path} differs from what is packed under this name; move it elsewhere if not wanted")
                continue
            path.unlink()
            deleted += 1
    for emptied in {(folder / name).parent for name in (*texts, *packed)}:
        with contextlib.suppress(OSError):  # not empty
            emptied.rmdir()
    return deleted


def _check_content(folder: Path, records: Mapping[str, Any], held: packs.Pack) -> None:
    """Refuse a pack whose content cannot be written as files here, before the first is."""
    if held.problem and (folder / BROKEN).exists():
        raise UserError(f"{folder / BROKEN} is in the way: another broken pack; move it elsewhere")
    for name in (*records, *held.files):
        if not _is_inside(name):
            raise UserError(f"{held.path} names a file outside of its folder ({name}); do not use it")
    versions = {name: record.get("schema_version") for name, record in records.items()}
    others = [OtherSchemaError(folder / name, found) for name, found in versions.items() if found != SCHEMA_VERSION]
    for line in problem_lines(others):
        raise UserError(line)
    for name, record in records.items():
        path = folder / name
        if path.exists() and path.read_bytes() != json_text(record).encode():
            raise UserError(f"{path} differs from the packed record of this name; move it elsewhere")


def _is_inside(name: str) -> bool:
    """Whether a name stands for a file inside the study's folder, on any system."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name
