"""The ledger, shown: a page with every claim and the papers' mistakes, the same as CSV, a table for the terminal.

results/papers/claims.md, claims.csv
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...common.lines import count
from ..analysis import published
from ..analysis.published import Inconsistency
from ..analysis.records import record_file
from ..report.figure_cache import write_changed
from ..report.markup import folded, link
from ..report.table import Table
from .claim_tests import Outcome
from .claims import Ruling, as_csv, counts

TITLE = "Published claims"
HOW = """\
A verdict holds for the scale and the evaluator named beside it; it says nothing about the paper's own experiments.

- `holds`, `fails`: decided by the contrasts below the claim. Quality is paired on prompt and seed, with a 95% bootstrap
  interval clustered on both and Holm's correction over the contrasts of a claim; speed is a ratio of medians. A claim
  with several contrasts holds where all of them do.
- `undecided`: the interval allows both.
- `not testable`: records are missing, or no study here can decide the claim.
- `at the floor`: the named arms do not follow captions yet (their CLAP is not above that of real audio of other
  captions), so the contrast compares their sound alone."""


def write_ledger(rulings: Sequence[Ruling], results: Path) -> Path:
    """Write the page and the CSV; returns the page."""
    page = results / "papers" / "claims.md"
    write_changed(page.with_suffix(".csv"), as_csv(rulings))
    parts = [f"# {TITLE}", "Written by `bench claims`.", HOW, f"All: {counts(rulings)}."]
    for paper in dict.fromkeys(ruling.claim.paper for ruling in rulings):
        own = [ruling for ruling in rulings if ruling.claim.paper == paper]
        parts += [f"## {published.NAMES[paper]}", f"{counts(own)}.", *(_told(ruling, page.parent) for ruling in own)]
    parts += ["## Known mistakes in the papers", *mistakes(published.inconsistencies(results))]
    write_changed(page, "\n\n".join(parts) + "\n")
    return page


def numbers(outcome: Outcome) -> list[str]:
    """Effect with interval, p and n, as text."""
    if outcome.effect is None:
        return [outcome.why, "", ""]
    sign = "×" if outcome.statistic == "ratio" else ""
    effect = f"{sign}{outcome.effect:.3g} [{outcome.low:.3g}, {outcome.high:.3g}]"
    if outcome.contrast.expect == "same" and outcome.margin is not None:
        effect += f", same within {outcome.margin:.2g}"
    if outcome.contrast.expect == "far_better" and outcome.margin is not None:
        effect += f", far from {outcome.margin:.2g} on"
    n = f"{outcome.n}" + (
        f" ({count(outcome.prompts, 'prompt')}, {count(outcome.seeds, 'seed')})" if outcome.prompts else ""
    )
    return [effect, "" if outcome.p is None else f"{outcome.p:.2g}", n]


def mistakes(found: Sequence[Inconsistency]) -> list[str]:
    """The papers' mistakes, a list for each."""
    parts = []
    for paper in dict.fromkeys(one.paper for one in found):
        lines = [
            f"- **{one.id}** {one.problem}" + (f" Reading here: {one.reading}" if one.reading else "")
            for one in found
            if one.paper == paper
        ]
        parts += [f"### {published.NAMES[paper]}", "\n".join(lines)]
    return parts


def _told(ruling: Ruling, home: Path) -> str:
    """One claim in full."""
    claim = ruling.claim
    lines = [f"**{claim.id}: {ruling.verdict}.** {claim.statement}" + (f" ({claim.source})." if claim.source else ".")]
    lines += [f"Published: {claim.evidence}."] if claim.evidence else []
    lines += [f"The paper's own numbers: {claim.check}."] if claim.check else []
    lines += [f"Tested: {ruling.trial.scope}."] if ruling.trial.scope else []
    if ruling.verdict == "not testable":
        lines.append(f"Not testable here: {ruling.why}.")
    elif ruling.scale:
        lines.append(f"At this scale: {ruling.scale}.")
    text = "\\\n".join(lines)
    if any(outcome.effect is not None for outcome in ruling.outcomes):
        rows = [[o.contrast.title, _verdict(o), *numbers(o)] for o in ruling.outcomes]
        text += "\n\n" + Table(["contrast", "it", "effect [95%]", "p", "n"], rows).markdown()
        files = [link(record.stem, record_file(folder, record), home) for folder, record in ruling.records]
        text += "\n\n" + folded(f"Records of {claim.id}", " ".join(files))
    return text


def _verdict(outcome: Outcome) -> str:
    """What is said of a contrast, and which of its arms follow no caption."""
    return outcome.verdict + (f"; at the floor: {', '.join(outcome.floored)}" if outcome.floored else "")


def rows(rulings: Sequence[Ruling]) -> Table:
    """A line per claim: its verdict and the strongest evidence for it, cut to a terminal's width."""
    body = [[r.claim.id, r.verdict, _cut(r.claim.statement, 60), _cut(_short(r), 90)] for r in rulings]
    return Table(["claim", "verdict", "statement", "evidence here"], body)


def _short(ruling: Ruling) -> str:
    if ruling.verdict == "not testable":
        return ruling.why
    first = next((o for o in ruling.outcomes if o.verdict == ruling.verdict), ruling.outcomes[0])
    return f"{first.contrast.title}: {numbers(first)[0]}, n {first.n}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
