"""Scores as text, and the table of systems x metrics that several chapters show."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis import published
from ..analysis.costs import TOLERANCE, sizes, unequal
from ..analysis.metric_validity import is_tagger_distance
from ..analysis.pooling import pooled
from ..analysis.records import Record
from ..analysis.result_table import ResultTable, TableRow
from ..metrics.catalogue import CATALOGUE, family
from ..metrics.metric import Metric
from .markup import Table, folded

UNEQUAL = "§"  # behind the name of an arm that is larger or smaller than the others
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}  # after a metric's name: its better end


def figure(m: Metric) -> str:
    """A score with its interval, as in ``0.61 [0.52, 0.70]``; a dash where the metric has no value."""
    if m.value is None:
        return "–"
    digits = 2 if abs(m.value) < 10 else 1
    bounds = "" if m.low is None or m.high is None else f" [{fixed(m.low, digits)}, {fixed(m.high, digits)}]"
    return fixed(m.value, digits) + bounds


def fixed(value: float, digits: int) -> str:
    """A number with ``digits`` decimals; zero never has a sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0 turns -0.0 into 0.0


def heading(table: ResultTable, name: str) -> str:
    """A metric's name with the arrow of its better end, as the records state it."""
    better = next((r.metrics[name].better for row in table.rows for r in row.good if name in r.metrics), "neither")
    return name + ARROWS[better]


def system_names(table: ResultTable) -> dict[str, str]:
    """System -> its name in tables: an arm of another size than the others has a mark, which ``size_note`` explains."""
    marked = unequal(sizes(table))
    return {row.system: f"{row.system} {UNEQUAL}" if row.system in marked else row.system for row in table.rows}


def size_note(table: ResultTable) -> list[str]:
    """The line that says that arms differ in size; none where their trained parameters agree."""
    held = sizes(table)
    if not unequal(held):
        return []
    small, large = min(held, key=held.__getitem__), max(held, key=held.__getitem__)
    more = held[large] / held[small] - 1
    return [
        f"{UNEQUAL} Arms differ in size by more than {TOLERANCE:.0%}: from {small} with {millions(held[small])} "
        f"trained parameters to {large} with {millions(held[large])} ({more:.0%} more). Size may explain differences."
    ]


def millions(n: float) -> str:
    """A number of parameters in few digits: ``1.44 M``, ``12,345``."""
    return f"{n / 1e6:.3g} M" if n >= 1e5 else f"{n:,.0f}"


def failure(row: TableRow) -> str:
    """Why a row has no scores."""
    return next((f"{r.status}: {r.reason}" for r in row.records if r.status != "ok"), "")


def reference_rows(table: ResultTable) -> frozenset[int]:
    """The indices of a table's rows that are references."""
    return frozenset(i for i, row in enumerate(table.rows) if row.kind == "reference")


def clip_counts(row: TableRow) -> str:
    """The largest n of a row's metrics, and its number of seeds, as in ``64 × 2 seeds``."""
    n = most_clips(row)
    return f"{n}" if len(row.good) == 1 else f"{n} × {len(row.good)} seeds"


def most_clips(row: TableRow) -> int:
    """The largest n of a row's metrics."""
    return max((m.n for m in row.good[0].metrics.values()), default=0)


def scores_of(table: ResultTable, row: TableRow, names: Sequence[str]) -> list[str]:
    """A row's scores as text; where it has none, the reason in place of the first."""
    if not row.good:
        return [failure(row), *[""] * (len(names) - 1)]
    return [figure(pooled(table, row, name)) for name in names]


def score_table(table: ResultTable, families: Sequence[str]) -> Table:
    """Systems x metrics with intervals; distances by an attribute tagger are left out.

    Args:
        families: the metrics to show, by whichever evaluator, in this order.
    """
    found = {name for row in table.rows for record in row.good for name in record.metrics}
    held = {name for name in found if not is_tagger_distance(name)}
    names = [name for wanted in families for name in sorted(held) if family(name) == wanted]
    called = system_names(table)
    body = [[called[row.system], *scores_of(table, row, names)] for row in table.rows]
    header = ["system", *(heading(table, name) for name in names)]
    return Table(header, body, italic=reference_rows(table), notes=tuple(size_note(table)))


def stated_scores(paper: str, table: str, settings: Sequence[str], called: dict[str, str]) -> str:
    """One of a paper's tables, folded; empty where it was not collected.

    Its music, codec and model size differ from ours, so only the order of its rows compares.

    Args:
        settings: the first of them that a row of the paper states is shown after the system's name.
        called: the paper's name of a metric -> ours.
    """
    found = [one for one in published.results() if (one.paper, one.table) == (paper, table) and one.value]
    stated: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        given = next((one.setting[key] for key in settings if one.setting.get(key)), "")
        row = stated.setdefault((one.system, f", {given}" if given else ""), {})
        row[called.get(one.metric, one.metric)] = one.value
    names = [name for name in CATALOGUE if any(name in values for values in stated.values())]
    source = f"{published.NAMES[paper]}, {table.lower()}"
    body = [
        [system + given, source, *(values.get(n, "–") for n in names)] for (system, given), values in stated.items()
    ]
    return folded("Published figures", Table(["system", "source", *names], body).markdown()) if body else ""


def spent(records: Sequence[Record]) -> str:
    """Updates that the records' arms were trained for, fewest to most, as in ``1,400–1,450``."""
    updates = sorted({record.training.updates for record in records if record.training})
    return "–".join(f"{n:,}" for n in dict.fromkeys([*updates[:1], *updates[-1:]]))
