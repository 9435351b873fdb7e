"""The report at a glance: what the project asks, what the records answer, and which study they come from.

Every chapter brings its own answers (``chapter.Answer``). Here they are one table, and ``standing`` words most of them:
who is beaten by whom, by the paired differences of a board.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report.chapter import Answer
    from benchmarks.report.fidelity.board import Board
    from benchmarks.report.fidelity.scores import Difference

TITLE = "At a glance"
HOW = """\
Beaten: evidently worse than another arm, on the same prompts and seeds, after Holm's correction over the study's table.
All of it is about models of this size and training, on the audio and by the evaluator that the study names."""


def glance(answers: Sequence[Answer], report: str = "") -> str:
    """The table, as Markdown; empty without answers.

    Args:
        report: the file that the links lead into, as seen from where the table stands.
    """
    from benchmarks.report.chapter import anchor
    from benchmarks.report.table import Table

    if not answers:
        return ""
    body = [
        [one.question, one.answer, f"[{one.heading}]({report}#{anchor(one.heading)}){one.basis and ': ' + one.basis}"]
        for one in answers
    ]
    return f"{Table(['question', 'what the records say', 'evidence'], body).markdown()}\n\n{HOW}"


def standing(board: Board, differences: Iterable[Difference], name: str) -> str:
    """The arms that no other arm evidently beats on a metric, then the others and what beats them, best first."""
    from benchmarks.report.fidelity.scores import pooled

    beaten_by: dict[str, list[str]] = {}
    compared = [d for d in differences if d.metric == name and d.b != "shuffled_captions"]
    for d in compared:
        if d.ranked:
            winner, loser = d.ranked
            beaten_by.setdefault(loser, []).append(winner)
    scores = {row.system: pooled(board, row, name) for row in board.arms if row.good}
    sign = -1 if any(score.better == "higher" for score in scores.values()) else 1
    known = {system: score.value for system, score in scores.items() if score.value is not None}
    order = sorted(known, key=lambda system: sign * known[system])
    told = {system: f"{system} {known[system]:#.3g}" for system in order}
    first = "not beaten" if beaten_by else "no pair of arms is decided" if compared else "not compared"
    parts = [f"{first}: {', '.join(told[system] for system in order if system not in beaten_by)}"]
    if beaten_by:
        losers = (f"{told[system]} (by {', '.join(beaten_by[system])})" for system in order if system in beaten_by)
        parts.append(f"beaten: {', '.join(losers)}")
    return "; ".join(parts)


def trained(board: Board) -> str:
    """What a board's arms were given: updates, seeds, prompts."""
    from benchmarks.report.fidelity.tables import spent

    runs = board.runs
    seeds = len({record.seed for record in runs})
    prompts = max((record.cell["evaluation"]["prompts"] for record in runs), default=0)
    return f"{spent(runs)} updates, {seeds} seed{'s' * (seeds > 1)}, {prompts} prompts"
