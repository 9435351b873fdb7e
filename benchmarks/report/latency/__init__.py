"""The chapter on latency: how fast every arm is on which hardware, and how near to what that hardware allows.

``points`` groups the records, ``tables`` and ``curves`` show a study's sweep, ``limits`` shows the bound, ``crossover``
finds from which batch on AR makes more clips than FM, ``published`` reads what papers state, ``words`` says it all,
``answers`` the report at a glance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.report.chapter import Chapter, StudyRecords
    from benchmarks.report.latency.points import Group
    from benchmarks.report.latency.published import Stated
    from benchmarks.report.latency.words import Findings


def chapter(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    """Tables, figures and words of all studies of latency."""
    from benchmarks.report.chapter import Chapter
    from benchmarks.report.drawing import arm_colours
    from benchmarks.report.latency.answers import answers
    from benchmarks.report.latency.points import make_groups
    from benchmarks.report.latency.published import stated
    from benchmarks.report.latency.tables import as_csv
    from benchmarks.report.latency.words import TITLE, chapter_parts, readme, summary
    from common.files import write_text

    results = studies[0].folder.parent
    groups, published = make_groups(studies), stated(results)
    colours = arm_colours({point.arm: point.paradigm for group in groups for point in group.points})
    summaries = {}
    for study in studies:
        sheets = [sheet for group in groups for sheet in group.sheets if sheet.study == study.name]
        write_text(study.folder / "latency.csv", as_csv(sheets))
        summaries[study.name] = "\n\n".join(summary(sheet, published) for sheet in sheets)
    found = [_draw(group, results, colours, published) for group in groups]
    parts = chapter_parts(found, published, home)
    return Chapter(TITLE, parts, summaries, {"latency": readme(found, published)}, answers(groups))


def _draw(group: Group, results: Path, colours: Mapping[str, Any], published: Sequence[Stated]) -> Findings:
    """Write all figures of a place."""
    from benchmarks.report.latency.curves import curves, heat_map
    from benchmarks.report.latency.limits import roofline, shares
    from benchmarks.report.latency.words import Findings

    own = _save({"shares": shares(group, colours), "roofline": roofline(group, colours)}, results, group)
    sheets = []
    for sheet in group.sheets:
        figures = {**curves(sheet, colours, published), "heat": heat_map(sheet)}
        sheets.append(_save(figures, sheet.folder, group))
    return Findings(group, own, sheets)


def _save(figures: Mapping[str, Figure | None], folder: Path, group: Group) -> dict[str, Path]:
    from benchmarks.report.drawing import save

    target = folder / "figures"
    named = {name: figure for name, figure in figures.items() if figure is not None}
    return {
        name: save(figure, target / f"latency-{group.place.slug}-{name}.png", 256) for name, figure in named.items()
    }
