"""Answers in one line: the table of questions, and who is beaten by whom on a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...common.lines import count

if TYPE_CHECKING:
    from ..analysis.pooling import Difference
    from ..analysis.result_table import Board
    from .chapter import Answer
    from .table import Table

HOW = """\
An arm is beaten where another arm's score is better on the same prompts and seeds, with p < .05 after Holm's correction
over all comparisons of the study."""
UNDECIDED = "no significant difference"
NAMED = 3  # arms that a short list names


def answer_table(answers: Sequence[tuple[Answer, str]]) -> Table:
    """Questions, answers, and the evidence: a link, and what the answer rests on."""
    from .table import Table

    rows = [[one.question, one.answer, f"{link}: {one.basis}" if one.basis else link] for one, link in answers]
    return Table(["question", "answer", "evidence"], rows)


def beaten(differences: Iterable[Difference], name: str) -> dict[str, list[str]] | None:
    """Beaten arm -> the arms that beat it on a metric; None where no two arms were compared on it."""
    compared = [d for d in differences if d.metric == name and d.b != "shuffled_captions"]
    found: dict[str, list[str]] = {}
    for winner, loser in (d.ranked for d in compared if d.ranked):
        found.setdefault(loser, []).append(winner)
    return found if compared else None


def standing(board: Board, differences: Iterable[Difference], name: str) -> str:
    """The arms that no other arm beats on a metric, then those that are beaten and by whom, best first."""
    ordered, by = ranked(board, name), beaten(differences, name)
    told = {system: f"{system} {value:#.3g}" for system, value in ordered.items()}
    if by is None:
        return f"not compared: {', '.join(told.values())}"
    if not by:
        return f"{UNDECIDED}: {', '.join(told.values())}"
    parts = [f"not beaten: {', '.join(told[system] for system in ordered if system not in by)}"]
    groups: dict[str, list[str]] = {}
    for system in ordered:
        if system in by:
            groups.setdefault(", ".join(by[system]), []).append(told[system])
    return "; ".join([*parts, *(f"beaten by {winners}: {', '.join(losers)}" for winners, losers in groups.items())])


def unbeaten(board: Board, differences: Iterable[Difference], name: str) -> str:
    """The arms that no other arm beats, best first, for a cell of a table; a dash where none were compared."""
    by = beaten(differences, name)
    if by is None:
        return "–"
    if not by:
        return "undecided"
    good = [system for system in ranked(board, name) if system not in by]
    more = f" and {len(good) - NAMED} more" if len(good) > NAMED else ""
    return ", ".join(good[:NAMED]) + more


def ranked(board: Board, name: str) -> dict[str, float]:
    """Arm -> its score, best first."""
    from ..analysis.pooling import pooled

    scores = {row.system: pooled(board, row, name) for row in board.arms if row.good}
    sign = -1 if any(score.better == "higher" for score in scores.values()) else 1
    known = {system: score.value for system, score in scores.items() if score.value is not None}
    return dict(sorted(known.items(), key=lambda pair: sign * pair[1]))


def trained(board: Board) -> str:
    """What a board's arms were given: updates, seeds, prompts."""
    from ..axes.fidelity.report.tables import spent

    runs = board.runs
    seeds = len({record.seed for record in runs})
    prompts = max((record.cell["evaluation"]["prompts"] for record in runs), default=0)
    updates = [count(spent(runs), "update")] if spent(runs) else []
    return ", ".join([*updates, count(seeds, "seed"), count(prompts, "prompt")])
