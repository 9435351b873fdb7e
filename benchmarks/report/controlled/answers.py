"""What the studies of control and of inpainting answer at a glance."""

from __future__ import annotations

from benchmarks.metrics.catalogue import family
from benchmarks.report.chapter import Answer
from benchmarks.report.controlled.following import FOLLOWED, Followed
from benchmarks.report.fidelity.board import Board
from benchmarks.report.fidelity.scores import differences
from benchmarks.report.glance import standing, trained


def answers(board: Board, axis: str, found: Followed) -> list[Answer]:
    """Its lines of the report at a glance."""
    if axis == "control":
        return _control(board, found)
    compared = differences(board)
    spans = dict.fromkeys(d.metric for d in compared if family(d.metric) == "fad" and d.metric.endswith("_span"))
    question = "Whose filled spans are most like real ones? (`{}`)"
    return [
        Answer(question.format(name), standing(board, compared, name), board.study, trained(board)) for name in spans
    ]


def _control(board: Board, found: Followed) -> list[Answer]:
    """Of each control and metric the gains of all arms, those that are evident first."""
    lines = []
    for control, name in FOLLOWED:
        gains = {arm: pair for (arm, _, metric), pair in found.items() if metric == name}
        ranked = sorted(gains, key=lambda arm: -gains[arm][0].difference.estimate)
        said: dict[str, list[str]] = {"do": [], "not shown": []}
        for arm in ranked:
            compared, judged = gains[arm]
            said["do" if judged.verdict == "better" else "not shown"].append(
                f"{arm} {compared.difference.estimate:+.2f}"
            )
        told = "; ".join(f"{who}: {', '.join(arms)}" for who, arms in said.items() if arms)
        question = f"Who follows {control} given in time? (`{name}` over that with another clip's)"
        lines += [Answer(question, told, board.study, trained(board))] if told else []
    return lines
