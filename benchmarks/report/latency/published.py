"""What papers state about speed, from ``results/published/speed.csv``: shown beside ours, never mixed with it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError


@dataclass(frozen=True)
class Stated:
    """One stated figure; numbers that the paper leaves out are None."""

    paper: str
    source: str
    system: str
    paradigm: str
    hardware: str
    metric: str
    value: float
    duration_s: float | None
    layers: float | None
    batch: float | None
    steps: float | None
    until_batch: float | None


def stated(results: Path) -> list[Stated]:
    """All stated figures; none where the results folder has no such file.

    Raises:
        UserError: a line without its columns or with a value that is no number.
    """
    path = results / "published" / "speed.csv"
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        try:
            return [_line(row) for row in csv.DictReader(file)]
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path}: a line lacks a column or a number ({error}); restore the file") from error


def _line(row: dict[str, str]) -> Stated:
    return Stated(
        row["paper"], row["source"], row["system"], row["paradigm"], row["hardware"], row["metric"],
        float(row["value"]),
        _number(row["duration_s"]), _number(row["layers"]), _number(row["batch"]), _number(row["steps"]),
        _number(row["until_batch"]),
    )  # fmt: skip


def _number(text: str) -> float | None:
    return float(text) if text else None
