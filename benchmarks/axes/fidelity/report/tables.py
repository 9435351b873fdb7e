"""Further tables of fidelity: costs of training, tuning by reward, differences, and all settings of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....analysis.comparability import BY_NATURE, PER_RUN, differences, newest_of, partition, settings, within
from ....analysis.costs import ArmCost, costs_of
from ....analysis.pooling import PairedDifference, metric_names, pooled
from ....analysis.records import Record, latest
from ....analysis.result_table import ResultTable, make_table
from ....report.markup import Table
from ....report.method import machine
from ....report.scores import ARROWS, figure, most_clips, size_note, spent, system_names
from .scores import NONE

LOGGED = ("reward_watched", "diversity", "distance", "effective_clips")  # columns of a tuning's log
SHARED = (  # sections of a cell that are the same for all arms of a table
    "train", "backbone", "controls", "control_tokens", "version", "data", "evaluation", "precision", "device"
)  # fmt: skip


def costs(table: ResultTable) -> Table:
    """What each arm cost to train (mean over seeds), on which machine, and its trained parameters by part."""
    found, called = costs_of(table.arms), system_names(table)
    rows = {row.system: row.good for row in table.arms if row.system in found}
    parts = dict.fromkeys(
        part for runs in rows.values() for run in runs if run.training for part in run.training.parameters
    )
    header = ["arm", "parameters", "updates", "hours of audio", "latent frames", "TFLOPs", "training time", *parts]
    body = []
    for system, cost in found.items():
        runs = [run.training for run in rows[system] if run.training]
        by_part = [f"{runs[0].parameters[part]:,}" if part in runs[0].parameters else NONE for part in parts]
        hours = NONE if cost.hours is None else f"{cost.hours:,.3g}"
        flops = NONE if cost.flops is None else f"{cost.flops / 1e12:,.3g}"
        seen = [f"{cost.parameters:,}", spent(rows[system]), hours, f"{cost.tokens:,.0f}", flops, seconds_of(cost)]
        body.append([called[system], *seen, *by_part])
    return Table(header, body, notes=(*size_note(table), *_machines(rows)))


def seconds_of(cost: ArmCost) -> str:
    """Time of training, as in ``312 CPU-s``."""
    return f"{cost.seconds:,.0f} {'GPU' if cost.device not in ('', 'cpu') else 'CPU'}-s"


def _machines(rows: Mapping[str, Sequence[Record]]) -> list[str]:
    """Where the arms were trained, so far as their records say it; times of two machines do not compare."""
    by_machine: dict[str, list[str]] = {}
    for system, runs in rows.items():
        for place in dict.fromkeys(machine(run.environment) for run in runs):
            by_machine.setdefault(place, []).append(system)
    told = [
        f"{', '.join(systems)} on {place}" if len(by_machine) > 1 else place for place, systems in by_machine.items()
    ]
    several = " Times of different machines do not compare." if len(by_machine) > 1 else ""
    return [
        f"Mean over seeds. Training time is that of all threads, on a GPU by the clock: {'; '.join(told)}.{several}"
    ]


def tuning(table: ResultTable) -> Table:
    """What fine-tuning by reward did on the watched clips, before and after; means over seeds."""
    header = ["arm", "tau", "penalty", "rounds kept", "reward", "diversity", "distance", "effective clips"]
    body = []
    for row in table.arms:
        logs = [(r.config.tune or {}, r.environment["tuning"]) for r in row.good if "tuning" in r.environment]
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


def verdicts(found: Sequence[PairedDifference]) -> Table:
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


def all_settings(study: str, folder: Path, records: Sequence[Record]) -> list[tuple[dict[str, Any], ResultTable]]:
    """A table for each setting of a study's arms, as a sweep over batch sizes or durations leaves them.

    Returns:
        Each with the values of the keys that set it apart, in the order of these.
    """
    held = list(latest(records).values())
    groups = partition(record for record in held if record.kind == "paradigm" and record.status == "ok")
    stated = [_setting(newest_of(group)) for group in groups]
    of_arms = {f"backbone.{field}" for record in held for field in settings(record).get("own_backbone", ())}
    keys = dict.fromkeys(key for values in stated for key in values if key not in of_arms)
    differing = [key for key in keys if len({repr(values.get(key)) for values in stated}) > 1]
    found = []
    for group, values in zip(groups, stated):
        own = [record for record in held if not differences(record, group[0])]
        found.append(({key: values.get(key) for key in differing}, make_table(study, folder, own)))
    return sorted(found, key=lambda pair: [_numbers_first(value) for value in pair[0].values()])


def by_setting(found: Sequence[tuple[Mapping[str, Any], ResultTable]]) -> Table:
    """One row per setting and arm: what was seen in training, and the main metrics at its end."""
    names = list(dict.fromkeys(name for _, table in found for name in metric_names(table)))
    keys = list(found[0][0]) if found else []
    better = {name: m.better for _, table in found for r in table.records for name, m in r.metrics.items()}
    headings = [name + ARROWS[better[name]] for name in names]
    header = [*(key.removeprefix("train.") for key in keys), "arm", "n", "updates", "latent frames", *headings]
    body = []
    for values, table in found:
        for row in (row for row in table.arms if row.good):
            training = row.good[0].training
            cost = [NONE, NONE] if training is None else [f"{training.updates:,}", f"{training.tokens:,}"]
            scores = [figure(pooled(table, row, name)) for name in names]
            told = [NONE if values[key] is None else f"{values[key]}" for key in keys]
            body.append([*told, row.system, str(most_clips(row)), *cost, *scores])
    return Table(header, body)


def _setting(record: Record) -> dict[str, Any]:
    skipped = (*PER_RUN, *BY_NATURE, "evaluation.seconds")  # the last follows train.seconds
    held = {key: value for key, value in settings(record).items() if not within(key, skipped)}
    return {key: value for section in SHARED for key, value in held.items() if within(key, [section])}


def _numbers_first(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))


def _mean(logs: list[tuple[dict[str, Any], dict[str, Any]]], name: str, end: bool) -> float:
    """A column of the rounds' logs over seeds, in the first round or with the weights that were kept."""
    return sum(float(log[name][log["kept_round"] if end else 0]) for _, log in logs) / len(logs)
