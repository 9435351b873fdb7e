"""Answers in one line: the table of questions, and the arms of a study ranked on a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...common.lines import count
from ..analysis.pooling import PairedDifference, pooled
from ..analysis.result_table import ResultTable
from .chapter import Answer
from .markup import Table
from .scores import spent
from .words import ArmNames, arm_names

HOW = """\
One arm is better than another where its score is better on the same prompts and seeds, by more than the margin that
was fixed beforehand for the metric, with p < .05 after Holm's correction over all comparisons of the study. "This run
of fm" is a model that was trained with one seed; "fm after 1,400 updates" had not stopped improving. A verdict on a
paradigm needs three seeds and arms that have stopped improving."""
NAMED = 3  # number of arms that a short list names


def answer_table(answers: Sequence[tuple[Answer, str]]) -> Table:
    """One row per question: the answer, and a link to the study with what it is based on."""
    rows = [[one.question, one.answer, f"{link}: {one.basis}" if one.basis else link] for one, link in answers]
    return Table(["question", "answer", "evidence"], rows)


def between_arms(table: ResultTable, differences: Iterable[PairedDifference], name: str) -> list[PairedDifference]:
    """The comparisons of two arms on a metric, without those against a reference."""
    arms = {row.system for row in table.arms}
    return [d for d in differences if d.metric == name and d.a in arms and d.b in arms]


def standing(table: ResultTable, differences: Iterable[PairedDifference], name: str) -> str:
    """The arms that no arm is better than on a metric, then the others and what is better; best first, with scores."""
    compared, names = between_arms(table, differences, name), arm_names(table)
    scores = {system: f" ({value:#.3g})" for system, value in ranked(table, name).items()}
    judged = [system for system in scores if any(system in (d.a, d.b) for d in compared)]
    if not judged:
        return f"not compared: {names.listed(scores, scores)}"
    if any(d.ranked for d in compared):
        told = in_words(judged, (d.ranked for d in compared), names, scores)
    else:
        told = f"{_even(compared)}: {names.listed(judged, scores)}"
    without = [system for system in scores if system not in judged]
    return told + (f"; no verdict on {names.listed(without, scores, again=True)}" if without else "")


def in_words(
    systems: Sequence[str],
    ranked_pairs: Iterable[tuple[str, str] | None],
    names: ArmNames,
    scores: Mapping[str, str] | None = None,
) -> str:
    """``no arm is better than fm, ar; worse than fm: mar``.

    Args:
        systems: the arms, best first.
        ranked_pairs: better and worse arm of every comparison that decides.
        scores: system -> what stands behind its name.
    """
    by: dict[str, list[str]] = {}
    for pair in ranked_pairs:
        if pair is not None:
            by.setdefault(pair[1], []).append(pair[0])
    best = [system for system in systems if system not in by]
    parts = [f"no arm is better than {names.listed(best, scores)}"] if best else []
    groups: dict[tuple[str, ...], list[str]] = {}
    for system in (system for system in systems if system in by):
        groups.setdefault(tuple(winner for winner in systems if winner in by[system]), []).append(system)
    for winners, losers in groups.items():
        worse = names.listed(losers, scores, again=bool(parts))
        parts.append(f"worse than {names.listed(winners, again=True)}: {worse}")
    return "; ".join(parts)


def unbeaten(table: ResultTable, differences: Iterable[PairedDifference], name: str) -> str:
    """The arms that no arm is better than, best first, for a cell of a table; a dash where none were compared."""
    compared = between_arms(table, differences, name)
    pairs = [d.ranked for d in compared if d.ranked]
    if not compared:
        return "–"
    if not pairs:
        return _even(compared)
    order = [system for system in ranked(table, name) if any(system in (d.a, d.b) for d in compared)]
    worse = {loser for _, loser in pairs}
    return short_list([system for system in order if system not in worse], arm_names(table))


def short_list(systems: Sequence[str], names: ArmNames) -> str:
    """The first few arms, and how many more there are."""
    more = f" and {len(systems) - NAMED} more" if len(systems) > NAMED else ""
    return names.listed(systems[:NAMED]) + more


def ranked(table: ResultTable, name: str) -> dict[str, float]:
    """Arm -> its score, best first."""
    scores = {row.system: pooled(table, row, name) for row in table.arms if row.good}
    sign = -1 if any(score.better == "higher" for score in scores.values()) else 1
    known = {system: score.value for system, score in scores.items() if score.value is not None}
    return dict(sorted(known.items(), key=lambda pair: sign * pair[1]))


def trained(table: ResultTable) -> str:
    """Updates, seeds and prompts of a table's arms, as text."""
    runs = table.runs
    seeds = len({record.seed for record in runs})
    prompts = max((record.cell["evaluation"]["prompts"] for record in runs), default=0)
    updates = [count(spent(runs), "update")] if spent(runs) else []
    return ", ".join([*updates, count(seeds, "seed"), count(prompts, "prompt")])


def _even(compared: Sequence[PairedDifference]) -> str:
    """What to call comparisons of which none is decided: the same, where all are, or undecided."""
    if all(d.judgement.verdict == "same" for d in compared):
        margins = [d.comparison.margin for d in compared if d.comparison.margin is not None]
        return f"the same within {max(margins):.2g}" if margins else "the same"
    return "undecided"
