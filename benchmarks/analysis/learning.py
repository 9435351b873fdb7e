"""Whether an arm has stopped improving: before that, a ranking of arms measures how fast they learn.

The rule compares the end of the training with the snapshot nearest to half of the updates. In the mean over seeds,
the kernel distance (``kad``) of every judge that may decide on the corpus, and adherence, must have changed by less
than their margins of "same" (``metric_validity.margin``). Every seed needs that snapshot. Where it cannot be told, the
arm counts as still learning.
"""

from __future__ import annotations

from ..metrics.catalogue import evaluator_of, family, is_fidelity, of_whole_clips
from .metric_validity import margin, why_no_verdict
from .records import Record
from .result_table import ResultTable, TableRow

LATEST = 0.75  # of the updates: a later snapshot hardly differs from the end, whatever the training does
NO_SNAPSHOT = "no snapshot shows that learning has stopped"


def still_learning(table: ResultTable, row: TableRow) -> str:
    """Why an arm may not have stopped improving; empty where it has, and for what is not trained.

    Args:
        table: holds the arm's references, by which metrics are judged.
        row: the arm, with its snapshots.
    """
    train = row.good[0].config.train if row.good else None
    if row.kind != "paradigm" or train is None:
        return ""
    halfway = _halfway(row, row.good[0].at_updates or train.updates)
    if not halfway:
        return NO_SNAPSHOT
    ends = {record.seed: record for record in row.good}
    if lacking := sorted(set(ends) - set(halfway)):
        at = next(iter(halfway.values())).at_updates
        seeds = f"seed{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}"
        return f"no snapshot of {seeds} at update {at:,}, so nothing shows that learning has stopped"
    names = [name for name in ends[min(ends)].metrics if _leads(name) and not why_no_verdict(table, name)]
    if not any(is_fidelity(name) for name in names):
        return "no valid judge scored a snapshot, so nothing shows that learning has stopped"
    return "; ".join(why for name in names if (why := _moves(table, name, halfway, ends)))


def _halfway(row: TableRow, updates: int) -> dict[int, Record]:
    """Seed -> the snapshot nearest to half of the updates, of all seeds at the same update; empty: there is none."""
    seeds = {record.seed for record in row.good}
    held = [s for s in row.snapshots if s.seed in seeds and s.at_updates and s.at_updates <= LATEST * updates]
    if not held:
        return {}
    nearest = min((s.at_updates or 0 for s in held), key=lambda at: (abs(at - updates / 2), at))
    return {s.seed: s for s in held if s.at_updates == nearest}


def _leads(name: str) -> bool:
    """Whether a metric shows learning: a judge's ``kad`` of whole clips, or adherence over all attributes."""
    if of_whole_clips(name) != name:
        return False
    return (family(name) == "kad" and is_fidelity(name)) or name == f"adherence_{evaluator_of(name)}"


def _moves(table: ResultTable, name: str, halfway: dict[int, Record], ends: dict[int, Record]) -> str:
    """Why a metric does not show that learning has stopped; empty where it does."""
    pairs = [(halfway[seed].metrics.get(name), end.metrics[name]) for seed, end in ends.items()]
    changes = [b.value - a.value for a, b in pairs if a and a.value is not None and b.value is not None]
    least = margin(table, name)
    if not changes:
        return f"no snapshot has {name}"
    if least is None:
        return f"{name} has no margin here, so nothing shows that it has stopped changing"
    change = sum(changes) / len(changes)
    if abs(change) < least:
        return ""
    at = next(iter(halfway.values())).at_updates
    return f"{name} still changes, by {change:+.2g} after update {at:,} (margin {least:.2g})"
