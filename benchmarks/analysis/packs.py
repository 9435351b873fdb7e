"""Packed records: one study's records in one file, ``results/<study>/records.jsonl.gz``.

The file is a sequence of gzip members, one for each call of ``bench pack``; each member holds JSON lines. A line is one
record with the text files that belong to it::

    {"record": {...}, "files": {"records/ID-1.items.csv": "text", "chords/ID.json": "text"}}

Records are found by the name that their own file had (``ID-1``). A line is decoded only when it is needed.
"""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ...common.errors import UserError
from ...common.lines import count

PACK = "records.jsonl.gz"


def studies_in(results: Path) -> list[str]:
    """Names of the folders in ``results`` that hold records, as files or packed; sorted."""
    found = [path.parent.name for kind in ("records", PACK) for path in results.glob(f"[!.]*/{kind}")]
    return sorted(set(found))


class Line(msgspec.Struct):
    """One record and its text files by name, all still as JSON."""

    record: msgspec.Raw
    files: dict[str, msgspec.Raw]


class _Head(msgspec.Struct):
    id: str
    attempt: int


@dataclass(frozen=True)
class Pack:
    """The content of a pack.

    Attributes:
        lines: name of a record (``ID-1``) -> its line.
        problem: a sentence that the rest of the file cannot be read, and what to do; empty: all of it was read.
    """

    path: Path
    lines: Mapping[str, Line] = field(default_factory=dict)
    problem: str = ""

    @functools.cached_property
    def files(self) -> dict[str, msgspec.Raw]:
        """Name of a text file -> its text as JSON; of several with one name, the one that was packed last."""
        return {name: text for line in self.lines.values() for name, text in line.files.items()}

    def text(self, name: str) -> str | None:
        """The text file ``name``; None where the pack has none."""
        held = self.files.get(name)
        return None if held is None else msgspec.json.decode(held, type=str)


def opened(folder: Path) -> Pack:
    """The pack of one study's folder, empty where there is none; it is read again only after the file has changed."""
    path = folder / PACK
    try:
        state = path.stat()
    except OSError:
        return Pack(path)
    return _opened(path, state.st_ino, state.st_size, state.st_mtime_ns)


def record_path(given: Path) -> Path:
    """The path of a record's file, which may have been packed.

    Args:
        given: ``results/<study>/records/<id>-<attempt>.json``, or shorter ``results/<study>/<id>-<attempt>``.

    Raises:
        UserError: a pack, which holds many records.
    """
    if given.name == PACK:
        raise UserError(f"{given} holds many records; name one of them: {given.parent}/ID-ATTEMPT")
    if given.suffix == ".json":
        return given
    folder = given.parent if given.parent.name == "records" else given.parent / "records"
    return folder / f"{given.name}.json"


def encoded(lines: Iterable[tuple[Mapping[str, Any], Mapping[str, str]]]) -> bytes:
    """One gzip member of records with their text files: the same bytes for the same content."""
    texts = (
        json.dumps(
            {"record": record, "files": files}, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        for record, files in lines
    )  # fmt: skip
    return gzip.compress("".join(f"{text}\n" for text in texts).encode(), mtime=0)


@functools.lru_cache(maxsize=128)
def _opened(path: Path, *state: int) -> Pack:
    """``state`` changes with the file, so that a changed file is read again."""
    return read(path)


def read(path: Path) -> Pack:
    """The content of the file ``path``; ``problem`` says what is wrong with it."""
    try:
        members, fault = _members(path.read_bytes())
    except OSError as error:
        return Pack(path, problem=f"cannot read {path}: {error.strerror or error}; check its permissions")
    lines: dict[str, Line] = {}
    try:
        for line in _decoded(members):
            lines[_name(line, len(lines) + 1)] = line
    except msgspec.MsgspecError:
        fault = fault or "damaged"
    return Pack(path, lines, _problem(path, fault, len(lines)) if fault else "")


def _members(data: bytes) -> tuple[list[bytes], str]:
    """The content of the gzip members, of one that is cut off as far as it goes, and what is wrong with the file."""
    found: list[bytes] = []
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            found.append(stream.decompress(data))
        except zlib.error:  # a member whose checksum fails is not trusted
            return found, "damaged"
        if not stream.eof:
            return found, "cut off"
        data = stream.unused_data
    return found, "" if found else "cut off"


def _decoded(members: Iterable[bytes]) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(Line)
    for member in members:
        for line in member.splitlines():
            yield decoder.decode(line)


def _name(line: Line, number: int) -> str:
    """The name that the record's file had; ``line-NUMBER`` where a record of another schema does not hold it."""
    try:
        head = msgspec.json.decode(line.record, type=_Head)
    except msgspec.MsgspecError:
        return f"line-{number}"
    return f"{head.id}-{head.attempt}"


def _problem(path: Path, fault: str, records: int) -> str:
    """A sentence on a pack with a ``fault`` after so many ``records``."""
    undo = f"bench pack {path.parent.name} --undo --results {path.parent.parent}"
    told = f"{path} is {fault} after {count(records, 'record')}"
    return f"{told}; restore it from git or from a copy, or keep what can be read with: {undo}"
