"""Tables for the terminal: plain text that is never cut to the terminal's width, or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as text: aligned columns (numbers to the right), two spaces apart, with a rule below the header."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) or row[i] == "" for row in rows) for i in range(len(header))
    ]

    def line(values: Sequence[str]) -> str:
        return "  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right)).rstrip()

    return "\n".join([line(list(header)), "  ".join("-" * w for w in widths), *map(line, cells)])


def shown(header: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> str:
    """The table as a command prints it: text, or with ``--json`` a list of objects whose keys are the header.

    In JSON empty cells, and numbers that are not finite, are ``null``.
    """
    if not as_json:
        return table(header, rows)
    objects = [{key: _value(cell) for key, cell in zip(header, row, strict=True)} for row in rows]
    return json.dumps(objects, indent=1, ensure_ascii=False, allow_nan=False)


def duration(seconds: float | None) -> str:
    """An estimated time with a unit: ``45 s``, ``12 min``, ``3.5 h``; ``?`` for None."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float | None) -> str:
    """A number of bytes with a unit, e.g. ``1.7 GB``; ``?`` for None."""
    if count is None:
        return "?"
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _value(cell: Any) -> Any:
    empty = cell == "" or (isinstance(cell, float) and not math.isfinite(cell))
    return None if empty else cell


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
