"""A paper's page: every table and figure of its sheets in Markdown, with LaTeX, CSV, PNG and SVG beside.

results/papers/<paper>.md
results/papers/<paper>/<sheet>.csv, .tex, .png, .svg
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.papers import published, tables
from benchmarks.papers.chosen import Library, missing
from benchmarks.papers.filling import Filled, apart, fill
from benchmarks.papers.plots import Panel, draw, panels
from benchmarks.papers.sheets import Paper, Sheet, load
from benchmarks.report.chapter import anchor
from benchmarks.report.keeping import fingerprint
from benchmarks.report.markup import folded, image, link
from benchmarks.report.table import Table
from common.errors import UserError
from common.files import write_text

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
    figures: list[Path]
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
        drawn = _figures(paper, sheet, found, stated, folder, figures) if sheet.plot else []
        if filled:
            write_text(folder / f"{sheet.id}.csv", tables.long_csv(filled))
            write_text(folder / f"{sheet.id}.tex", tables.latex(paper, filled))
        parts.append(Part(sheet, filled, found, drawn, why))
    return Page(paper, parts, results / "papers" / f"{key}.md", folder)


def write_page(page: Page, results: Path) -> None:
    """Write ``results/papers/<paper>.md``."""
    key, home = page.paper.key, page.file.parent
    text = [f"# {published.NAMES[key]}: {page.paper.title}", f"Written by `bench report --paper {key}`.", INTRODUCTION]
    text.append(" · ".join(f"[{part.sheet.name}](#{anchor(_heading(part.sheet))})" for part in page.parts))
    for part in page.parts:
        text += section(page, part, home)
    text += [_settings(key, results), _mistakes(key, results)]
    write_text(page.file, "\n\n".join(piece for piece in text if piece) + "\n")


def section(page: Page, part: Part, home: Path) -> list[str]:
    """One sheet in Markdown, for a file in the folder ``home``."""
    sheet = part.sheet
    text = [f"## {_heading(sheet)}"]
    if part.filled:
        files = " · ".join(
            link(ending.upper(), page.folder / f"{sheet.id}.{ending}", home) for ending in ("csv", "tex")
        )
        text += [part.filled.refused, tables.markdown(page.paper, part.filled, home), files]
    if part.figures:
        png, svg = part.figures
        text += [image({sheet.id: png}, sheet.id, home, _caption(page.paper, part)), link("SVG", svg, home)]
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
        f"- {choice.records[0].system} " + " ".join(link(path.stem, path, home) for path in choice.paths)
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


def _figures(
    paper: Paper, sheet: Sheet, found: list[Panel], stated: Sequence[published.Stated], folder: Path, anew: bool
) -> list[Path]:
    if anew:
        records = [r for panel in found for point, _ in panel.points for r in point.choice.records]
        studies = [folder.parents[1] / sheet.study] if sheet.study else []
        mark = fingerprint(*studies, told=f"{paper} {sheet} {stated}")
        return draw(sheet, found, stated, folder, bool(apart(paper, records)), mark)
    held = [folder / f"{sheet.id}.{ending}" for ending in ("png", "svg")]
    return held if all(path.is_file() for path in held) else []


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
