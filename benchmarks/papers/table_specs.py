"""A paper's tables and figures, declared: one YAML file per paper, beside this module.

A *sheet* is one table or figure. Its published side is a filter on ``results/published/results.csv``: the tables it is
printed in, the settings ``by`` which lines differ, and its columns. Its own side says which arm of which study answers
a line; a line without an arm says why. Published and own numbers never share a column.

    sheets:
      - id: table-2
        name: Table 2
        title: AR and FM after one million updates
        tables: [Table 2]
        by: [frame_rate_hz]
        columns: [fad, clap, {metric: pq, ours: ""}]
        study: small_cpu
        rows:
          - {system: AR, arm: ar}
          - {system: FM (VAE), why: no study with VAE latents has run}
          - {arm: mar}                        a line that the paper lacks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.config import from_dict
from ...common.errors import UserError, did_you_mean
from ..analysis.published import read_yaml

FOLDER = Path(__file__).parent / "sheets"


@dataclass(frozen=True)
class Column:
    """A published metric, and the family of ours that answers it (empty: nothing here measures it).

    Attributes:
        where: further settings of the published cell, for tables whose columns are settings (batch 1, 2, 4 ...).
        cell: the same for our records, by dotted key of the record's cell.
    """

    metric: str
    ours: str = ""
    name: str = ""
    where: dict[str, str] = field(default_factory=dict)
    cell: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The heading."""
        return self.name or self.metric


@dataclass(frozen=True)
class Row:
    """Which of our arms answers the published lines of ``system`` (``*``: of any), or why none does.

    Attributes:
        where: only lines with these settings.
        label: how the line is called; else as published.
        arm: an arm's label in ``study`` (or the sheet's); ``cell``: what else its records must have, by dotted key;
            ``run``: the command where that is neither the study's nor the sheet's.
        why: the reason for an empty cell.
    """

    system: str = ""
    where: dict[str, str] = field(default_factory=dict)
    label: str = ""
    arm: str = ""
    study: str = ""
    cell: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    why: str = ""


@dataclass(frozen=True)
class Curve:
    """The published side of a figure, where its numbers stand in a table: a setting along x, a line per ``lines``."""

    table: str
    x: str
    lines: str = ""
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """Our side of a figure.

    Attributes:
        x: dotted key of the record's cell along the horizontal axis, or ``system``.
        y: for a heat map, the key along the vertical axis.
        metrics: families, a panel each.
        arms: of the study; none: all. ``cell``: what their records must have.
        lines: keys that make a line of its own; ``system`` is the arm's label.
        log: axes on a log scale.
        stated: the published side.
    """

    x: str
    metrics: tuple[str, ...]
    y: str = ""
    arms: tuple[str, ...] = ()
    cell: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ("system",)
    log: tuple[str, ...] = ()
    stated: Curve | None = None


@dataclass(frozen=True)
class Sheet:
    """One table or figure.

    Attributes:
        id: of its files. name: as the paper calls it.
        study: of our records; ``run``: the command where ``bench run <study>`` is not enough; ``paper_scale``: the
            command at the paper's scale.
        varies: dotted prefixes in which its records may differ though they judge the score (a clip's length ...).
        why: the whole sheet has no answer here, for this reason.
    """

    id: str
    name: str
    title: str
    tables: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    plot: Plot | None = None
    study: str = ""
    run: str = ""
    paper_scale: str = ""
    varies: tuple[str, ...] = ()
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class Conditions:
    """Under which our numbers could stand beside the paper's.

    Attributes:
        evaluators, corpora: names of ours that are the paper's; ``evaluator``, ``corpus``: the paper's, in words.
        width, layers: of its backbone; ``budget``: its training, in words.
        hardware: its timings are of.
    """

    evaluator: str
    corpus: str
    budget: str
    hardware: str = ""
    evaluators: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    width: int = 0
    layers: int = 0


@dataclass(frozen=True)
class Paper:
    """A paper's sheets.

    Attributes:
        absent: published metric -> why nothing here measures it.
        other: the reason for lines that no row answers.
    """

    key: str
    title: str
    conditions: Conditions
    sheets: tuple[Sheet, ...]
    absent: dict[str, str] = field(default_factory=dict)
    other: str = "another system, not built here"


def names() -> list[str]:
    """The papers there are sheets for."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(key: str) -> Paper:
    """The sheets of a paper.

    Raises:
        UserError: no such paper; a sheet with an unknown key.
    """
    if key not in names():
        raise UserError(f"no paper {key!r}{did_you_mean(key, names())}; known: {', '.join(names())}")
    data = read_yaml(FOLDER / f"{key}.yaml")
    data["sheets"] = [_sheet(sheet) for sheet in data["sheets"]]
    return from_dict(Paper, {"key": key, **data}, f"{key}.yaml")


def _sheet(sheet: Mapping[str, Any]) -> dict[str, Any]:
    """A column may be given by its name alone, which is then ours too."""
    columns = [{"metric": c, "ours": c} if isinstance(c, str) else c for c in sheet.get("columns", [])]
    return {**sheet, "columns": columns}
