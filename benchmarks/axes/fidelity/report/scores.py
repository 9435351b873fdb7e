"""The tables of scores: systems x metrics, with marks for what a score does not show, and the notes that explain them.

Marks in an arm's cell: a dagger where the arm is not better than the training clip retrieved for the caption, a double
dagger where it is not better than the sine chords, and brackets where the arm was trained against the metric's
evaluator. A metric that gives no verdict says so in its heading. A mark behind an arm's name says that it is larger or
smaller than the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....analysis.metric_validity import moves_with_loudness
from ....analysis.pooling import PairedDifference, Part, metric_names, not_usable, pooled, was_trained_against
from ....analysis.result_table import ResultTable, TableRow
from ....metrics.catalogue import about, family
from ....report.markup import Table
from ....report.scores import (
    clip_counts,
    failure,
    figure,
    fixed,
    heading,
    most_clips,
    reference_rows,
    size_note,
    system_names,
)
from ....report.summary import ranked
from ....study.references import CEILINGS

NONE = "–"  # also of a setting that a record does not state: it is at its default, or younger than the record
MARKS = {"retrieved": "†", "sine_chords": "‡"}  # of an arm that is not better than this baseline
MARKED = {
    "retrieved": "† not better than `retrieved`, a training clip chosen by the caption alone.",
    "sine_chords": "‡ not better than `sine_chords`, sine waves that play the annotated chords with a drum loop.",
}
AGAINST = "In parentheses: the arm was trained or tuned against this evaluator, so the score gives no verdict on it."
NO_VERDICT = " (no verdict)"


def comparison(
    table: ResultTable, part: Part = "main", leaders: bool = True, compared: Sequence[PairedDifference] = ()
) -> Table:
    """Systems x metrics; ``details``: adherence to single attributes, with what the commonest answer would score.

    Args:
        leaders: mark the best estimate among the arms.
        compared: the study's comparisons; an arm that is not better than a baseline gets that baseline's mark.
    """
    names, details, main = metric_names(table, part), part == "details", part == "main"
    asked = [name for name in names if about(name).better != "neither" and part != "tagger"]
    doubts = {name: why for name in asked if (why := not_usable(table, name))}
    headings = [_heading(table, name, details) + NO_VERDICT * (name in doubts) for name in names]
    header = ["system", "n", *headings, *(["s / clip"] if main else [])]
    body, leading, used, called = [], set(), set[str](), system_names(table)
    leading_of = [leaders_of(table, name) if leaders and name not in doubts else set() for name in names]
    for i, row in enumerate(table.rows):
        if not row.good:
            body.append([called[row.system], "", failure(row), *[""] * (len(header) - 3)])
            continue
        cells = []
        for name in names:
            cell, marks = _cell(table, row, name, compared)
            cells.append(cell)
            used |= marks
        body.append([called[row.system], clip_counts(row), *cells, *([_speed(row)] if main else [])])
        leading |= {(i, j + 2) for j, systems in enumerate(leading_of) if row.system in systems}
    italic = set(reference_rows(table))
    if details and names:
        body.append(["commonest answer", "", *(_chance(table, name) for name in names)])
        italic.add(len(body) - 1)
    notes = [*size_note(table), *(text for text in (*MARKED.values(), AGAINST) if text in used)]
    return Table(header, body, frozenset(leading), frozenset(italic), (*notes, *_notes(table, names, doubts)))


def leaders_of(table: ResultTable, name: str) -> set[str]:
    """The arms with the best estimate among those that were not trained against the metric's evaluator."""
    against = {row.system for row in table.arms if was_trained_against(row, name)}
    scores = {system: value for system, value in ranked(table, name).items() if system not in against}
    if about(name).better == "neither" or len(set(scores.values())) < 2:
        return set()
    top = next(iter(scores.values()))
    return {system for system, value in scores.items() if value == top}


def _cell(table: ResultTable, row: TableRow, name: str, compared: Sequence[PairedDifference]) -> tuple[str, set[str]]:
    """A score with its marks, and the notes that these need."""
    text = figure(pooled(table, row, name))
    if row.kind == "reference" or text == NONE:
        return text, set()
    if was_trained_against(row, name):
        return f"({text})", {AGAINST}
    behind = {
        d.b
        for d in compared
        if (d.metric, d.a) == (name, row.system) and d.b in MARKS and d.judgement.verdict != "better"
    }
    marks = "".join(mark for baseline, mark in MARKS.items() if baseline in behind)
    return f"{text} {marks}".rstrip(), {MARKED[baseline] for baseline in behind}


def _notes(table: ResultTable, names: Sequence[str], doubts: Mapping[str, str]) -> list[str]:
    """What readers must know of the metrics of one table."""
    notes = [f"`{name}` gives no verdict here: {why}." for name, why in doubts.items()]
    if loud := [f"`{name}`" for name in names if moves_with_loudness(table, name)]:
        notes.append(f"{', '.join(loud)}: also changes where clips differ in loudness alone.")
    real = table.row(CEILINGS[0])
    biased = [name for name in names if family(name) == "fad"]
    if biased and real is not None and real.good:
        told = ", ".join(f"{figure(pooled(table, real, name))} by `{name}`" for name in biased)
        notes.append(
            "A Frechet distance (`fad`) has a bias, which falls with n. It is what the row `real` shows, real audio "
            f"against other real audio: {told} at n = {most_clips(real)}. The kernel distance (`kad`) has none."
        )
    return notes


def _heading(table: ResultTable, name: str, detail: bool) -> str:
    whole = heading(table, name)
    return whole.replace(name, name.split("_")[1]) if detail else whole


def _chance(table: ResultTable, name: str) -> str:
    found = [r.environment.get("scoring", {}).get("chance", {}).get(name) for row in table.rows for r in row.good]
    return next((fixed(level["majority"], 2) for level in found if level), NONE)


def _speed(row: TableRow) -> str:
    seconds = [r.timing["seconds_per_clip"] for r in row.good if "seconds_per_clip" in r.timing]
    return f"{sum(seconds) / len(seconds):.3f}" if seconds else NONE
