"""The chapter on sample size: how the number of clips moves each metric, and how many clips a score needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .....common.lines import count
from ....analysis.comparability import newest_of
from ....analysis.records import Record
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, records_link
from ....report.method import left_out
from ....report.scores import ARROWS, figure
from .curves import SizeCurve, draw, make_curves, of_one_setting, recommended

CAPTION = "Mean and range of 95% of single measurements, real (blue) and noise (grey), against n."


def describe(study: StudyRecords) -> StudyPage:
    """Curves, table and recommended n of one study."""
    selection = of_one_setting(study.records)
    curves = make_curves(study.records)
    if not curves:
        return StudyPage("No cell of this study has scores.", Table(["metric"], []))
    scores, (n, late) = table(curves), recommended(curves)
    mark = fingerprint(draw, study.folder, study.records, [scores.markdown()])
    path = drawn(study.folder / "figures" / "curves.png", mark, partial(draw, curves))
    newest = newest_of(selection.kept)
    cell = newest.cell
    basis = f"{count(cell['evaluation']['repeats'], 'draw')} per n"
    answer = Answer("How many clips does a score need?", advise((n, late)), basis)
    details = ["## How it was run", _basis(newest), *left_out(selection.left_out)]
    return StudyPage(
        f"Real audio and noise of the corpus `{cell['corpus']['name']}`, scored with different numbers of clips.",
        scores, [answer], [*details, f"The {records_link(study.folder)} hold everything above."],
        {"audio": cell["corpus"]["name"], "recommended": f"{n} clips" if n else "more than measured"},
        (len(study.records),), path, CAPTION,
    )  # fmt: skip


CHAPTER = Chapter(
    "Sample size",
    "How many clips does a score need? How it is measured: [metrics](docs/metrics.md).",
    describe,
)


def advise(found: tuple[int | None, list[str]]) -> str:
    """The recommendation in a sentence, from what ``recommended`` returns."""
    n, late = found
    if n is None:
        return f"no n of this study is enough for all main metrics: not yet {', '.join(late)}"
    told = f"; more for {', '.join(late)}" if late else ""
    return f"**{n} clips** of each set, the first n that is enough for every main metric{told}"


def table(curves: Sequence[SizeCurve]) -> Table:
    """Metrics x n: real audio with the range of single measurements; noise at the largest n; the n that is enough."""
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


def _basis(record: Record) -> str:
    cell = record.cell["evaluation"]
    return (
        f"Corpus `{record.cell['corpus']['name']}`, {count(cell['repeats'], 'draw')} per n, "
        f"clips of {cell['seconds']:g} s at {cell['sample_rate']} Hz, "
        f"evaluator `{cell['evaluator']['name']}` ({cell['evaluator']['identity'][:8]}). "
        "Real audio is scored against other real audio, so a distance should be 0 at any n; what it is instead is "
        f"bias. Brackets hold 95% of single measurements. Command: `{record.command}`."
    )
