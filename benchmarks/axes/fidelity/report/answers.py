"""What a study of fidelity answers in short: one question per main metric."""

from __future__ import annotations

from ....analysis.pooling import metric_names, not_usable
from ....analysis.result_table import Board
from ....metrics.catalogue import family
from ....report.chapter import Answer
from ....report.summary import standing, trained, unbeaten
from .tables import spent
from .text import Findings

QUESTIONS = {
    "fad": "Do the clips, taken together, sound like real ones? (FAD, lower is better)",
    "kl": "Do clips contain what the caption's real clip contains? (KL, lower is better)",
    "clap": "Do clips match their captions? (CLAP, higher is better)",
    "adherence": "Do clips have what the caption asks for? (adherence, higher is better)",
}
SHORT = {"fad": "FAD", "kl": "KL", "clap": "CLAP", "adherence": "adherence"}


def answers(one: Findings) -> list[Answer]:
    """One for each main metric that can be used here; none where there is nothing to compare."""
    board = one.board
    if one.short or len([row for row in board.arms if row.good]) < 2:
        return []
    basis = trained(board)
    return [Answer(QUESTIONS[name], standing(board, one.differences, full), basis) for name, full in _asked(board)]


def row(one: Findings) -> dict[str, str]:
    """The study's line among all studies of fidelity: which arms no other arm beats."""
    board = one.board
    cell = board.records[-1].cell
    seeds = len({run.seed for run in board.runs})
    head = {"audio": cell["data"]["corpus"]["name"], "arms": str(len(board.arms))}
    head |= {"updates": spent(board.runs), "seeds": str(seeds)}
    if one.short:
        return {**head, f"not beaten on {SHORT['fad']}": "too short to compare"}
    full = dict(_asked(board))
    told = {n: unbeaten(board, one.differences, full[n]) if n in full else "not usable here" for n in SHORT}
    return {**head, **{f"not beaten on {SHORT[name]}": arms for name, arms in told.items()}}


def weight(board: Board) -> tuple[float, ...]:
    """Paradigms, seeds and updates of a board's arms."""
    updates = [run.training.updates for run in board.runs if run.training]
    paradigms, seeds = {run.cell["model"]["paradigm"] for run in board.runs}, {run.seed for run in board.runs}
    return len(paradigms), len(seeds), min(updates, default=0)


def _asked(board: Board) -> list[tuple[str, str]]:
    """Family and full name of the metrics that answer questions, in the questions' order."""
    names = [(family(name), name) for name in metric_names(board) if not not_usable(board, name)]
    return [(wanted, name) for wanted in QUESTIONS for found, name in names if found == wanted]
