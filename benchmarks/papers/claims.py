"""Every published claim with its test, its verdict here and the records it rests on; as a page, as CSV, for a terminal.

``claims.yaml`` beside this module says how each claim is tested; a claim that nothing here can test has a reason there
instead. Verdicts are about the scale and the evaluator of the records, which stand beside them.

results/papers/claims.md, claims.csv
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common.config import from_dict
from ...common.errors import UserError, did_you_mean
from ...common.lines import count
from ..analysis import published
from ..analysis.published import Claim, Inconsistency, read_yaml
from ..analysis.records import Record, record_file
from ..report.markup import Table, folded, link, write_changed
from .claim_tests import Contrast, ContrastResult, Verdict, judge, overall
from .record_index import RecordIndex, value_at

VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "undecided", "not testable")
TESTS = Path(__file__).parent / "claims.yaml"
FIELDS = (
    "claim", "paper", "verdict", "contrast", "outcome", "metric", "statistic", "effect", "low", "high", "margin", "p",
    "n", "prompts", "seeds", "at_floor", "scale", "why", "records",
)  # fmt: skip
EXPLANATION = """\
A verdict holds for the scale and the evaluator named beside it; it says nothing about the paper's own experiments.

- `holds`, `fails`: decided by the contrasts below the claim. Quality is paired on prompt and seed, with a 95% bootstrap
  interval clustered on both and Holm's correction over the contrasts of a claim; speed is a ratio of medians. A claim
  with several contrasts holds where all of them do.
- `undecided`: the interval allows both.
- `not testable`: records are missing, or no study here can decide the claim.
- `at the floor`: the named arms do not follow captions yet (their CLAP is not above that of real audio of other
  captions), so the contrast compares their sound alone."""


@dataclass(frozen=True)
class ClaimTest:
    """How a claim is tested: by contrasts, all of which it needs; or the ``reason`` why it cannot be.

    ``scope``: which part of the claim is tested, where it is not all.
    """

    contrasts: tuple[Contrast, ...] = ()
    reason: str = ""
    scope: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict."""

    claim: Claim
    test: ClaimTest
    verdict: Verdict
    contrasts: tuple[ContrastResult, ...] = ()

    @property
    def why(self) -> str:
        """Why it is not testable or not decided; empty where the contrasts say it all."""
        return self.test.reason or next((c.why for c in self.contrasts if c.verdict == self.verdict and c.why), "")

    @property
    def records(self) -> list[tuple[Path, Record]]:
        """The records it rests on, each with its study's folder."""
        arms = [arm for contrast in self.contrasts for arm in contrast.arms]
        found = {(arm.study, record.stem): (arm.folder, record) for arm in arms for record in arm.records}
        return list(found.values())

    @property
    def scale(self) -> str:
        """The records' scale and evaluator, in words."""
        return "; ".join(dict.fromkeys(scale_of(record) for _, record in self.records))


def evaluate_claims(index: RecordIndex, papers: Sequence[str] = ()) -> list[ClaimResult]:
    """Test every claim of these papers (none: of all), in the papers' order.

    Raises:
        UserError: an unknown paper, or a claim without a test.
    """
    claims, tests = published.claims(), load_claim_tests()
    known = list(dict.fromkeys(claim.paper for claim in claims))
    for paper in papers:
        if paper not in known:
            raise UserError(f"no claims of {paper!r}{did_you_mean(paper, known)}; known: {', '.join(known)}")
    missing = [claim.id for claim in claims if claim.id not in tests]
    if missing:
        raise UserError(f"{TESTS.name}: no test for {', '.join(missing)}; add one, or the reason why there is none")
    return [_evaluate(claim, tests[claim.id], index) for claim in claims if not papers or claim.paper in papers]


def load_claim_tests(path: Path = TESTS) -> dict[str, ClaimTest]:
    """Claim id -> its test.

    In the file a side of a contrast may be an arm's label alone. ``b`` and ``metric`` may be lists, which give a
    contrast for each of them. ``order`` names arms from worst to best: each must be better than the one before.

    Raises:
        UserError: an unknown key or value, or a test with neither contrasts nor a reason, or with both.
    """
    return {name: _claim_test(test, f"{path.name}: {name}") for name, test in read_yaml(path).items()}


def scale_of(record: Record) -> str:
    """``4 layers of width 128, 1,400 updates of 16 × 4 s, evaluator builtin``; of a timing, the machine."""
    config = record.config
    model, train, evaluator = config.model, config.train, config.evaluation.evaluator.name
    hardware = value_at(record, "setting.hardware")
    parts = [f"{count(model.backbone.n_layers, 'layer')} of width {model.backbone.d_model}"] if model else []
    parts += [f"{count(train.updates, 'update')} of {train.batch} × {train.seconds:g} s"] if train else []
    parts += [f"evaluator {evaluator}"] if evaluator else []
    parts += [f"on {hardware} ({value_at(record, 'setting.device')})"] if hardware else []
    return ", ".join(parts)


def verdict_counts(results: Sequence[ClaimResult]) -> str:
    """``7 hold, 15 fail, 25 are undecided, 33 are not testable``."""
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided", "are undecided"),
             "not testable": ("is not testable", "are not testable")}  # fmt: skip
    return ", ".join(f"{n} {words[verdict][n != 1]}" for verdict, n in tally(results).items())


def tally(results: Sequence[ClaimResult]) -> dict[str, int]:
    """Verdict -> how many claims have it."""
    held = Counter(result.verdict for result in results)
    return {verdict: held[verdict] for verdict in VERDICTS}


def write_claims_page(results: Sequence[ClaimResult], folder: Path) -> Path:
    """Write the page of claims and the CSV into the results folder ``folder``; returns the page."""
    page = folder / "papers" / "claims.md"
    write_changed(page.with_suffix(".csv"), as_csv(results))
    parts = ["# Published claims", "Written by `bench claims`.", EXPLANATION, f"All: {verdict_counts(results)}."]
    for paper in dict.fromkeys(result.claim.paper for result in results):
        own = [result for result in results if result.claim.paper == paper]
        parts += [f"## {published.NAMES[paper]}", f"{verdict_counts(own)}.", *(_section(r, page.parent) for r in own)]
    parts += ["## Known mistakes in the papers", *_mistakes(published.inconsistencies())]
    write_changed(page, "\n\n".join(parts) + "\n")
    return page


def claims_table(results: Sequence[ClaimResult]) -> Table:
    """A line per claim: its verdict and the strongest evidence for it, cut to a terminal's width."""
    body = [[r.claim.id, r.verdict, _cut(r.claim.statement, 60), _cut(_evidence(r), 90)] for r in results]
    return Table(["claim", "verdict", "statement", "evidence here"], body)


def as_csv(results: Sequence[ClaimResult]) -> str:
    """A line per contrast, and one for each claim without."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = {"claim": result.claim.id, "paper": result.claim.paper, "verdict": result.verdict, "scale": result.scale}
        for contrast in result.contrasts:
            files = dict.fromkeys(name for arm in contrast.arms for name in arm.names)
            writer.writerow({**row, **_contrast_fields(contrast), "records": " ".join(files)})
        if not result.contrasts:
            writer.writerow({**row, "why": result.why})
    return buffer.getvalue()


def _contrast_fields(c: ContrastResult) -> dict[str, Any]:
    numbers = {"effect": c.effect, "low": c.low, "high": c.high, "margin": c.margin, "p": c.p}
    return {
        "contrast": c.contrast.title, "outcome": c.verdict, "metric": c.metric, "statistic": c.statistic,
        **{key: "" if value is None else f"{value:.4g}" for key, value in numbers.items()},
        "n": c.n or "", "prompts": c.prompts or "", "seeds": c.seeds or "", "why": c.why,
        "at_floor": "; ".join(c.floored),
    }  # fmt: skip


def _section(result: ClaimResult, home: Path) -> str:
    claim = result.claim
    lines = [f"**{claim.id}: {result.verdict}.** {claim.statement}" + (f" ({claim.source})." if claim.source else ".")]
    lines += [f"Published: {claim.evidence}."] if claim.evidence else []
    lines += [f"The paper's own numbers: {claim.check}."] if claim.check else []
    lines += [f"Tested: {result.test.scope}."] if result.test.scope else []
    if result.verdict == "not testable":
        lines.append(f"Not testable here: {result.why}.")
    elif result.scale:
        lines.append(f"At this scale: {result.scale}.")
    text = "\\\n".join(lines)
    if any(contrast.effect is not None for contrast in result.contrasts):
        rows = [[c.contrast.title, _verdict_text(c), *_numbers(c)] for c in result.contrasts]
        text += "\n\n" + Table(["contrast", "it", "effect [95%]", "p", "n"], rows).markdown()
        files = [link(record.stem, record_file(folder, record), home) for folder, record in result.records]
        text += "\n\n" + folded(f"Records of {claim.id}", " ".join(files))
    return text


def _verdict_text(c: ContrastResult) -> str:
    return c.verdict + (f"; at the floor: {', '.join(c.floored)}" if c.floored else "")


def _numbers(c: ContrastResult) -> list[str]:
    if c.effect is None:
        return [c.why, "", ""]
    effect = f"{'×' if c.statistic == 'ratio' else ''}{c.effect:.3g} [{c.low:.3g}, {c.high:.3g}]"
    if c.contrast.expect == "same" and c.margin is not None:
        effect += f", same within {c.margin:.2g}"
    if c.contrast.expect == "far_better" and c.margin is not None:
        effect += f", far from {c.margin:.2g} on"
    n = f"{c.n} ({count(c.prompts, 'prompt')}, {count(c.seeds, 'seed')})" if c.prompts else f"{c.n}"
    return [effect, "" if c.p is None else f"{c.p:.2g}", n]


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
    if result.verdict == "not testable":
        return result.why
    first = next((c for c in result.contrasts if c.verdict == result.verdict), result.contrasts[0])
    return f"{first.contrast.title}: {_numbers(first)[0]}, n {first.n}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _evaluate(claim: Claim, test: ClaimTest, index: RecordIndex) -> ClaimResult:
    if not test.contrasts:
        return ClaimResult(claim, test, "not testable")
    contrasts = judge(test.contrasts, index)
    return ClaimResult(claim, test, overall(contrasts), tuple(contrasts))


def _claim_test(data: Mapping[str, Any], where: str) -> ClaimTest:
    contrasts = [one for contrast in data.get("contrasts", []) for one in _expanded(contrast, where)]
    rest = {key: value for key, value in data.items() if key != "contrasts"}
    test = replace(from_dict(ClaimTest, rest, where), contrasts=tuple(contrasts))
    if bool(test.contrasts) == bool(test.reason):
        raise UserError(f"{where}: give either contrasts or the reason why there are none")
    return test


def _expanded(data: Mapping[str, Any], where: str) -> list[Contrast]:
    """One contrast per metric, and per pair of arms."""
    plain = {key: value for key, value in data.items() if key not in ("order", "metric", "a", "b", "minus")}
    b = data.get("b")
    pairs = [(data.get("a"), other) for other in (b if isinstance(b, list) else [b])]
    if "order" in data:
        pairs = [(better, worse) for worse, better in zip(data["order"], data["order"][1:])]
    metrics = data["metric"] if isinstance(data.get("metric"), list) else [data.get("metric")]
    minus = {side: _side(arm) for side, arm in data["minus"].items()} if "minus" in data else None
    sides = [{"a": _side(one), "b": _side(two), **({"minus": minus} if minus else {})} for one, two in pairs]
    return [from_dict(Contrast, {**plain, "metric": m, **pair}, where) for m in metrics for pair in sides]


def _side(arm: Any) -> Any:
    return {"arm": arm} if isinstance(arm, str) else arm
