"""Files that describe a folder of sound files: the manifest, a table of clips, and annotations, one JSON file per clip.

A manifest is manifest.csv, or the same as one JSON object per line in manifest.jsonl. An annotation has the field names
of ``clip.Annotation``:

    {"key": "C:major", "tempo": 130, "meter": "3/4", "lead": "vibraphone", "comp": "piano", "drums": "waltz",
     "chords": [[0.0, 1.38, "C:maj"]], "beats": [0.0, 0.46], "downbeats": [0.0],
     "melody": [[0.0, 0.46, 72]], "drum_hits": [[0.0, 36]]}

Every field may be absent, and unknown fields are ignored. ``instruments`` may be a mapping, or be given by the roles
``lead``, ``comp`` and ``bass`` beside the other fields.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import UserError, did_you_mean
from ..common.files import no_folder, read_json
from .clip import Annotation
from .pitch import normalise_key

NAMES = ("manifest.csv", "manifest.jsonl")
REQUIRED = ("path", "caption")  # columns; a corpus for pre-training needs no caption
ROLES = ("lead", "comp", "bass")


@dataclass(frozen=True)
class ManifestRow:
    """One row of a manifest.

    Attributes:
        cells: column -> text.
        where: what names the row in errors; row 1 is the first after the header.
    """

    cells: Mapping[str, str]
    where: str

    def get(self, column: str) -> str:
        """The stripped text of a cell; empty if the column is absent."""
        return self.cells.get(column, "").strip()

    def required(self, column: str) -> str:
        """The stripped text of a cell; a UserError if it is empty."""
        if not self.get(column):
            raise UserError(f"{self.where}, column {column}: empty; fill it in or remove the row")
        return self.get(column)

    def number(self, column: str) -> float | None:
        """The cell as a positive number, None if it is empty; a UserError for another text."""
        text = self.get(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise UserError(
                f"{self.where}, column {column}: {text!r} is not a positive number; correct it or clear the cell"
            )
        return value


def find_manifest(spec: str) -> Path:
    """The manifest in the folder ``spec``, or ``spec`` itself where it is a .csv or .jsonl file; else a UserError."""
    path = Path(spec).expanduser()
    if path.is_file() and path.suffix in (".csv", ".jsonl"):
        return path
    if path.is_file():
        raise UserError(f"corpus {spec}: not a .csv or .jsonl manifest; give a manifest or the folder that holds one")
    if not path.is_dir():
        hint = did_you_mean(spec, ["builtin", "builtin:fluidsynth"])
        raise UserError(
            f"corpus {spec}: {no_folder(path)}{hint}; give 'builtin' or a folder that holds {' or '.join(NAMES)}"
        )
    for name in NAMES:
        if (path / name).is_file():
            return path / name
    raise UserError(f"corpus {spec}: no {' or '.join(NAMES)} in it; write one with columns {', '.join(REQUIRED)}")


def read_manifest(path: Path, required: Sequence[str] = REQUIRED) -> list[ManifestRow]:
    """All rows of a manifest in order; every required column is present.

    Raises:
        UserError: the file cannot be read, a required column is missing, or there are no rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); save it as UTF-8 text") from error
    rows = list((_json_rows if path.suffix == ".jsonl" else _csv_rows)(text, path, required))
    if not rows:
        raise UserError(f"{path}: no rows; add one per audio file")
    return rows


def _csv_rows(text: str, path: Path, required: Sequence[str]) -> Iterator[ManifestRow]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _require_columns(reader.fieldnames or (), required, str(path))
        for number, cells in enumerate(reader, start=1):
            where = f"{path} row {number}"
            if None in cells:
                raise UserError(f"{where}: more cells than columns; quote captions that hold commas")
            yield ManifestRow({name: value or "" for name, value in cells.items()}, where)
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}: not CSV ({error}); check the quotes") from error


def _json_rows(text: str, path: Path, required: Sequence[str]) -> Iterator[ManifestRow]:
    lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    for number, line in lines:
        where = f"{path} row {number}"
        try:
            cells = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: not JSON ({error}); write one object per line") from error
        if not isinstance(cells, dict):
            raise UserError(f"{where}: not a JSON object; write one object per line")
        _require_columns(cells, required, where)
        yield ManifestRow({name: "" if value is None else str(value) for name, value in cells.items()}, where)


def _require_columns(found: Any, required: Sequence[str], where: str) -> None:
    for column in required:
        if column not in found:
            hint = did_you_mean(column, list(map(str, found)))
            raise UserError(
                f"{where}: no column {column!r}{hint}; found: {', '.join(map(str, found)) or 'none'}; add it"
            )


def read_annotation(path: Path, where: str) -> Annotation:
    """Read one annotation file.

    Args:
        where: what names the file in an error, e.g. ``"songs/manifest.csv row 3"``.

    Raises:
        UserError: the file is missing, is not JSON, or a field has another form than the example above.
    """
    try:
        data = read_json(path)
    except UserError as error:
        raise UserError(f"{where}, column annotation: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{where}: {path} must hold one JSON object, not {type(data).__name__}")

    def field(name: str, convert: Callable[[Any], Any], empty: Any) -> Any:
        value = data.get(name)
        try:
            return empty if value in (None, "") else convert(value)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{where}: field {name!r} of {path} is malformed ({error}); see corpora/manifest.py"
            ) from error

    return Annotation(
        chords=field("chords", _rows(float, float, str), ()),
        beats=field("beats", lambda times: tuple(map(float, times)), ()),
        downbeats=field("downbeats", lambda times: tuple(map(float, times)), ()),
        melody=field("melody", _rows(float, float, int), ()),
        drum_hits=field("drum_hits", _rows(float, int), ()),
        key=field("key", normalise_key, None),
        tempo=field("tempo", float, None),
        meter=field("meter", str, None),
        instruments=field("instruments", dict, {}) or {role: str(data[role]) for role in ROLES if data.get(role)},
        drums=field("drums", str, None),
    )


def _rows(*types: type) -> Callable[[list[list[Any]]], tuple[tuple[Any, ...], ...]]:
    """A function that converts each row of a list to a tuple with these types."""

    def convert(rows: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(kind(value) for kind, value in zip(types, row, strict=True)) for row in rows)

    return convert
