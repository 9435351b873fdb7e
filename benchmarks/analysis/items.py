"""Per-item scores by column. They are read once, as a report asks for those of a record many times."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Mapping
from pathlib import Path

from ...common.errors import UserError
from .records import Record, read_text

Columns = Mapping[str, tuple[str, ...]]


def item_columns(folder: Path, record: Record) -> Columns:
    """Column -> its values as text, one for each item of ``record``; empty where it has no scores per item.

    Raises:
        UserError: it has scores, but they are gone or cannot be read.
    """
    name = record.artefacts.get("items")
    if name is None:
        return {}
    try:
        return _columns(read_text(folder, name))
    except UserError as error:
        raise UserError(f"per-item scores: {error}") from error


def item_scores(folder: Path, record: Record, metric: str) -> dict[str, float]:
    """Item -> its score on a metric, NaN where it has none; empty where the metric is not scored per item."""
    columns = item_columns(folder, record)
    texts = columns.get(metric, ())
    return {item: float(text) if text else math.nan for item, text in zip(columns.get("item", ()), texts)}


@functools.lru_cache(maxsize=512)
def _columns(text: str) -> Columns:
    header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
    return dict(zip(header, zip(*rows)))
