"""The chapter on sample size: how the number of clips moves each metric, and how many clips a score needs.

An n is enough for a metric if, there and at every larger n, two errors are within ``TOLERANCE`` of the distance between
real audio and noise: the bias (the mean at n against that at the largest n), and the spread (half the range in which
95% of single measurements fall).

Distances are those of the judges. Those of the attribute tagger, which measure no fidelity, stand in a table of their
own; only in records without judges do they take the judges' place, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .....common.lines import count
from ....analysis.comparability import Selection, newest_of, select
from ....analysis.records import Record
from ....metrics.catalogue import FIDELITY_FAMILIES, TAGGERS, evaluator_of, family, is_fidelity
from ....metrics.metric import Metric
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, folded, records_link
from ....report.scores import ARROWS, figure
from ....report.style import GREY, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = ("evaluation.n",)
TOLERANCE = 0.05
MAIN = ("adherence", "clap", "kad", "fad")  # the recommended n is enough for these
ORDER = ("adherence", "clap", "kad", "fad", "fad_inf", "mad", "precision", "recall", "density", "coverage", "is", "kl")
SHOWN = ("adherence", "clap", "kad", "fad", "fad_inf", "mad", "coverage", "is")  # panels of the figure
TAGGER = "Distances by the attribute tagger (not a measure of fidelity)"
NO_JUDGE = (
    "No independent judge scored these clips: they were measured before independent judges existed. The distances are "
    "those of the attribute tagger, which do not measure fidelity. Run the study again to have clips judged."
)
CAPTION = "Mean and range of 95% of single measurements, real (blue) and noise (grey), against n."


@dataclass(frozen=True)
class SizeCurve:
    """One metric over n.

    Attributes:
        real, noise: n -> mean over repeats, with the range of single measurements.
        enough: see the module's docstring; ``None``: no n of the study, or noise is not told from real audio.
    """

    name: str
    real: dict[int, Metric]
    noise: dict[int, Metric]
    enough: int | None


def describe(study: StudyRecords) -> StudyPage:
    """Curves, table and recommended n of one study."""
    selection = of_one_setting(study.records)
    curves = make_curves(study.records)
    if not curves:
        return StudyPage("No cell of this study has scores.", Table(["metric"], []))
    judged = judges(curves)
    shown = [curve for curve in curves if not (judged and _by_tagger(curve))]
    scores, (n, late) = table(shown), recommended(shown)
    mark = fingerprint(draw, study.folder, study.records, [scores.markdown()])
    path = drawn(study.folder / "figures" / "curves.png", mark, partial(draw, shown))
    newest = newest_of(selection.kept)
    cell = newest.cell
    basis = f"{count(cell['evaluation']['repeats'], 'draw')} per n, judges {', '.join(judged) or 'none'}"
    answer = Answer("How many clips does a score need?", advise((n, late)), basis)
    rest = [curve for curve in curves if curve not in shown]
    details = [folded(TAGGER, table(rest).markdown())] if rest else []
    details += ["## How it was run", _basis(newest)]
    return StudyPage(
        f"Real audio and noise of the corpus `{cell['corpus']['name']}`, scored with different numbers of clips.",
        scores, [answer], [*details, f"The {records_link(study.folder)} hold everything above."],
        {"audio": cell["corpus"]["name"], "recommended": f"{n} clips" if n else "more than measured"},
        (len(judged), len(study.records)), path, CAPTION, [] if judged else [NO_JUDGE], selection.left_out,
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
    sizes = sorted({n for curve in curves for n in (*curve.real, *curve.noise)})
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


def of_one_setting(records: Sequence[Record]) -> Selection:
    """The good records of the newest setting."""
    return select([record for record in records if record.status == "ok"], rows=ROWS)


def make_curves(records: Sequence[Record]) -> list[SizeCurve]:
    """One curve per metric (not per attribute), of the newest setting; those of one evaluator stand together."""
    points: dict[str, dict[str, dict[int, Metric]]] = {}
    for record in of_one_setting(records).kept:
        for name, metric in record.metrics.items():
            if not (family(name) == "adherence" and name.count("_") > 1):
                curves = points.setdefault(name, {"real": {}, "noise": {}})
                curves[record.system][record.cell["evaluation"]["n"]] = metric
    evaluators = list(dict.fromkeys(map(evaluator_of, points)))

    def place(name: str) -> tuple[int, int, str]:
        known = ORDER.index(family(name)) if family(name) in ORDER else len(ORDER)
        return evaluators.index(evaluator_of(name)), known, name

    names = sorted(points, key=place)
    pairs = [(name, points[name]["real"], points[name]["noise"]) for name in names]
    return [SizeCurve(name, real, noise, _enough(real, noise)) for name, real, noise in pairs]


def judges(curves: Sequence[SizeCurve]) -> list[str]:
    """The judges whose distances were measured."""
    return list(dict.fromkeys(evaluator_of(curve.name) for curve in curves if is_fidelity(curve.name)))


def recommended(curves: Sequence[SizeCurve]) -> tuple[int | None, list[str]]:
    """The n that is enough for all main metrics (``None``: there is none), and the metrics for which it is not."""
    main = [curve for curve in curves if family(curve.name) in MAIN]
    enough = [curve.enough for curve in main if curve.enough is not None]
    n = max(enough) if enough and len(enough) == len(main) else None
    judged = curves if n is not None else main
    return n, [curve.name for curve in judged if curve.enough is None or (n is not None and curve.enough > n)]


def draw(curves: Sequence[SizeCurve]) -> Figure:
    """One panel per metric over n."""
    shown = [curve for name in SHOWN for curve in curves if family(curve.name) == name]
    rows = -(-len(shown) // 4)
    whole, axes = canvas(max(rows, 1), 4, 12, 2.6 * max(rows, 1))
    for axis, curve in zip(axes.flat, shown):
        for points, colour in ((curve.real, "C0"), (curve.noise, GREY)):
            known = {n: m for n, m in sorted(points.items()) if m.value is not None}
            axis.plot(list(known), [m.value for m in known.values()], "o-", color=colour, markersize=3)
            ends = [[end for m in known.values() if (end := getattr(m, side)) is not None] for side in ("low", "high")]
            if known and len(ends[0]) == len(ends[1]) == len(known):
                axis.fill_between(list(known), *ends, color=colour, alpha=0.2)
        axis.set_xscale("log", base=2)
        axis.set_title(curve.name, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    return whole


def _by_tagger(curve: SizeCurve) -> bool:
    """Whether the metric is a distance by an attribute tagger."""
    return family(curve.name) in FIDELITY_FAMILIES and evaluator_of(curve.name) in TAGGERS


def _enough(real: dict[int, Metric], noise: dict[int, Metric]) -> int | None:
    sizes = sorted(real)
    if not sizes:
        return None
    values = {n: real[n].value for n in sizes}
    best, floor = values[sizes[-1]], noise.get(sizes[-1], Metric(None)).value
    if best is None or floor is None or best == floor:
        return None
    found = None
    for n in reversed(sizes):
        value, low, high = values[n], real[n].low, real[n].high
        if value is None or low is None or high is None:
            break
        if max(abs(value - best), (high - low) / 2) > TOLERANCE * abs(floor - best):
            break
        found = n
    return found


def _basis(record: Record) -> str:
    cell = record.cell["evaluation"]
    held = [cell["evaluator"], *cell.get("judges", ())]
    evaluators = [f"`{one['name']}` ({one['identity'][:8]})" for one in held]
    return (
        f"Corpus `{record.cell['corpus']['name']}`, {count(cell['repeats'], 'draw')} per n, "
        f"clips of {cell['seconds']:g} s at {cell['sample_rate']} Hz, "
        f"evaluators {', '.join(evaluators)}. "
        "Real audio is scored against other real audio, so a distance should be 0 at any n; what it is instead is "
        f"bias. Brackets hold 95% of single measurements. Command: `{record.command}`."
    )
