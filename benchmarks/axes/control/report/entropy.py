"""How uncertain the first code is, step by step, with and without controls (Tal et al. 2025, appendix I, figure 9)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ....analysis import published
from ....analysis.pooling import compare_rows, pooled
from ....analysis.records import artefact
from ....metrics.entropy import DISTRIBUTIONS, EARLY_STEPS
from ....report.scores import figure as figure_of
from ....report.style import GREY, canvas

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from ....analysis.records import Record
    from ....analysis.result_table import ResultTable

CLAIMS = ("T14a", "T14b")  # of the published claims
DRAWN = {"sampled": "what is drawn from (after top-k, top-p)", "whole": "all codes (before top-k, top-p)"}
MAIN = {"all": "C0", "none": "black", "wrong": "C3"}  # scenarios drawn with their intervals
OTHERS = ("C1", "C2", "C4", "C5")


def entropy(table: ResultTable) -> Figure | None:
    """A row per arm that has codes, a column per distribution; a line per scenario with the interval over prompts."""
    curves = {row.system: curve for row in table.arms if (curve := _curve(table.folder, row.good))}
    arms = list(dict.fromkeys(system.partition(", ")[0] for system in curves))
    if not arms:
        return None
    figure, axes = canvas(len(arms), 2, 9, 3 * len(arms))
    for row, arm in zip(axes, arms):
        for axis, name in zip(row, DISTRIBUTIONS):
            others = iter(OTHERS * 9)
            for scenario, curve in ((s.partition(", ")[2], c) for s, c in curves.items() if s.startswith(f"{arm}, ")):
                _draw(axis, curve, name, scenario, MAIN.get(scenario) or next(others))
            axis.axvline(EARLY_STEPS, color=GREY, linewidth=0.8, linestyle=":")
            axis.set_title(f"{arm}: {DRAWN[name]}", fontsize=9)
            axis.set_xlabel("sampling step", fontsize=8)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("entropy of the first code, nats", fontsize=8)
        row[0].legend(fontsize=7, frameon=False)
    return figure


def findings(table: ResultTable) -> str:
    """All controls against none, paired on prompts, early and late, and what the paper says of it."""
    lines = []
    for arm in table.labels:
        given, without = table.row(f"{arm}, all"), table.row(f"{arm}, none")
        for name, when in {"entropy_early": f"steps 1 to {EARLY_STEPS}", "entropy_late": "later steps"}.items():
            if given is None or without is None or not pooled(table, given, name).n:
                continue
            compared = compare_rows(table, given, without, name)
            if compared is None:
                continue
            gap = compared.difference
            found = "lower" if gap.high < 0 else "higher" if gap.low > 0 else "undecided"
            both = [figure_of(pooled(table, row, name)) for row in (given, without)]
            change = f"{gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}], **{found}**"
            lines.append(f"- {arm}, {when}: {both[0]} nats with all controls, {both[1]} without; {change}.")
    for claim in published.claims():
        if lines and claim.id in CLAIMS:
            statement = claim.statement[0].lower() + claim.statement[1:]
            lines.append(f"- {published.NAMES[claim.paper]}, {claim.source}: {statement}.")
    return "\n".join(lines)


def _curve(folder: Path, records: list[Record]) -> dict[str, np.ndarray]:
    for record in records:
        text = artefact(folder, record, "entropy")
        if text:
            lines = list(csv.DictReader(io.StringIO(text)))
            return {name: np.array([float(line[name]) for line in lines]) for name in lines[0]}
    return {}


def _draw(axis: Any, curve: dict[str, np.ndarray], name: str, scenario: str, colour: str) -> None:
    main = scenario in MAIN
    axis.plot(curve["step"], curve[name], color=colour, linewidth=1.5 if main else 0.7, label=scenario)
    if main:
        axis.fill_between(
            curve["step"], curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.15, linewidth=0
        )
