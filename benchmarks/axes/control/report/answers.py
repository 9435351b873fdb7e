"""What the studies of control and of inpainting answer in short."""

from __future__ import annotations

from collections.abc import Sequence

from ....analysis.pooling import Difference
from ....analysis.result_table import Board
from ....metrics.catalogue import family
from ....report.chapter import Answer
from ....report.summary import standing, trained, unbeaten
from ...fidelity.report.tables import spent
from .following import FOLLOWED, Followed

FOLLOWS = "Do clips follow the {control} given in time? (gain in {metric} over another clip's, higher is better)"
ASKED = [pair for pair in FOLLOWED if pair[1] != "beat_f1"]  # beats follow from a tempo in the caption
SPANS = "Do filled spans sound like real ones? (FAD of the spans, lower is better)"


def answers(board: Board, compared: Sequence[Difference], found: Followed) -> list[Answer]:
    """One for each control that was tested, and for filled spans where they were compared."""
    basis = trained(board)
    asked = [(FOLLOWS.format(control=control, metric=name), _told(found, name)) for control, name in ASKED]
    lines = [Answer(question, told, basis) for question, told in asked if told]
    return lines + [Answer(SPANS, standing(board, compared, name), basis) for name in _spans(compared)]


def row(board: Board, compared: Sequence[Difference], found: Followed, short: str) -> dict[str, str]:
    """The study's line among all studies of its axis."""
    cell = board.records[-1].cell
    arms = dict.fromkeys(row.records[0].system for row in board.arms)
    head = {"audio": cell["data"]["corpus"]["name"], "arms": str(len(arms)), "updates": spent(board.runs)}
    head["seeds"] = str(len({run.seed for run in board.runs}))
    if short:
        return {**head, "result": "too short to compare"}
    told = {}
    for control, name in FOLLOWED:
        judged = {arm: one for (arm, _, metric), (_, one) in found.items() if metric == name}
        if judged:
            following = [arm for arm, one in judged.items() if one.verdict == "better"]
            told[f"follow {control} ({name})"] = f"{', '.join(following) or 'none'} of {len(judged)}"
    if spans := _spans(compared):
        told["not beaten on FAD of spans"] = unbeaten(board, compared, spans[0])
    return {**head, **told}


def _spans(compared: Sequence[Difference]) -> list[str]:
    names = dict.fromkeys(d.metric for d in compared)
    return [name for name in names if family(name) == "fad" and name.endswith("_span")]


def _told(found: Followed, name: str) -> str:
    """The gains of all arms, those that are decided first."""
    gains = {arm: pair for (arm, _, metric), pair in found.items() if metric == name}
    said: dict[str, list[str]] = {"yes": [], "not shown": []}
    for arm, (compared, judged) in sorted(gains.items(), key=lambda pair: -pair[1][0].difference.estimate):
        side = "yes" if judged.verdict == "better" else "not shown"
        said[side].append(f"{arm} {compared.difference.estimate:+.2f}")
    return "; ".join(f"{side}: {', '.join(arms)}" for side, arms in said.items() if arms)
