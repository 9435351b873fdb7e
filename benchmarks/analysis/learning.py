"""Whether an arm has stopped improving: before that, a ranking of arms measures how fast they learn.

The rule compares the end of the training with the snapshot nearest to half of the updates. In the mean over seeds,
the kernel distance (``kad``) of every judge that may decide on the corpus, and adherence, must have changed by less
than their margins of "same" (``metric_validity.margin``). Every seed needs that snapshot. Where it cannot be told, the
arm counts as still learning.

The validation loss alone never shows that an arm has stopped: samples still improve where a flow or diffusion loss
hardly moves (docs/training.md). It can show the contrary: an arm whose budget is by convergence and whose loss did not
stop improving is still learning, whatever the judges hear. ``loss_trend`` says of every arm what its loss did.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from ..metrics.catalogue import evaluator_of, family, is_fidelity, of_whole_clips
from .metric_validity import margin, why_no_verdict
from .records import Record
from .result_table import ResultTable, TableRow

LATEST = 0.75  # of the updates: a later snapshot hardly differs from the end, whatever the training does
NO_SNAPSHOT = "no snapshot shows that learning has stopped"
LEVEL = 0.02  # of the whole improvement: a second half that brought less has hardly improved the validation loss


def still_learning(table: ResultTable, row: TableRow) -> str:
    """Why an arm may not have stopped improving; empty where it has, and for what is not trained.

    Args:
        table: holds the arm's references, by which metrics are judged.
        row: the arm, with its snapshots.
    """
    train = row.good[0].config.train if row.good else None
    if row.kind != "paradigm" or train is None:
        return ""
    unfinished = [r.training.ended for r in row.good if r.training is not None and r.training.converged is False]
    if unfinished:
        return f"the validation loss {unfinished[0]}"
    halfway = _halfway(row, [_end(record, train.updates) for record in row.good])
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


@dataclass(frozen=True)
class LossTrend:
    """What the losses of an arm did in training; means over its seeds.

    Attributes:
        training: the last training loss.
        validation, error: the validation loss at the end, and its standard error over clips.
        late: share of the whole improvement of the validation loss that the second half of the updates brought.
        lowest: the update at which the validation loss was lowest, of the first seed.
        rise: how far it has risen since, as a share of the whole improvement.
        ended: how a budget by convergence ended, in words, of the first seed; empty for others.
    """

    training: float
    validation: float
    error: float
    late: float
    lowest: int
    rise: float
    ended: str

    @property
    def told(self) -> str:
        """The same in words."""
        if self.rise > LEVEL / 2:
            told = f"rises since update {self.lowest:,}"
        else:
            told = "still falls" if self.late >= LEVEL else "hardly falls any more"
        return "; ".join(part for part in (told, self.ended) if part)


def loss_trend(row: TableRow) -> LossTrend | None:
    """What the losses of an arm did; None without a validation loss."""
    runs = [r.training for r in row.good if r.training is not None and len(r.training.validation.get("loss", ())) > 1]
    if not runs:
        return None
    late, rise, lowest = [], [], []
    for run in runs:
        updates, losses = run.validation["update"], run.validation["loss"]
        half = [loss for update, loss in zip(updates, losses) if update <= updates[-1] / 2][-1]
        low = min(losses)
        whole = max(losses[0] - low, 1e-12)
        late.append((half - losses[-1]) / whole)
        rise.append((losses[-1] - low) / whole)
        lowest.append(int(updates[losses.index(low)]))
    return LossTrend(
        training=statistics.fmean(run.curve["loss"][-1] for run in runs),
        validation=statistics.fmean(run.validation["loss"][-1] for run in runs),
        error=statistics.fmean(run.validation["error"][-1] for run in runs),
        late=statistics.fmean(late),
        lowest=lowest[0],
        rise=statistics.fmean(rise),
        ended=runs[0].ended,
    )


def _end(record: Record, updates: int) -> int:
    """The last update of a run, which wall time or the validation loss may have ended before ``updates``."""
    return record.at_updates or (record.training.updates if record.training is not None else updates)


def _halfway(row: TableRow, ends: list[int]) -> dict[int, Record]:
    """Seed -> the snapshot nearest to half of the updates, of all seeds at the same update; empty: there is none.

    Args:
        ends: the last update of each seed.
    """
    seeds, updates = {record.seed for record in row.good}, sum(ends) / len(ends)
    held = [s for s in row.snapshots if s.seed in seeds and s.at_updates and s.at_updates <= LATEST * min(ends)]
    held = [s for s in held if s.status == "ok"]
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
