"""What the fidelity studies answer at a glance: the study with most paradigms, seeds and updates speaks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.catalogue import family
from benchmarks.report.chapter import Answer
from benchmarks.report.fidelity.board import Board
from benchmarks.report.fidelity.scores import metric_names, not_usable
from benchmarks.report.fidelity.words import Findings
from benchmarks.report.glance import standing, trained

QUESTIONS = {
    "fad": "Whose clips are, as a set, most like real ones?",
    "kl": "In whose clips is heard what is heard in the real clip of the caption?",
    "clap": "Whose clips fit their captions?",
    "adherence": "Who does what captions ask for?",
}


def answers(found: Sequence[Findings]) -> list[Answer]:
    """A line per metric that the speaking study can use; none where no study has two paradigms."""
    one = max(found, key=lambda one: _telling(one.board))
    board = one.board
    if _telling(board)[0] < 2:
        return []
    names = [name for name in metric_names(board) if family(name) in QUESTIONS and not not_usable(board, name)]
    names.sort(key=lambda name: list(QUESTIONS).index(family(name)))
    basis = trained(board)
    return [
        Answer(f"{QUESTIONS[family(name)]} (`{name}`)", standing(board, one.differences, name), board.study, basis)
        for name in names
    ]


def _telling(board: Board) -> tuple[int, int, int]:
    """Paradigms, seeds and updates of a board's arms."""
    updates = [run.training.updates for run in board.runs if run.training]
    paradigms, seeds = {run.cell["model"]["paradigm"] for run in board.runs}, {run.seed for run in board.runs}
    return len(paradigms), len(seeds), min(updates, default=0)
