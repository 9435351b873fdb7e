"""What the judges of fidelity say together: the answer that rests on all of them, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....common.lines import count
from ....analysis.agreement import (
    PairOfArms,
    judges_of,
    lead_metrics,
    pairs_of_arms,
    rank_correlations,
    valid_leads,
)
from ....analysis.pooling import PairedDifference, metric_names, not_usable
from ....analysis.result_table import ResultTable
from ....metrics.catalogue import family
from ....report.markup import Table, bullets
from ....report.summary import in_words, ranked, short_list, standing
from ....report.words import ArmNames

NO_JUDGE = (
    "Fidelity has no independent judge here: these records were measured before independent judges existed. Run the "
    "study again to have clips judged. Until then this page shows how clips follow their captions."
)
ABOUT = """\
The verdict of a judge is that of its kernel distance (KAD). The correlations say how alike two metrics rank the same
systems; adherence, which is no measure of fidelity, stands beside them for contrast. Over all systems they are high
whenever both metrics tell noise from music; those over the arms alone say more. A verdict is shared where every judge
that may judge the pair says the same."""
PAIRS = 8  # a longer list of pairs is counted


@dataclass(frozen=True)
class JudgesFindings:
    """What the judges of one table say together.

    Attributes:
        leads: the lead metric of every judge; valid: those that give verdicts on this corpus.
        pairs: every pair of arms with the verdicts of the valid judges.
    """

    leads: list[str]
    valid: list[str]
    pairs: list[PairOfArms]


def ask_judges(table: ResultTable, differences: Sequence[PairedDifference]) -> JudgesFindings:
    """Collect the judges' verdicts on every pair of arms."""
    valid, arms = valid_leads(table), [row.system for row in table.arms]
    return JudgesFindings(lead_metrics(table), valid, pairs_of_arms(differences, arms, valid))


def sounds_real(
    table: ResultTable, differences: Sequence[PairedDifference], found: JudgesFindings, names: ArmNames
) -> str:
    """Which arms sound most like real audio, by the verdicts that all valid judges share."""
    if not found.valid:
        reasons = "; ".join(f"`{name}` ({not_usable(table, name)})" for name in found.leads)
        return f"no judge gives a verdict here: {reasons}"
    if len(found.valid) == 1:
        return f"by one judge alone, `{found.valid[0]}`: {standing(table, differences, found.valid[0])}"
    shared = [pair.ranked for pair in found.pairs if pair.ranked]
    several = [pair for pair in found.pairs if pair.agreement != "single"]
    judged = {system for pair in several for system in (pair.a, pair.b)}
    order = [system for system in by_mean_rank(table, found.valid) if system in judged]
    each = "; ".join(f"`{name}`: {standing(table, differences, name)}" for name in found.valid)
    if not several:
        return f"no pair of arms has two judges that may judge it: {each}"
    if shared:
        return f"{in_words(order, shared, names)}{_open(found)}{_single(table, judged, names)}"
    if any({"better", "worse"} & set(pair.verdicts.values()) for pair in several):
        return f"the judges disagree, no verdict is shared: {each}"
    alike = all(pair.shared == "same" for pair in several)
    told = f"{'the same' if alike else 'undecided'} for all judges: {names.listed(order)}"
    return told + _single(table, judged, names)


def sounds_real_in_short(table: ResultTable, found: JudgesFindings, names: ArmNames) -> str:
    """The arms that no arm is better than by shared verdicts, for a cell of the report's table."""
    if not found.leads:
        return "no independent judge"
    if not found.valid or len(table.arms) < 2:
        return "no verdict"
    pairs = [pair.ranked for pair in found.pairs if pair.ranked]
    if not pairs:
        return "undecided"
    worse = {loser for _, loser in pairs}
    judged = {system for pair in found.pairs if pair.agreement != "single" for system in (pair.a, pair.b)}
    order = [system for system in by_mean_rank(table, found.valid) if system in judged - worse]
    return short_list(order, names)


def by_mean_rank(table: ResultTable, metrics: Sequence[str]) -> list[str]:
    """The arms by their mean rank over several metrics, best first."""
    places: dict[str, list[int]] = {}
    for name in metrics:
        for place, system in enumerate(ranked(table, name)):
            places.setdefault(system, []).append(place)
    return sorted(places, key=lambda system: sum(places[system]) / len(places[system]))


def agreement(table: ResultTable, found: JudgesFindings, names: ArmNames) -> list[str]:
    """The section on the agreement of the judges, as Markdown paragraphs; empty with fewer than two judges."""
    if len(found.leads) < 2:
        return []
    parts = ["## Agreement of the judges", ABOUT]
    if (sheet := correlations(table, found)).body:
        parts.append(sheet.markdown())
    return [*parts, bullets(verdict_lines(found, names))]


def correlations(table: ResultTable, found: JudgesFindings) -> Table:
    """A row for every two metrics: rank correlation over all systems, and over the arms alone."""
    names = [*found.leads, *(name for name in metric_names(table) if family(name) == "adherence")]
    every = {(one.first, one.second): one for one in rank_correlations(table, names, table.rows)}
    arms = {(one.first, one.second): one for one in rank_correlations(table, names, table.arms)}
    body = []
    for pair, one in every.items():
        own = arms.get(pair)
        alone = ["–", "–", "fewer than 3"] if own is None else [f"{own.spearman:.2f}", f"{own.kendall:.2f}", f"{own.n}"]
        body.append([*(f"`{name}`" for name in pair), f"{one.spearman:.2f}", f"{one.kendall:.2f}", f"{one.n}", *alone])
    over = [f"{kind}, {rows}" for rows in ("all systems", "arms") for kind in ("Spearman", "Kendall", "n")]
    return Table(["metric", "and", *over], body)


def verdict_lines(found: JudgesFindings, names: ArmNames) -> list[str]:
    """Which verdicts the judges share, and on which pairs they contradict each other."""
    if len(found.valid) < 2:
        valid = f"only `{found.valid[0]}` gives" if found.valid else "none gives"
        return [f"Of {count(len(found.leads), 'judge')} {valid} verdicts here, so there is nothing to share."]
    kinds: dict[str, list[PairOfArms]] = {"shared": [], "contradicted": [], "single": [], "open": []}
    for pair in found.pairs:
        kinds[pair.agreement].append(pair)
    better = [f"{names[a]} is better than {names[b]}" for a, b in (p.ranked for p in kinds["shared"] if p.ranked)]
    same = [f"{names[pair.a]} and {names[pair.b]} are the same" for pair in kinds["shared"] if not pair.ranked]
    judges = " and ".join(judges_of(found.valid))
    lines = [f"Shared by {judges}: {_listed([*better, *same]) or 'no verdict'}."]
    if kinds["contradicted"]:
        told = [f"{pair.a} and {pair.b} ({_each(pair, names)})" for pair in kinds["contradicted"]]
        lines.append(f"Contradicted: {_listed(told)}.")
    if kinds["single"]:
        told = [f"{pair.a} and {pair.b} ({_each(pair, names)})" for pair in kinds["single"]]
        lines.append(f"Judged by one judge alone, since an arm was trained against another: {_listed(told)}.")
    if kinds["open"]:
        told = [f"{pair.a} and {pair.b}" for pair in kinds["open"]]
        lines.append(f"Not decided alike by all judges: {_listed(told)}.")
    return lines


def _each(pair: PairOfArms, names: ArmNames) -> str:
    """What each judge says of a pair."""
    said = {"better": f"{names[pair.a]} better", "worse": f"{names[pair.b]} better"}
    return "; ".join(f"`{name}`: {said.get(verdict, verdict)}" for name, verdict in pair.verdicts.items())


def _listed(told: Sequence[str]) -> str:
    return ", ".join(told[:PAIRS]) + (f" and {len(told) - PAIRS} more" if len(told) > PAIRS else "")


def _single(table: ResultTable, judged: set[str], names: ArmNames) -> str:
    """The arms that all judges but one were used to train."""
    alone = [row.system for row in table.arms if row.good and row.system not in judged]
    return f"; no shared verdict on {names.listed(alone, again=True)}" if alone else ""


def _open(found: JudgesFindings) -> str:
    against = sum(pair.agreement == "contradicted" for pair in found.pairs)
    return f"; the judges contradict each other on {count(against, 'pair')}" if against else ""
