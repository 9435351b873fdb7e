"""A paper's page: every table and figure of its sheets in Markdown, with LaTeX, CSV and PNG beside.

results/papers/<paper>.md
results/papers/<paper>/<sheet>.csv, .tex, .png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...common.errors import UserError
from ..analysis import published
from ..analysis.records import record_file
from ..axes.fidelity.report.tables import figure as shown
from ..report.chapter import anchor
from ..report.figure_cache import drawn, fingerprint, write_changed
from ..report.markup import folded, image, link
from ..report.table import Table
from . import tables
from .plots import Panel, draw, panels
from .selection import Library, missing
from .table_cells import Filled, apart, fill
from .table_specs import Paper, Sheet, load

INTRODUCTION = """\
Left, as printed: what the paper states. Right of ‖: what was measured here, under the names of its own metrics, in
italics where it cannot be compared (the notes below a table say why). A figure links to its record; `s0`, `s1` ... are
the records of all seeds. Intervals are 95% bootstraps, clustered on prompt and seed."""


@dataclass(frozen=True)
class Part:
    """One sheet, told: its Markdown for a page in any folder is made by ``section``."""

    sheet: Sheet
    filled: Filled | None
    panels: list[Panel]
    figure: Path | None
    why: str


@dataclass(frozen=True)
class Page:
    """A paper with all its sheets."""

    paper: Paper
    parts: list[Part]
    file: Path
    folder: Path


def make_page(key: str, results: Path, library: Library, figures: bool = True) -> Page:
    """Fill all sheets of a paper and write what stands beside its page; ``figures`` False leaves them as they are.

    Raises:
        UserError: no such paper; no published data in the results folder.
    """
    paper, stated = load(key), [one for one in published.results(results) if one.paper == key]
    if not stated:
        raise UserError(f"{published.home(results)}: no published results of {key}; copy results/published there")
    folder = results / "papers" / key
    parts = []
    for sheet in paper.sheets:
        filled = fill(paper, sheet, stated, library) if sheet.columns else None
        found, why = panels(sheet, library) if sheet.plot else ([], "")
        figure = _figure(paper, sheet, found, stated, folder, figures) if sheet.plot else None
        if filled:
            write_changed(folder / f"{sheet.id}.csv", tables.long_csv(filled))
            write_changed(folder / f"{sheet.id}.tex", tables.latex(paper, filled))
        parts.append(Part(sheet, filled, found, figure, why))
    return Page(paper, parts, results / "papers" / f"{key}.md", folder)


def write_page(page: Page, results: Path) -> None:
    """Write ``results/papers/<paper>.md``."""
    key, home = page.paper.key, page.file.parent
    text = [f"# {published.NAMES[key]}: {page.paper.title}", f"Written by `bench report --paper {key}`.", INTRODUCTION]
    text.append(" · ".join(f"[{part.sheet.name}](#{anchor(_heading(part.sheet))})" for part in page.parts))
    for part in page.parts:
        text += section(page, part, home)
    text += [_settings(key, results), _mistakes(key, results)]
    write_changed(page.file, "\n\n".join(piece for piece in text if piece) + "\n")


def section(page: Page, part: Part, home: Path) -> list[str]:
    """One sheet in Markdown, for a file in the folder ``home``."""
    sheet = part.sheet
    text = [f"## {_heading(sheet)}"]
    if part.filled:
        files = " · ".join(
            link(ending.upper(), page.folder / f"{sheet.id}.{ending}", home) for ending in ("csv", "tex")
        )
        text += [part.filled.refused, tables.markdown(page.paper, part.filled, home), files]
    text += [image(part.figure, home, _caption(page.paper, part))] if part.figure else []
    text += [_sources(part, home), part.why, *_not_run(part), sheet.note]
    return [piece for piece in text if piece]


def _not_run(part: Part) -> list[str]:
    """Says of a sheet without records of ours why, and how to make them, here and at the paper's scale."""
    sheet = part.sheet
    has = bool(part.panels) or bool(part.filled and part.filled.records)
    said = []
    if not has and sheet.why:
        said.append(f"Not measured here: {sheet.why}.")
    elif not has and not part.why and sheet.study:
        said.append(f"Empty here: {missing(sheet.study, sheet.run)}.")
    if sheet.paper_scale:
        said.append(f"At the paper's scale: `{sheet.paper_scale}`.")
    return said


def _sources(part: Part, home: Path) -> str:
    """The records behind a figure, folded, with their commands."""
    choices = {id(p.choice): p.choice for panel in part.panels for p, _ in panel.points}.values()
    lines = [
        f"- {choice.records[0].system} "
        + " ".join(link(record.stem, record_file(choice.folder, record), home) for record in choice.records)
        for choice in choices
    ]
    commands = ", ".join(f"`{command}`" for command in dict.fromkeys(choice.command for choice in choices))
    return (
        folded(f"Records of {part.sheet.name.lower()}", "\n".join(lines) + f"\n\nMade by {commands}.") if lines else ""
    )


def _caption(paper: Paper, part: Part) -> str:
    records = [r for panel in part.panels for point, _ in panel.points for r in point.choice.records]
    reasons = apart(paper, records)
    ours = f" Here: study {part.sheet.study}" + (f"; not comparable: {'; '.join(reasons)}" if reasons else "")
    return f"{part.sheet.name}: {part.sheet.title}.{ours if records else ''}".replace("`", "")


def _figure(
    paper: Paper, sheet: Sheet, found: list[Panel], stated: Sequence[published.Stated], folder: Path, anew: bool
) -> Path | None:
    path = folder / f"{sheet.id}.png"
    if not anew:
        return path if path.is_file() else None
    records = [r for panel in found for point, _ in panel.points for r in point.choice.records]
    different = bool(apart(paper, records))
    make = partial(draw, sheet, found, stated, different)
    told = _shown(sheet, found, stated, different)
    return drawn(path, fingerprint(make, folder.parents[1] / sheet.study, records, told), make)


def _shown(sheet: Sheet, found: list[Panel], stated: Sequence[published.Stated], different: bool) -> list[str]:
    """What a figure shows beside its records."""
    assert sheet.plot is not None
    curve = sheet.plot.stated
    printed = [f"{one}" for one in stated if curve and one.table == curve.table]
    points = [f"{p.metric} {[(q.line, q.x, q.y, shown(m)) for q, m in p.points]}" for p in found]
    return [sheet.id, f"{sheet.plot} {different}", *printed, *points]


def _settings(key: str, results: Path) -> str:
    found = [s for s in published.hyperparameters(results) if s.paper == key]
    body = [[s.system, s.component, s.name.replace("_", " "), f"{s.value} {s.unit}".strip(), s.note] for s in found]
    table = Table(["system", "part", "setting", "value", "note"], body).markdown()
    return folded("The paper's settings", table) if body else ""


def _mistakes(key: str, results: Path) -> str:
    found = [x for x in published.inconsistencies(results) if x.paper == key]
    lines = [f"- **{x.id}** {x.problem}" + (f" Read here as: {x.reading}" if x.reading else "") for x in found]
    return "\n\n".join(["## Mistakes and inconsistencies", "\n".join(lines)]) if lines else ""


def _heading(sheet: Sheet) -> str:
    return f"{sheet.name}: {sheet.title}"
