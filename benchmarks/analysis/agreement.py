"""Whether the judges of fidelity agree: rank correlations over systems, and the verdicts that all judges share.

The verdict of a judge is that of its lead metric, the kernel distance (KAD), which has no bias. A pair of arms has a
shared verdict where every judge that may judge it says the same. A judge may not judge a pair where its metric gives no
verdict on this corpus, or where one of the arms was trained against it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..metrics.catalogue import about, evaluator_of, family, is_fidelity, of_whole_clips
from ..metrics.statistics import Verdict
from .pooling import PairedDifference, metric_names, not_usable, pooled
from .result_table import ResultTable, TableRow

LEAD = "kad"  # the family of a judge's lead metric
SYSTEMS = 3  # fewer have no rank correlation worth a number
REVERSED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class RankCorrelation:
    """How alike two metrics rank the same systems, best first in both.

    Attributes:
        spearman, kendall: Spearman's rho and Kendall's tau-b, from -1 (reversed) to 1 (the same order).
        n: number of systems that both metrics score.
    """

    first: str
    second: str
    spearman: float
    kendall: float
    n: int


@dataclass(frozen=True)
class PairOfArms:
    """What each judge says about arm ``a`` against arm ``b``.

    Attributes:
        verdicts: lead metric of a judge -> its verdict on ``a``.
    """

    a: str
    b: str
    verdicts: Mapping[str, Verdict]

    @property
    def agreement(self) -> Literal["shared", "contradicted", "single", "open"]:
        """``shared``: two judges or more, all with the same verdict, which is not undecided. ``contradicted``: one says
        better, another worse. ``single``: only one judge may judge this pair. ``open``: anything else."""
        found = set(self.verdicts.values())
        if {"better", "worse"} <= found:
            return "contradicted"
        if len(self.verdicts) < 2:
            return "single"
        return "shared" if len(found) == 1 and "undecided" not in found else "open"

    @property
    def shared(self) -> Verdict:
        """The verdict on ``a`` that all judges share; ``undecided`` where they share none."""
        return next(iter(self.verdicts.values())) if self.agreement == "shared" else "undecided"

    @property
    def ranked(self) -> tuple[str, str] | None:
        """Better and worse arm by all judges; None where they do not share such a verdict."""
        return {"better": (self.a, self.b), "worse": (self.b, self.a)}.get(self.shared)


def lead_metrics(table: ResultTable) -> list[str]:
    """The lead metric of every judge that has scored the table's systems, in the order of the study's judges."""
    stated = [judge.name for judge in table.newest.config.evaluation.judges]
    every = [name for name in metric_names(table) if is_fidelity(name) and family(name) == LEAD]
    found = [name for name in every if of_whole_clips(name) == name]
    return sorted(found, key=lambda name: stated.index(evaluator_of(name)) if evaluator_of(name) in stated else -1)


def valid_leads(table: ResultTable) -> list[str]:
    """The lead metrics that give verdicts on this corpus."""
    return [name for name in lead_metrics(table) if not not_usable(table, name)]


def pairs_of_arms(
    differences: Iterable[PairedDifference], arms: Sequence[str], leads: Sequence[str]
) -> list[PairOfArms]:
    """Every pair of arms that a judge compares, with the verdicts of all judges.

    Args:
        leads: the judges' lead metrics that may decide.
    """
    held: dict[tuple[str, str], dict[str, Verdict]] = {}
    for d in differences:
        if d.metric in leads and d.a in arms and d.b in arms:
            held.setdefault((d.a, d.b), {})[d.metric] = d.judgement.verdict
    return [PairOfArms(a, b, verdicts) for (a, b), verdicts in held.items()]


def rank_correlations(table: ResultTable, names: Sequence[str], rows: Sequence[TableRow]) -> list[RankCorrelation]:
    """Spearman's and Kendall's correlation of every two metrics over the systems of ``rows`` that both score.

    Pairs of metrics that share fewer than three systems are left out.
    """
    from scipy.stats import kendalltau, spearmanr  # slow to load

    found = []
    for first, second in itertools.combinations(names, 2):
        scored = [(_goodness(table, row, first), _goodness(table, row, second)) for row in rows if row.good]
        both = [(a, b) for a, b in scored if not (math.isnan(a) or math.isnan(b))]
        columns = tuple(zip(*both))
        if len(both) < SYSTEMS or any(len(set(column)) < 2 for column in columns):
            continue
        rho, tau = (float(measure(*columns).statistic) for measure in (spearmanr, kendalltau))
        found.append(RankCorrelation(first, second, rho, tau, len(both)))
    return found


def judges_of(names: Iterable[str]) -> list[str]:
    """The evaluators that metrics name, in order."""
    return list(dict.fromkeys(evaluator_of(name) for name in names))


def _goodness(table: ResultTable, row: TableRow, name: str) -> float:
    """A score that is higher for the better system; NaN where there is none."""
    value = pooled(table, row, name).value
    if value is None:
        return math.nan
    return -value if about(name).better == "lower" else value
