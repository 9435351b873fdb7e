"""A page per paper: every table and figure in Markdown, with LaTeX, CSV and PNG beside; and a summary of all papers.

results/papers/<paper>.md
results/papers/<paper>/<table>.csv, .tex, .png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...common.lines import say
from ..analysis import published
from ..analysis.records import record_file
from ..report.chapter import anchor
from ..report.figure_cache import drawn, fingerprint
from ..report.markup import Table, folded, image, link, write_changed
from ..report.overview import PaperPages
from ..report.scores import figure as shown
from .claims import evaluate_claims, load_claim_tests, tally, verdict_counts
from .claims_page import write_claims_page
from .figures import FigurePanel, draw, find_panels
from .record_index import RecordIndex, not_run
from .table_specs import PaperSpec, TableSpec, load_paper, paper_keys
from .tables import FilledTable, as_csv, as_latex, as_markdown, differences_from_paper, fill

INTRODUCTION = """\
Left, as printed: what the paper states. Right of ‖: what was measured here, under the names of its own metrics, in
italics where it cannot be compared (the notes below a table say why). A figure links to its record; `s0`, `s1` ... are
the records of all seeds. Intervals are 95%, from the variance between prompts, between seeds and within both. Distances
by the attribute tagger (`_builtin`) are no measure of fidelity and are left out."""


@dataclass(frozen=True)
class PagePart:
    """One table or figure with its numbers; ``why``: the reason why there is no figure."""

    spec: TableSpec
    filled: FilledTable | None
    panels: list[FigurePanel]
    figure: Path | None
    why: str


@dataclass(frozen=True)
class PaperPage:
    """A paper with all its tables and figures; ``file``: its page, ``folder``: what stands beside it."""

    paper: PaperSpec
    parts: list[PagePart]
    file: Path
    folder: Path

    @property
    def summary(self) -> str:
        """Which tables and figures have numbers of ours, and which have none."""
        with_ours = [p.spec.name for p in self.parts if p.panels or (p.filled and p.filled.records)]
        without = [p.spec.name for p in self.parts if p.spec.name not in with_ours]
        text = f"With numbers of ours: {', '.join(with_ours) or 'none yet'}."
        return text + (f" Without: {', '.join(without)}." if without else "")


def write_papers(
    keys: Sequence[str], results: Path, index: RecordIndex | None = None, figures: bool = True
) -> list[PaperPage]:
    """Write the pages of these papers (none: of all), with their tables and figures.

    Raises:
        UserError: an unknown paper.
    """
    index = index or RecordIndex(results)
    pages = [make_page(key, results, index, figures) for key in dict.fromkeys(keys or paper_keys())]
    for page in pages:
        write_page(page)
    for problem in dict.fromkeys(index.problems):
        say(f"left out: {problem}")
    return pages


def write_all_papers(results: Path) -> PaperPages | None:
    """Write all papers' pages and the page of claims; None where no study that they use has records."""
    index = RecordIndex(results)
    if not any(index.records(study) for study in _studies()):
        return None
    claims = evaluate_claims(index)
    pages = write_papers([], results, index)
    names = dict.fromkeys(published.NAMES[one.claim.paper] for one in claims)
    tallies = {name: tally([one for one in claims if published.NAMES[one.claim.paper] == name]) for name in names}
    by_name = {published.NAMES[page.paper.key]: page for page in pages}
    return PaperPages(
        verdict_counts(claims), tallies, {name: page.file for name, page in by_name.items()},
        {name: page.paper.title for name, page in by_name.items()}, write_claims_page(claims, results),
    )  # fmt: skip


def make_page(key: str, results: Path, index: RecordIndex, figures: bool = True) -> PaperPage:
    """Fill all tables of a paper and write what stands beside its page; ``figures`` False leaves figures as they are.

    Raises:
        UserError: no such paper.
    """
    paper, stated = load_paper(key), [one for one in published.results() if one.paper == key]
    folder = results / "papers" / key
    parts = []
    for spec in paper.tables:
        filled = fill(paper, spec, stated, index) if spec.columns else None
        panels, why = find_panels(spec, index) if spec.plot else ([], "")
        figure = _figure(paper, spec, panels, stated, folder, figures) if spec.plot else None
        if filled:
            write_changed(folder / f"{spec.id}.csv", as_csv(filled))
            write_changed(folder / f"{spec.id}.tex", as_latex(paper, filled))
        parts.append(PagePart(spec, filled, panels, figure, why))
    return PaperPage(paper, parts, results / "papers" / f"{key}.md", folder)


def write_page(page: PaperPage) -> None:
    """Write ``results/papers/<paper>.md``."""
    key, home = page.paper.key, page.file.parent
    text = [f"# {published.NAMES[key]}: {page.paper.title}", f"Written by `bench report --paper {key}`.", INTRODUCTION]
    text.append(" · ".join(f"[{part.spec.name}](#{anchor(part.spec.heading)})" for part in page.parts))
    for part in page.parts:
        text += _section(page, part, home)
    text += [_hyperparameters(key), _mistakes(key)]
    write_changed(page.file, "\n\n".join(piece for piece in text if piece) + "\n")


def _section(page: PaperPage, part: PagePart, home: Path) -> list[str]:
    spec = part.spec
    text = [f"## {spec.heading}"]
    if part.filled:
        files = [link(ending.upper(), page.folder / f"{spec.id}.{ending}", home) for ending in ("csv", "tex")]
        text += [part.filled.refused, as_markdown(page.paper, part.filled, home), " · ".join(files)]
    text += [image(part.figure, home, _caption(page.paper, part))] if part.figure else []
    text += [_sources(part, home), part.why, *_how_to_run(part), spec.note]
    return [piece for piece in text if piece]


def _how_to_run(part: PagePart) -> list[str]:
    """For a table without records of ours: why, and how to make them, here and at the paper's scale."""
    spec = part.spec
    has = bool(part.panels) or bool(part.filled and part.filled.records)
    lines = []
    if not has and spec.why:
        lines.append(f"Not measured here: {spec.why}.")
    elif not has and not part.why and spec.study:
        lines.append(f"Empty here: {not_run(spec.study, spec.run)}.")
    if spec.paper_scale:
        lines.append(f"At the paper's scale: `{spec.paper_scale}`.")
    return lines


def _sources(part: PagePart, home: Path) -> str:
    arms = {id(p.arm): p.arm for panel in part.panels for p, _ in panel.points}.values()
    lines = []
    for arm in arms:
        links = " ".join(link(record.stem, record_file(arm.folder, record), home) for record in arm.records)
        lines.append(f"- {arm.records[0].system} {links}")
    commands = ", ".join(f"`{command}`" for command in dict.fromkeys(arm.command for arm in arms))
    text = "\n".join(lines) + f"\n\nMade by {commands}."
    return folded(f"Records of {part.spec.name.lower()}", text) if lines else ""


def _caption(paper: PaperSpec, part: PagePart) -> str:
    records = [r for panel in part.panels for point, _ in panel.points for r in point.arm.records]
    reasons = differences_from_paper(paper, records)
    ours = f" Here: study {part.spec.study}" + (f"; not comparable: {'; '.join(reasons)}" if reasons else "")
    return f"{part.spec.heading}.{ours if records else ''}".replace("`", "")


def _figure(
    paper: PaperSpec, spec: TableSpec, panels: list[FigurePanel], stated: Sequence[published.PublishedResult],
    folder: Path, anew: bool,
) -> Path | None:  # fmt: skip
    """The figure's file, drawn where what it shows has changed; None where there is nothing to draw."""
    path = folder / f"{spec.id}.png"
    if not anew:
        return path if path.is_file() else None
    assert spec.plot is not None
    records = [r for panel in panels for point, _ in panel.points for r in point.arm.records]
    apart, curve = bool(differences_from_paper(paper, records)), spec.plot.published
    make = partial(draw, spec, panels, stated, apart)
    points = [f"{p.metric} {[(q.line, q.x, q.y, shown(m)) for q, m in p.points]}" for p in panels]
    printed = [str(one) for one in stated if curve and one.table == curve.table]
    content = [spec.id, f"{spec.plot} {apart}", *printed, *points]
    return drawn(path, fingerprint(make, folder.parents[1] / spec.study, records, content), make)


def _hyperparameters(key: str) -> str:
    found = [s for s in published.hyperparameters() if s.paper == key]
    body = [[s.system, s.component, s.name.replace("_", " "), f"{s.value} {s.unit}".strip(), s.note] for s in found]
    table = Table(["system", "part", "setting", "value", "note"], body).markdown()
    return folded("The paper's settings", table) if body else ""


def _mistakes(key: str) -> str:
    found = [x for x in published.inconsistencies() if x.paper == key]
    lines = [f"- **{x.id}** {x.problem}" + (f" Read here as: {x.reading}" if x.reading else "") for x in found]
    return "\n\n".join(["## Mistakes and inconsistencies", "\n".join(lines)]) if lines else ""


def _studies() -> set[str]:
    tables = [table for key in paper_keys() for table in load_paper(key).tables]
    contrasts = [contrast for test in load_claim_tests().values() for contrast in test.contrasts]
    found = {study for table in tables for study in (table.study, *(row.study for row in table.rows))}
    return (found | {side.study or c.study for c in contrasts for side in c.sides}) - {""}
