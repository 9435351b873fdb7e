"""Whether a study is long enough for a comparison: the one place that says from where on verdicts are given."""

from __future__ import annotations

from collections.abc import Sequence

from ...common.lines import count
from .records import Record

UPDATES, PROMPTS = 100, 16  # at least; below them, as in the study "smoke", numbers only show that every part works


def too_short(records: Sequence[Record]) -> str:
    """Why the arms of a table cannot be compared yet; empty where they can.

    Args:
        records: of the table's trained arms.
    """
    updates = [record.training.updates for record in records if record.training]
    prompts = [eval_set["prompts"] for record in records if (eval_set := record.cell.get("evaluation")) and "prompts" in eval_set]
    lacking = []
    if updates and min(updates) < UPDATES:
        lacking.append(f"{count(min(updates), 'update')} of training (at least {UPDATES})")
    if prompts and min(prompts) < PROMPTS:
        lacking.append(f"{count(min(prompts), 'prompt')} (at least {PROMPTS})")
    return f"too short to compare: {' and '.join(lacking)}" if lacking else ""
