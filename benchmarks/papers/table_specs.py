"""A paper's tables and figures as declared in ``tables/<paper>.yaml``.

The published side of a table is a filter on the published results: where they are printed, the settings ``by`` which
its lines differ, and its columns. Our side says which arm of which study answers a line, or why none does. Published
and own numbers never share a column.

    tables:
      - id: table-2
        name: Table 2
        title: AR and FM after one million updates
        printed_in: [Table 2]
        by: [frame_rate_hz]
        columns: [fad, clap, {metric: pq, ours: ""}]
        study: small_cpu
        rows:
          - {system: AR, arm: ar}
          - {system: FM (VAE), why: no study with VAE latents has run}
          - {arm: mar}                        a line that the paper does not have
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.config import from_dict
from ...common.errors import UserError, did_you_mean
from ..analysis.published import read_yaml

FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class ColumnSpec:
    """A column: a published metric, and the family of ours that answers it (empty: nothing here measures it).

    Attributes:
        name: the heading, where it is not the metric.
        where: further settings of the published cells, for tables whose columns are settings (batch 1, 2, 4 ...).
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
class RowSpec:
    """Which of our arms answers the published lines of ``system`` (``*``: of any), or why none does.

    Attributes:
        where: only lines with these settings.
        label: the name of the line, where it is not the published one.
        arm: label of an arm of ``study`` (default: the table's).
        cell: what the arm's records must have, by dotted key.
        run: the command that makes them, where it is not the study's or the table's.
        why: the reason for an empty line.
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
class PublishedCurve:
    """The published side of a figure whose numbers stand in a table: a setting along x, a line per ``lines``."""

    table: str
    x: str
    lines: str = ""
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class FigureSpec:
    """Our side of a figure.

    Attributes:
        x: dotted key of the record's cell along the horizontal axis, or ``system``.
        metrics: families of metrics, a panel each.
        y: for a heat map, the key along the vertical axis.
        arms: arms of the study; empty: all.
        cell: what their records must have.
        lines: keys whose values make a line each; ``system`` is the arm's label.
        log: axes on a log scale.
        published: the published side.
    """

    x: str
    metrics: tuple[str, ...]
    y: str = ""
    arms: tuple[str, ...] = ()
    cell: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ("system",)
    log: tuple[str, ...] = ()
    published: PublishedCurve | None = None


@dataclass(frozen=True)
class TableSpec:
    """One table or figure.

    Attributes:
        id: name of its files.
        name: as the paper calls it.
        printed_in: the places of the published results that make up the table.
        plot: our side of a figure; None for a table.
        study: the study of our records.
        run: the command that makes them, where ``bench run <study>`` is not enough.
        paper_scale: the command at the paper's scale.
        varies: dotted keys, or the beginnings of such, in which the records may differ although they decide scores
            (a clip's length ...). What rows, columns and axes are declared by may differ anyway.
        why: why nothing here answers the whole table.
    """

    id: str
    name: str
    title: str
    printed_in: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    columns: tuple[ColumnSpec, ...] = ()
    rows: tuple[RowSpec, ...] = ()
    plot: FigureSpec | None = None
    study: str = ""
    run: str = ""
    paper_scale: str = ""
    varies: tuple[str, ...] = ()
    why: str = ""
    note: str = ""

    @property
    def heading(self) -> str:
        """Its name and title."""
        return f"{self.name}: {self.title}"

    @property
    def free(self) -> list[str]:
        """The dotted keys in which its records may differ: ``varies``, and those that rows, columns and axes name."""
        plot = self.plot
        axes = [plot.x, plot.y, *plot.lines] if plot else []
        cells = [*(row.cell for row in self.rows), *(column.cell for column in self.columns)]
        return [*self.varies, *(key for cell in cells for key in cell), *filter(None, axes)]


@dataclass(frozen=True)
class PaperConditions:
    """The conditions under which our numbers could stand beside the paper's.

    Attributes:
        evaluator, corpus, budget: the paper's evaluator, corpus and training, in words.
        hardware: what its timings were measured on.
        evaluators, corpora: names of ours that are the paper's.
        width, layers: of its backbone.
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
class PaperSpec:
    """A paper with its tables and figures.

    Attributes:
        absent: published metric -> why nothing here measures it.
        other: the reason for lines that no row answers.
    """

    key: str
    title: str
    conditions: PaperConditions
    tables: tuple[TableSpec, ...]
    absent: dict[str, str] = field(default_factory=dict)
    other: str = "another system, not built here"


def paper_keys() -> list[str]:
    """The papers whose tables are declared."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_paper(key: str) -> PaperSpec:
    """Read the tables and figures of a paper.

    Raises:
        UserError: no such paper; a table with an unknown key.
    """
    if key not in paper_keys():
        raise UserError(f"no paper {key!r}{did_you_mean(key, paper_keys())}; known: {', '.join(paper_keys())}")
    data = read_yaml(FOLDER / f"{key}.yaml")
    data["tables"] = [_with_columns(table) for table in data["tables"]]
    return from_dict(PaperSpec, {"key": key, **data}, f"{key}.yaml")


def _with_columns(table: Mapping[str, Any]) -> dict[str, Any]:
    """A column may be given by its name alone, which is then the name of our metric too."""
    columns = [{"metric": c, "ours": c} if isinstance(c, str) else c for c in table.get("columns", [])]
    return {**table, "columns": columns}
