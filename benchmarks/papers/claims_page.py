"""The published claims with their verdicts, as a page, as CSV and for a terminal.

results/papers/claims.md, claims.csv
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...common.lines import count
from ..analysis import published
from ..analysis.published import Inconsistency
from ..analysis.records import record_file
from ..report.markup import Table, folded, link, write_changed
from .claim_tests import NOT_TESTED, ContrastResult, MetricResult
from .claims import NOTHING, TESTS, ClaimResult, read_claim_tests, verdict_counts

FIELDS = (
    "claim", "paper", "verdict", "contrast", "contrast_verdict", "metric", "metric_verdict", "statistic", "effect",
    "low", "high", "margin", "p", "n", "prompts", "seeds", "note", "missing", "compared_there", "stands_in_here",
    "scale", "records",
)  # fmt: skip
EXPLANATION = """\
A verdict is about the scale and the judges named beside it; it says nothing about the paper's own experiments.

- `seen at this scale`, `not seen at this scale`: decided by all contrasts below the claim. `mixed`: some of them are
  seen, others are not. `undecided`: the evidence allows both, or judges disagree.
- `not tested here`: something that a verdict needs is missing, and all of it is named. A verdict needs arms that have
  stopped learning and lie above the floors (noise, silence, sine chords, captions of other clips), three training
  seeds, a metric that is valid on the corpus, the claim's own metric and comparison, and for speed the class of machine
  that the claim names. Numbers of such contrasts are shown all the same.
- Quality is paired on prompt and seed. Intervals are 95%, from the variance between prompts, between seeds and within
  both. p is corrected by Holm's method over all contrasts of a paper, and is at least that of the study's own table of
  fidelity or inpainting, so a claim and such a table never contradict each other. The pages of control and frame rates
  correct over families of their own, so there a claim may decide what the page leaves undecided, or the reverse. A
  difference within the margin of "same" is neither better nor worse.
- Every valid judge tests a contrast, and they must agree. Where a study has fewer than 256 clips in a set, KAD stands
  in for FAD, because FAD of so few clips is mostly bias.
- Speed is a ratio of medians, with an interval from the ends of theirs; speeds within 10% are the same."""


def write_claims_page(results: Sequence[ClaimResult], folder: Path) -> Path:
    """Write the page of claims and the CSV into the results folder ``folder``; returns the page."""
    page = folder / "papers" / "claims.md"
    write_changed(page.with_suffix(".csv"), as_csv(results))
    total = f"{count(len(results), 'claim')}: {verdict_counts(results)}."
    parts = ["# Published claims", "Written by `bench claims`.", EXPLANATION, total]
    for paper in dict.fromkeys(result.claim.paper for result in results):
        own = [result for result in results if result.claim.paper == paper]
        parts += [f"## {published.NAMES[paper]}", f"{count(len(own), 'claim')}: {verdict_counts(own)}."]
        parts += [read_claim_tests(TESTS / f"{paper}.yaml").setting, *(_section(r, page.parent) for r in own)]
    parts += ["## Known mistakes in the papers", *_mistakes(published.inconsistencies())]
    write_changed(page, "\n\n".join(parts) + "\n")
    return page


def claims_table(results: Sequence[ClaimResult]) -> Table:
    """A line per claim: its verdict and the evidence for it or what is missing, cut to a terminal's width."""
    body = [[r.claim.id, r.verdict, _cut(r.claim.statement, 60), _cut(_evidence(r), 90)] for r in results]
    return Table(["claim", "verdict", "statement", "evidence, or what is missing"], body)


def as_csv(results: Sequence[ClaimResult]) -> str:
    """A line per contrast and metric, and one for each claim without."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = {
            "claim": result.claim.id, "paper": result.claim.paper, "verdict": result.verdict, "scale": result.scale,
            "missing": "; ".join(result.missing) if result.verdict == NOT_TESTED else "",
            "compared_there": result.test.paper, "stands_in_here": result.test.stand_in,
        }  # fmt: skip
        for contrast in result.contrasts:
            row |= {"contrast": contrast.contrast.title, "contrast_verdict": contrast.verdict, "note": contrast.note}
            row["records"] = " ".join(dict.fromkeys(name for arm in contrast.arms for name in arm.names))
            writer.writerows([{**row, **_metric_fields(contrast, one)} for one in contrast.by] or [row])
        if not result.contrasts:
            writer.writerow(row)
    return buffer.getvalue()


def _metric_fields(contrast: ContrastResult, one: MetricResult) -> dict[str, Any]:
    numbers = {"effect": one.effect, "low": one.low, "high": one.high, "margin": one.margin, "p": one.p}
    return {
        "metric": one.metric, "metric_verdict": _outcome(contrast, one), "statistic": one.statistic,
        **{key: "" if value is None else f"{value:.4g}" for key, value in numbers.items()},
        "n": one.n or "", "prompts": one.prompts or "", "seeds": one.seeds or "",
    }  # fmt: skip


def _section(result: ClaimResult, home: Path) -> str:
    """One claim: what it says, what was compared there and here, the verdict, what is missing, and the contrasts."""
    claim, test = result.claim, result.test
    lines = [f"**{claim.id}: {result.verdict}.** {claim.statement}" + (f" ({claim.source})." if claim.source else ".")]
    lines += [f"- Published: {claim.evidence}."] if claim.evidence else []
    lines += [f"- The paper's own numbers: {claim.check}."] if claim.check else []
    lines.append(f"- The paper compared: {test.paper}.")
    nothing = test.stand_in.startswith(NOTHING)
    lines.append(
        f"- {'Nothing stands in here' if nothing else 'Stands in here'}: {test.stand_in.removeprefix(NOTHING)}."
    )
    if result.verdict == NOT_TESTED and test.contrasts:
        lines += ["- Missing:", *(f"    - {one}" for one in result.missing)]
    if result.scale:
        lines.append(f"- At this scale: {result.scale}.")
    lines += [f"- {note}." for note in dict.fromkeys(c.note for c in result.contrasts if c.note)]
    text = "\n".join([lines[0], "", *lines[1:]])
    rows = [_row(c, one) for c in result.contrasts for one in c.by]
    if rows:
        text += "\n\n" + Table(["contrast", "by", "verdict", "effect [95%]", "p", "n"], rows).markdown()
        files = [link(record.stem, record_file(folder, record), home) for folder, record in result.records]
        text += "\n\n" + folded(f"Records of {claim.id}", " ".join(files))
    return text


def _row(contrast: ContrastResult, one: MetricResult) -> list[str]:
    return [contrast.contrast.title, one.metric, _outcome(contrast, one), *_numbers(contrast, one)]


def _outcome(contrast: ContrastResult, one: MetricResult) -> str:
    return NOT_TESTED if contrast.lacks else one.verdict


def _numbers(contrast: ContrastResult, one: MetricResult) -> list[str]:
    if one.effect is None:
        return [one.why, "", ""]
    effect = f"{'×' if one.statistic == 'ratio' else ''}{one.effect:.3g} [{one.low:.3g}, {one.high:.3g}]"
    if one.margin is not None and one.prompts:
        effect += f", margin {one.margin:.2g}"
    n = f"{one.n} ({count(one.prompts, 'prompt')}, {count(one.seeds, 'seed')})" if one.prompts else f"{one.n}"
    return [effect, "" if one.p is None else f"{one.p:.2g}", n]


def _mistakes(found: Sequence[Inconsistency]) -> list[str]:
    parts = []
    for paper in dict.fromkeys(one.paper for one in found):
        lines = [
            f"- **{one.id}** {one.problem}" + (f" Reading here: {one.reading}" if one.reading else "")
            for one in found
            if one.paper == paper
        ]
        parts += [f"### {published.NAMES[paper]}", "\n".join(lines)]
    return parts


def _evidence(result: ClaimResult) -> str:
    """What is missing; of a tested claim, the first contrast that has its verdict, by its first metric."""
    if result.verdict == NOT_TESTED:
        return "; ".join(result.missing)
    first = next((c for c in result.contrasts if c.verdict == result.verdict), result.contrasts[0])
    one = next((m for m in first.by if m.effect is not None), None)
    return f"{first.contrast.title}, {one.metric} {_numbers(first, one)[0]}, n {one.n}" if one else first.contrast.title


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
