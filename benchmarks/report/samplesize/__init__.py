"""The chapter on sample size: how the number of clips moves each metric, and how many clips a score needs.

``curves`` reads the records as one curve per metric and finds the n that is enough; this module shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.report.chapter import Chapter, StudyRecords
    from benchmarks.report.samplesize.curves import Curve
    from benchmarks.report.table import Table

TITLE = "How many clips a score needs"
SHOWN = ("adherence", "fad", "fad_inf", "kad", "mad", "coverage", "is", "clap")


def chapter(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    """Curves, table and recommended n of all studies of sample size."""
    from benchmarks.report.chapter import Chapter
    from benchmarks.report.keeping import drawn, fingerprint
    from benchmarks.report.markup import image
    from benchmarks.report.samplesize.curves import make_curves, recommended
    from common.files import write_text

    parts, summaries = [f"## {TITLE}"], {}
    for study in studies:
        curves = make_curves(study.records)
        sheet, advice = table(curves), advise(recommended(curves))
        write_text(study.folder / "table.csv", sheet.csv())
        path = drawn(study.folder / "figures" / "curves.png", fingerprint(study.folder), partial(draw, curves))
        figures = {"curves": path} if path else {}
        caption = "Mean and range of 95% of single measurements, real (blue) and noise (grey), against n."
        parts += [f"### {study.name}", _basis(study), advice, sheet.markdown(), image(figures, "curves", home, caption)]
        summaries[study.name] = f"{sheet.plain()}\n\n{advice}"
    return Chapter(TITLE, parts, summaries)


def advise(found: tuple[int | None, list[str]]) -> str:
    """The recommendation in a sentence."""
    n, late = found
    if n is None:
        return f"No n of this study is enough for all of the main metrics: not yet {', '.join(late)}."
    told = f" {', '.join(late)} would need more." if late else ""
    return f"Recommended: **{n} clips** of each set, the first n that is enough for every main metric.{told}"


def table(curves: Sequence[Curve]) -> Table:
    """Metrics x n: the value of real audio with the range of single measurements; noise at the largest n; enough n."""
    from benchmarks.report.fidelity.tables import ARROWS, figure
    from benchmarks.report.table import Table

    sizes = sorted({n for curve in curves for n in curve.real})
    header = ["metric", *(f"real, n = {n}" for n in sizes), f"noise, n = {sizes[-1]}", "enough n"]
    body = []
    for curve in curves:
        cells = [figure(curve.real[n]) if n in curve.real else "–" for n in sizes]
        floor = figure(curve.noise[sizes[-1]]) if sizes[-1] in curve.noise else "–"
        better = next(iter(curve.real.values())).better
        body.append([curve.name + ARROWS[better], *cells, floor, str(curve.enough or f"> {sizes[-1]}")])
    note = (
        "enough n: the first at which the bias of real audio (against the largest n) and half the range of single "
        "measurements are both within 5% of the distance from real audio to noise, and at every larger n too."
    )
    return Table(header, body, notes=(note,))


def draw(curves: Sequence[Curve]) -> Figure:
    """One panel per metric over n."""
    from benchmarks.metrics.catalogue import family
    from benchmarks.report.drawing import GREY, canvas

    shown = [curve for name in SHOWN for curve in curves if family(curve.name) == name]
    rows = -(-len(shown) // 4)
    figure, axes = canvas(max(rows, 1), 4, 12, 2.6 * max(rows, 1))
    for axis, curve in zip(axes.flat, shown):
        for points, colour in ((curve.real, "C0"), (curve.noise, GREY)):
            drawn = {n: m for n, m in sorted(points.items()) if m.value is not None}
            axis.plot(list(drawn), [m.value for m in drawn.values()], "o-", color=colour, markersize=3)
            ends = [[end for m in drawn.values() if (end := getattr(m, side)) is not None] for side in ("low", "high")]
            if drawn and len(ends[0]) == len(ends[1]) == len(drawn):
                axis.fill_between(list(drawn), *ends, color=colour, alpha=0.2)
        axis.set_xscale("log", base=2)
        axis.set_title(curve.name, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    return figure


def _basis(study: StudyRecords) -> str:
    record = study.records[-1]
    cell = record.cell["evaluation"]
    return (
        f"Corpus `{record.cell['corpus']['name']}`, {cell['repeats']} draws per n, clips of {cell['seconds']:g} s at "
        f"{cell['sample_rate']} Hz, evaluator `{cell['evaluator']['name']}` ({cell['evaluator']['identity'][:8]}). "
        "Real audio is scored against other real audio, so a distance should be 0 whatever n: what it is instead is "
        f"bias. In brackets: where 95% of single measurements fall. Command: `{record.command}`."
    )
