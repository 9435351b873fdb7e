"""Does an arm follow a control? Its metric with all controls against the same arm's with another clip's, paired."""

from __future__ import annotations

from ....analysis.pooling import compare_rows, pooled
from ....analysis.records import Record
from ....analysis.result_table import Board
from ....metrics.statistics import Comparison, Judgement, judge
from ...fidelity.report.tables import figure

FOLLOWED = (("chords", "chord_iou"), ("melody", "melody_chroma"), ("drums", "downbeat_f1"), ("drums", "beat_f1"))
BASIS = (
    "With all controls against another clip's, paired on prompts and seeds, with Holm's correction over the list. A "
    "tempo in the caption gives the beats away, so the down-beats are the better test of drums."
)


Followed = dict[tuple[str, str, str], tuple[Comparison, Judgement]]


def followed(board: Board) -> Followed:
    """(Arm, control, metric) -> what the control's metric gains over the same arm with wrong controls."""
    found = {}
    for arm in dict.fromkeys(row.records[0].system for row in board.arms):
        right, wrong = (board.row(f"{arm}, {scenario}") for scenario in ("all", "wrong"))
        if right is None or wrong is None or not (right.good and wrong.good):
            continue
        for control, name in FOLLOWED:
            measured = _has(right.records[0], control) and name in right.good[0].metrics
            if measured and (compared := compare_rows(board, right, wrong, name)) is not None:
                found[arm, control, name] = compared
    verdicts = judge({"/".join(key): compared for key, compared in found.items()}) if found else {}
    return {key: (compared, verdicts["/".join(key)]) for key, compared in found.items()}


def verdicts(board: Board, found: Followed) -> list[str]:
    """A sentence for each arm and control: does the arm follow it?"""
    lines = []
    for (arm, control, name), (compared, judged) in found.items():
        says = "follows its" if judged.verdict == "better" else "**is not shown to follow its**"
        scores = (figure(pooled(board, row, name)) for case in ("all", "wrong") if (row := board.row(f"{arm}, {case}")))
        gain = compared.difference
        told = f"{gain.estimate:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}], p {judged.p_adjusted:.2g}"
        lines.append(
            f"{arm} {says} {control}: {name} {' with all controls, '.join(scores)} with another clip's: {told}."
        )
    return [BASIS, *lines] if lines else []


def _has(record: Record, control: str) -> bool:
    return any(spec["name"].startswith(control) for spec in record.cell.get("model", {}).get("controls", []))
