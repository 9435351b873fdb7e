"""What one study of fidelity shows, in the lines that a reader of the report sees first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .....common.lines import count
from ....analysis.agreement import PairOfArms, judges_of
from ....analysis.costs import costs_of
from ....analysis.learning import still_learning
from ....analysis.pooling import PairedDifference
from ....analysis.result_table import ResultTable
from ....report.scores import millions, size_note, spent
from ....report.summary import between_arms
from ....study.references import BASELINES
from .judges import JudgesFindings

NAMED = 6  # pairs that a line names; the study's page has all


def brief(
    table: ResultTable, compared: Sequence[PairedDifference], judges: JudgesFindings, captions: Sequence[str]
) -> list[str]:
    """What is decided and by how much, what is undecided, which arms still learn, and at which scale.

    Args:
        captions: metrics that read captions and may decide.

    Returns:
        Lines of Markdown; none where fewer than two arms can be compared.
    """
    if len([row for row in table.arms if row.good]) < 2 or not compared:
        return []
    lines = [*_by_judges(compared, judges), *(_by_metric(table, compared, name) for name in captions)]
    lines += [*_baselines(table, compared, judges), _learning(table), _scale(table), *size_note(table)]
    return [line for line in lines if line]


def _by_judges(compared: Sequence[PairedDifference], judges: JudgesFindings) -> list[str]:
    """The verdicts of the judges on pairs of arms, by how far they agree."""
    if not judges.valid:
        return ["**Fidelity:** no judge gives a verdict here."]
    if len(judges.valid) == 1:
        return [f"**Fidelity:** one judge alone gives verdicts, {judges_of(judges.valid)[0]}, so none is shared."]
    every = judges.pairs
    decided, same = [p for p in every if p.ranked], [p for p in every if p.shared == "same"]
    split = [p for p in every if p.agreement == "contradicted"]
    partly = [p for p in every if p.agreement == "open" and {"better", "worse"} & set(p.verdicts.values())]
    left = [p for p in every if p not in (*decided, *same, *split, *partly)]
    by = f"by all judges ({', '.join(judges_of(judges.valid))})"
    told = [f"{a} better than {b} by {_sizes(compared, p)}" for p in decided for a, b in [p.ranked or ("", "")]]
    lines = [f"**Fidelity, decided {by}:** {len(decided)} of {count(len(every), 'pair')} of arms{_after(told)}."]
    if same:
        lines.append(f"**Fidelity, the same {by}:** {_pairs(same)}.")
    if split:
        lines.append(f"**Fidelity, judges contradict each other:** {_pairs(split)}.")
    if partly:
        told = [f"{p.a} and {p.b} ({_who(p)})" for p in partly]
        lines.append(f"**Fidelity, decided by some judges only:** {len(partly)} of {len(every)}{_after(told)}.")
    if left:
        lines.append(f"**Fidelity, undecided:** {len(left)} of {len(every)}, {_pairs(left)}.")
    return lines


def _by_metric(table: ResultTable, compared: Sequence[PairedDifference], name: str) -> str:
    """The verdicts of a metric that reads captions."""
    pairs = between_arms(table, compared, name)
    if not pairs:
        return ""
    decided = [d for d in pairs if d.ranked]
    told = [f"{winner} better than {loser} by {_size(d)}" for d in decided for winner, loser in [d.ranked or ("", "")]]
    kinds = {"same": "the same", "undecided": "undecided"}
    rest = [
        f"{sum(d.judgement.verdict == kind for d in pairs)} {word}"
        for kind, word in kinds.items()
        if any(d.judgement.verdict == kind for d in pairs)
    ]
    return f"**`{name}`:** {len(decided)} of {count(len(pairs), 'pair')} decided{_after(told)}{_joined('; ', rest)}."


def _baselines(table: ResultTable, compared: Sequence[PairedDifference], judges: JudgesFindings) -> list[str]:
    """Which arms do not beat a baseline that needs no model, by every judge."""
    arms, lines = [row.system for row in table.arms if row.good], []
    for baseline in BASELINES:
        against = [d for d in compared if d.b == baseline and d.metric in judges.valid]
        if not against:
            continue
        won = {arm: _won(against, arm) for arm in arms}
        asked, groups = judges_of(d.metric for d in against), dict[str, list[str]]()
        for arm in (arm for arm in arms if len(won[arm]) < len(asked)):
            groups.setdefault(f"better only by {', '.join(won[arm])}" if won[arm] else "better by no judge", []).append(
                arm
            )
        short = "; ".join(f"{', '.join(group)} {kind}" for kind, group in groups.items())
        lines.append(f"**Against `{baseline}`:** {short or 'every arm is better by every judge'}.")
    return lines


def _won(against: Sequence[PairedDifference], arm: str) -> list[str]:
    """The judges by which an arm is better than a baseline."""
    return judges_of(d.metric for d in against if d.a == arm and d.judgement.verdict == "better")


def _learning(table: ResultTable) -> str:
    why = {row.system: still_learning(table, row) for row in table.arms if row.good}
    told = [f"{system} ({reason})" for system, reason in why.items() if reason]
    if not told:
        return "**Learning:** every arm has stopped improving."
    same = set(why.values())
    if len(same) == 1 and len(told) > 1:
        return f"**Learning:** no arm is known to have stopped improving: {next(iter(same))}."
    some = f"{len(told)} of {count(len(why), 'arm')} are not known to have stopped improving"
    return f"**Learning:** {some}: {'; '.join(told)}."


def _scale(table: ResultTable) -> str:
    costs = list(costs_of(table.arms).values())
    if not costs:
        return ""
    prompts = max((run.config.evaluation.prompts for run in table.runs), default=0)
    parts = [
        f"{_range((cost.parameters for cost in costs), millions)} trained parameters",
        f"{count(spent(table.runs), 'update')}",
    ]
    hours, flops = [c.hours for c in costs if c.hours is not None], [c.flops for c in costs if c.flops is not None]
    parts += [f"{_range(hours, lambda h: f'{h:,.3g}')} h of audio heard"] if hours else []
    parts += [f"{_range(flops, lambda f: f'{f / 1e12:,.3g}')} TFLOPs"] if flops else []
    corpus = table.newest.config.data.corpus.name
    on = f"{count(table.seeds, 'seed')}, {count(prompts, 'prompt')} of the corpus `{corpus}`"
    return f"**Scale:** {count(len(table.labels), 'arm')} of {', '.join(parts)} each; {on}."


def _range(values: Iterable[float], shown: Callable[[float], str]) -> str:
    known = sorted(values)
    ends = dict.fromkeys([shown(known[0]), shown(known[-1])])
    return " to ".join(ends)


def _sizes(compared: Sequence[PairedDifference], pair: PairOfArms) -> str:
    """``4.9 (kad_musicnn), 10 (kad_aisfx)``: how much lower the distance of the better arm is, by judge."""
    held = [d for d in compared if (d.a, d.b) == (pair.a, pair.b) and d.metric in pair.verdicts]
    return ", ".join(f"{_size(d)} ({d.metric})" for d in held)


def _size(d: PairedDifference) -> str:
    gap = d.comparison.difference
    low, high = sorted((abs(gap.low), abs(gap.high)))
    return f"{abs(gap.estimate):.2g} [{low:.2g}, {high:.2g}]" if gap.low * gap.high > 0 else f"{abs(gap.estimate):.2g}"


def _who(pair: PairOfArms) -> str:
    words = {"better": f"{pair.a} better", "worse": f"{pair.b} better", "same": "the same"}
    return ", ".join(f"{judges_of([name])[0]} {words.get(verdict, verdict)}" for name, verdict in pair.verdicts.items())


def _pairs(pairs: Sequence[PairOfArms]) -> str:
    more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
    return ", ".join(f"{p.a} and {p.b}" for p in pairs[:NAMED]) + more


def _after(told: Sequence[str]) -> str:
    more = [f"{len(told) - NAMED} more on the study's page"] if len(told) > NAMED else []
    return _joined(": ", ["; ".join([*told[:NAMED], *more])] if told else [])


def _joined(before: str, parts: Sequence[str]) -> str:
    return before + ", ".join(parts) if parts else ""
