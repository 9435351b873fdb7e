"""The claims ledger: every published claim with its test, the verdict here, and what it rests on.

``claims.yaml`` beside this module says how each claim is tested; a claim that nothing here can test has a reason there
instead. Verdicts are about the scale and evaluator of the records, which stand beside them.
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
from ..analysis.published import Claim, read_yaml
from ..analysis.records import Record
from .claim_tests import Contrast, Outcome, Verdict, judge, overall
from .selection import Library

VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "undecided", "not testable")
TRIALS = Path(__file__).parent / "claims.yaml"
FIELDS = (
    "claim", "paper", "verdict", "contrast", "outcome", "metric", "statistic", "effect", "low", "high", "margin", "p",
    "n", "prompts", "seeds", "at_floor", "scale", "why", "records",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """How a claim is tested: contrasts, all of which it needs, or the ``reason`` why it cannot be.

    ``scope``: which part of the claim that is, where it is not all.
    """

    contrasts: tuple[Contrast, ...] = ()
    reason: str = ""
    scope: str = ""


@dataclass(frozen=True)
class Ruling:
    """A claim with its verdict."""

    claim: Claim
    trial: Trial
    verdict: Verdict
    outcomes: tuple[Outcome, ...] = ()

    @property
    def why(self) -> str:
        """Why it is not testable or not decided; empty where the outcomes say it all."""
        return self.trial.reason or next((o.why for o in self.outcomes if o.verdict == self.verdict and o.why), "")

    @property
    def records(self) -> list[tuple[Path, Record]]:
        """The records it rests on, each with its study's folder."""
        choices = [choice for outcome in self.outcomes for choice in outcome.choices]
        found = {(c.study, record.stem): (c.folder, record) for c in choices for record in c.records}
        return list(found.values())

    @property
    def scale(self) -> str:
        """The records' scale and evaluator, in words."""
        return "; ".join(dict.fromkeys(scale_of(record) for _, record in self.records))


def rule(results: Path, library: Library, papers: Sequence[str] = ()) -> list[Ruling]:
    """A ruling for every claim of these papers (none: of all), in the papers' order.

    Raises:
        UserError: no published claims, an unknown paper, a claim without a test.
    """
    claims, trials = published.claims(results), load_trials()
    known = list(dict.fromkeys(claim.paper for claim in claims))
    if not claims:
        raise UserError(f"{published.home(results)}: no published claims; copy results/published there")
    for paper in papers:
        if paper not in known:
            raise UserError(f"no claims of {paper!r}{did_you_mean(paper, known)}; known: {', '.join(known)}")
    missing = [claim.id for claim in claims if claim.id not in trials]
    if missing:
        raise UserError(f"{TRIALS.name}: no test for {', '.join(missing)}; add one, or the reason why there is none")
    return [_rule(claim, trials[claim.id], library) for claim in claims if not papers or claim.paper in papers]


def load_trials(path: Path = TRIALS) -> dict[str, Trial]:
    """Claim id -> its test.

    In the file a side of a contrast may be an arm's label alone; ``b``, ``metric`` may be lists: a contrast for each of
    them; ``order`` names arms from worst to best: each must be better than the one before.
    """
    data = read_yaml(path)
    return {name: _trial(test, f"{path.name}: {name}") for name, test in data.items()}


def scale_of(record: Record) -> str:
    """``4 layers of width 128, 1,400 updates, evaluator builtin`` or where speed was measured."""
    cell = record.cell
    backbone, train = cell.get("model", {}).get("backbone", {}), cell.get("train")
    parts = [f"{count(backbone['n_layers'], 'layer')} of width {backbone['d_model']}"] if backbone else []
    parts += [f"{count(train['updates'], 'update')} of {train['batch']} × {train['seconds']:g} s"] if train else []
    parts += [f"evaluator {cell['evaluation']['evaluator']['name']}"] if cell.get("evaluation") else []
    setting = cell.get("setting", {})
    return ", ".join([*parts, *([f"on {setting['hardware']} ({setting['device']})"] if setting else [])])


def counts(rulings: Sequence[Ruling]) -> str:
    """``7 hold, 15 fail, 25 are undecided, 33 are not testable``."""
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided", "are undecided"),
             "not testable": ("is not testable", "are not testable")}  # fmt: skip
    return ", ".join(f"{n} {words[verdict][n != 1]}" for verdict, n in tally(rulings).items())


def tally(rulings: Sequence[Ruling]) -> dict[str, int]:
    """How many claims have which verdict."""
    held = Counter(ruling.verdict for ruling in rulings)
    return {verdict: held[verdict] for verdict in VERDICTS}


def as_csv(rulings: Sequence[Ruling]) -> str:
    """A line per contrast, and one for each claim without."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for ruling in rulings:
        row = {"claim": ruling.claim.id, "paper": ruling.claim.paper, "verdict": ruling.verdict, "scale": ruling.scale}
        for outcome in ruling.outcomes:
            files = [name for choice in outcome.choices for name in choice.names]
            writer.writerow({**row, **_outcome_row(outcome), "records": " ".join(dict.fromkeys(files))})
        if not ruling.outcomes:
            writer.writerow({**row, "why": ruling.why})
    return buffer.getvalue()


def _outcome_row(o: Outcome) -> dict[str, Any]:
    numbers = {"effect": o.effect, "low": o.low, "high": o.high, "margin": o.margin, "p": o.p}
    return {
        "contrast": o.contrast.title, "outcome": o.verdict, "metric": o.metric, "statistic": o.statistic,
        **{key: "" if value is None else f"{value:.4g}" for key, value in numbers.items()},
        "n": o.n or "", "prompts": o.prompts or "", "seeds": o.seeds or "", "why": o.why,
        "at_floor": "; ".join(o.floored),
    }  # fmt: skip


def _rule(claim: Claim, trial: Trial, library: Library) -> Ruling:
    if not trial.contrasts:
        return Ruling(claim, trial, "not testable")
    outcomes = judge(trial.contrasts, library)
    return Ruling(claim, trial, overall(outcomes), tuple(outcomes))


def _trial(data: Mapping[str, Any], where: str) -> Trial:
    contrasts = [one for contrast in data.get("contrasts", []) for one in _expanded(contrast, where)]
    rest = {key: value for key, value in data.items() if key != "contrasts"}
    trial = replace(from_dict(Trial, rest, where), contrasts=tuple(contrasts))
    if bool(trial.contrasts) == bool(trial.reason):
        raise UserError(f"{where}: give either contrasts or the reason why there are none")
    return trial


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
