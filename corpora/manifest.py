"""Manifests: a table of clips as manifest.csv, or the same as one JSON object a line in manifest.jsonl."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import UserError, did_you_mean
from ..common.files import no_folder

NAMES = ("manifest.csv", "manifest.jsonl")
REQUIRED = ("path", "caption")  # the caption of a corpus for pre-training may be missing


@dataclass(frozen=True)
class Row:
    """One row; ``where`` names it in errors. Row 1 is the first after the header."""

    cells: Mapping[str, str]
    where: str

    def get(self, column: str) -> str:
        """The cell, stripped; empty where the column is absent."""
        return self.cells.get(column, "").strip()

    def required(self, column: str) -> str:
        """The cell.

        Raises:
            UserError: it is empty.
        """
        if not self.get(column):
            raise UserError(f"{self.where}, column {column}: empty; fill it in or remove the row")
        return self.get(column)

    def number(self, column: str) -> float | None:
        """The cell as a positive number, None where it is empty.

        Raises:
            UserError: it is not a positive number.
        """
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
    """The manifest in the folder ``spec``, or ``spec`` itself where it is a .csv or .jsonl file.

    Raises:
        UserError: there is none.
    """
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


def read_manifest(path: Path, required: Sequence[str] = REQUIRED) -> list[Row]:
    """All rows in their order, with every required column present.

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


def _csv_rows(text: str, path: Path, required: Sequence[str]) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _require_columns(reader.fieldnames or (), required, str(path))
        for number, cells in enumerate(reader, start=1):
            where = f"{path} row {number}"
            if None in cells:
                raise UserError(f"{where}: more cells than columns; quote captions that hold commas")
            yield Row({name: value or "" for name, value in cells.items()}, where)
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}: not CSV ({error}); check the quotes") from error


def _json_rows(text: str, path: Path, required: Sequence[str]) -> Iterator[Row]:
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
        yield Row({str(name): _text(value) for name, value in cells.items()}, where)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _require_columns(found: Any, required: Sequence[str], where: str) -> None:
    for column in required:
        if column not in found:
            hint = did_you_mean(column, list(map(str, found)))
            raise UserError(
                f"{where}: no column {column!r}{hint}; found: {', '.join(map(str, found)) or 'none'}; add it"
            )
