"""Answers in one line: the table of questions, and the arms of a study ranked on a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...common.lines import count
from ..analysis.pooling import PairedDifference, pooled
from ..analysis.result_table import ResultTable
from .chapter import Answer
from .markup import Table
from .scores import spent

HOW = """\
An arm is beaten where another arm's score is better on the same prompts and seeds, with p < .05 after Holm's correction
over all comparisons of the study."""
UNDECIDED = "no significant difference"
NAMED = 3  # number of arms that a short list names


def answer_table(answers: Sequence[tuple[Answer, str]]) -> Table:
    """One row per question: the answer, and a link to the study with what it is based on."""
    rows = [[one.question, one.answer, f"{link}: {one.basis}" if one.basis else link] for one, link in answers]
    return Table(["question", "answer", "evidence"], rows)


def beaten(differences: Iterable[PairedDifference], name: str) -> dict[str, list[str]] | None:
    """Arm -> the arms that are significantly better on a metric; None where no two arms were compared on it."""
    compared = [d for d in differences if d.metric == name and d.b != "shuffled_captions"]
    found: dict[str, list[str]] = {}
    for winner, loser in (d.ranked for d in compared if d.ranked):
        found.setdefault(loser, []).append(winner)
    return found if compared else None


def standing(table: ResultTable, differences: Iterable[PairedDifference], name: str) -> str:
    """The arms that are not beaten on a metric, then those that are and by whom; each best first, with scores."""
    ordered, by = ranked(table, name), beaten(differences, name)
    scores = {system: f"{system} {value:#.3g}" for system, value in ordered.items()}
    if by is None:
        return f"not compared: {', '.join(scores.values())}"
    if not by:
        return f"{UNDECIDED}: {', '.join(scores.values())}"
    parts = [f"not beaten: {', '.join(scores[system] for system in ordered if system not in by)}"]
    groups: dict[str, list[str]] = {}
    for system in ordered:
        if system in by:
            groups.setdefault(", ".join(by[system]), []).append(scores[system])
    return "; ".join([*parts, *(f"beaten by {winners}: {', '.join(losers)}" for winners, losers in groups.items())])


def unbeaten(table: ResultTable, differences: Iterable[PairedDifference], name: str) -> str:
    """The arms that are not beaten, best first, for a cell of a table; a dash where none were compared."""
    by = beaten(differences, name)
    if by is None:
        return "–"
    if not by:
        return "undecided"
    good = [system for system in ranked(table, name) if system not in by]
    more = f" and {len(good) - NAMED} more" if len(good) > NAMED else ""
    return ", ".join(good[:NAMED]) + more


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
