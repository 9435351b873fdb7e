"""The tables of fidelity. A figure stands with its interval; what has none, or has failed, says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....analysis.pooling import Difference, Part, best, metric_names, not_usable, pooled
from ....analysis.records import Record
from ....analysis.result_table import Board, Row
from ....metrics.metric import Metric
from ....report.table import Table

ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def comparison(board: Board, part: Part = "main", leaders: bool = True) -> Table:
    """Systems x metrics; ``details``: adherence to single attributes, with what the commonest answer would score.

    Args:
        leaders: mark the best estimate among the arms.
    """
    names, details, main = metric_names(board, part), part == "details", part == "main"
    doubts = {name: why for name in names if (why := not_usable(board, name))}
    headings = [_heading(board, name, details) + " (not usable here)" * (name in doubts) for name in names]
    header = ["system", "n", *headings, *(["s / clip"] if main else [])]
    body, leading = [], set()
    leading_of = [set() if name in doubts or not leaders else best(board, name) for name in names]
    for i, row in enumerate(board.rows):
        if not row.good:
            failed = row.records[0]
            body.append([row.system, "", f"{failed.status}: {failed.reason}", *[""] * (len(header) - 3)])
            continue
        cells = [figure(pooled(board, row, name)) for name in names]
        body.append([row.system, _counts(row), *cells, *([_speed(row)] if main else [])])
        leading |= {(i, j + 2) for j, systems in enumerate(leading_of) if row.system in systems}
    italic = {i for i, row in enumerate(board.rows) if row.kind == "reference"}
    if details and names:
        body.append(["commonest answer", "", *(_chance(board, name) for name in names)])
        italic.add(len(body) - 1)
    notes = tuple(f"`{name}` is not usable on this corpus at this n: {why}." for name, why in doubts.items())
    return Table(header, body, frozenset(leading), frozenset(italic), notes)


def spent(records: Sequence[Record]) -> str:
    """Updates that records' arms were trained for: fewest to most."""
    updates = sorted({record.training.updates for record in records if record.training})
    return "–".join(f"{n:,}" for n in dict.fromkeys([*updates[:1], *updates[-1:]]))


def costs(board: Board) -> Table:
    """What each arm cost to train (mean over seeds), and its parameters by part."""
    trained = {row.system: [r.training for r in row.good if r.training] for row in board.arms}
    parts = dict.fromkeys(part for runs in trained.values() for run in runs for part in run.parameters)
    counted = any(run.flops for runs in trained.values() for run in runs)
    header = ["arm", "updates", "latent frames", *(["TFLOPs"] * counted), "CPU-min", "wall min", "parameters", *parts]
    body = []
    for system, runs in trained.items():
        if runs:
            count = runs[0].parameters
            minutes = [
                sum(getattr(run, kind) for run in runs) / len(runs) / 60 for kind in ("cpu_seconds", "wall_seconds")
            ]
            sizes = [f"{count[part]:,}" if part in count else "–" for part in parts]
            total = f"{sum(count.values()):,}"
            seen = [f"{runs[0].updates:,}", f"{runs[0].tokens:,}"]
            flops = [f"{runs[0].flops / 1e12:,.3g}" if runs[0].flops else "–"] * counted
            body.append([system, *seen, *flops, *(f"{m:.1f}" for m in minutes), total, *sizes])
    return Table(header, body)


def tuning(board: Board) -> Table:
    """What fine-tuning by reward did on the watched clips, before and after; means over seeds."""
    header = ["arm", "tau", "penalty", "rounds kept", "reward", "diversity", "distance", "effective clips"]
    body = []
    for row in board.arms:
        logs = [(r.cell["tune"], r.environment["tuning"]) for r in row.good if "tuning" in r.environment]
        if not logs:
            continue
        spec, cut = logs[0][0], sum(log["collapsed"] for _, log in logs)
        kept = ", ".join(f"{log['kept_round']}" for _, log in logs) + f" of {spec['rounds']}"
        first, last = ({name: _mean(logs, name, end) for name in LOGGED} for end in (False, True))
        moves = [f"{first[name]:.3f} → {last[name]:.3f}" for name in ("reward_watched", "diversity")]
        effective = f"{first['effective_clips']:.0f} of {spec['clips']}"
        collapse = f" ({cut} stopped by collapse)" if cut else ""
        figures = [f"{spec['tau']:g}", f"{spec['penalty']:g}", kept + collapse, *moves]
        body.append([row.system, *figures, f"{last['distance']:.3f}", effective])
    return Table(header, body)


LOGGED = ("reward_watched", "diversity", "distance", "effective_clips")


def _mean(logs: list[tuple[dict[str, Any], dict[str, Any]]], name: str, end: bool) -> float:
    """A column of the rounds' logs over seeds, in the first round or with the weights that were kept."""
    return sum(log[name][log["kept_round"] if end else 0] for _, log in logs) / len(logs)


def verdicts(found: Sequence[Difference]) -> Table:
    """Every paired difference a - b: interval, effect size, Holm-adjusted p, verdict of a, and what it rests on."""
    header = [
        "metric", "a", "b", "estimate", "low", "high", "d_z", "p_holm", "verdict", "same_within", "prompts", "seeds",
    ]  # fmt: skip
    body = []
    for d in found:
        gap, compared = d.comparison.difference, d.comparison
        numbers = (gap.estimate, gap.low, gap.high, compared.effect_size, d.judgement.p_adjusted)
        shown = ["" if number is None else f"{number:.6g}" for number in (*numbers, compared.margin)]
        rests = [str(gap.n_prompts), str(gap.n_seeds)]
        body.append([d.metric, d.a, d.b, *shown[:-1], d.judgement.verdict, shown[-1], *rests])
    return Table(header, body)


def figure(m: Metric) -> str:
    """``0.61 [0.52, 0.70]``; a dash where a metric is not defined."""
    if m.value is None:
        return "–"
    digits = 2 if abs(m.value) < 10 else 1
    bounds = "" if m.low is None or m.high is None else f" [{_fixed(m.low, digits)}, {_fixed(m.high, digits)}]"
    return _fixed(m.value, digits) + bounds


def _fixed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0 turns -0.0 into 0.0


def _heading(board: Board, name: str, detail: bool) -> str:
    better = next((r.metrics[name].better for row in board.rows for r in row.good if name in r.metrics), "neither")
    return (name.split("_")[1] if detail else name) + ARROWS[better]


def _chance(board: Board, name: str) -> str:
    found = [r.environment.get("scoring", {}).get("chance", {}).get(name) for row in board.rows for r in row.good]
    return next((_fixed(level["majority"], 2) for level in found if level), "–")


def _counts(row: Row) -> str:
    n = max((m.n for m in row.good[0].metrics.values()), default=0)
    return f"{n}" if len(row.good) == 1 else f"{n} × {len(row.good)} seeds"


def _speed(row: Row) -> str:
    seconds = [r.timing["seconds_per_clip"] for r in row.good if "seconds_per_clip" in r.timing]
    return f"{sum(seconds) / len(seconds):.3f}" if seconds else "–"
