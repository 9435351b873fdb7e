"""Annotations as JSON files, one a clip, with the field names of ``clip.Annotation``.

    {"key": "C:major", "tempo": 130, "meter": "3/4", "lead": "vibraphone", "comp": "piano", "drums": "waltz",
     "chords": [[0.0, 1.38, "C:maj"]], "beats": [0.0, 0.46], "downbeats": [0.0],
     "melody": [[0.0, 0.46, 72]], "drum_hits": [[0.0, 36]]}

Every field may be absent; fields of other names are left alone. ``instruments`` may be given as a mapping, or by the
roles ``lead``, ``comp`` and ``bass`` beside the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import read_json
from .clip import Annotation
from .pitch import normalise_key

ROLES = ("lead", "comp", "bass")


def read_annotation(path: Path, where: str) -> Annotation:
    """Read one annotation file.

    Args:
        where: how to call the file's origin in an error, e.g. ``"songs/manifest.csv row 3"``.

    Raises:
        UserError: the file is missing, is not JSON, or a field has another form than the module's example.
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
                f"{where}: field {name!r} of {path} is malformed ({error}); see corpora/annotation_json.py"
            ) from error

    return Annotation(
        chords=field("chords", _rows(float, float, str), ()),
        beats=field("beats", _numbers, ()),
        downbeats=field("downbeats", _numbers, ()),
        melody=field("melody", _rows(float, float, int), ()),
        drum_hits=field("drum_hits", _rows(float, int), ()),
        key=field("key", normalise_key, None),
        tempo=field("tempo", float, None),
        meter=field("meter", str, None),
        instruments=field("instruments", dict, {}) or {role: str(data[role]) for role in ROLES if data.get(role)},
        drums=field("drums", str, None),
    )


def _numbers(values: list[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _rows(*types: type) -> Callable[[list[list[Any]]], tuple[tuple[Any, ...], ...]]:
    def convert(rows: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(kind(value) for kind, value in zip(types, row, strict=True)) for row in rows)

    return convert
