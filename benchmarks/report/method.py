"""Sentences on how a study was run: what was measured, its settings, machine and command, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common.lines import count
from ...training import TrainSpec
from ..analysis.comparability import own_train
from ..analysis.records import Record
from ..analysis.result_table import ResultTable
from ..metrics.catalogue import TAGGERS
from ..study.cells import CellConfig, EvaluationConfig
from .markup import bullets
from .scores import spent


def measured(table: ResultTable) -> str:
    """What was measured, in a sentence."""
    config = table.newest.config
    eval_set = config.evaluation
    arms, updates = count(len(table.labels), "arm"), count(spent(table.runs), "update")
    trained = f"{arms}, trained for {updates} with {count(table.seeds, 'seed')}"
    return (
        f"{trained if table.runs else 'No trained arm'}; {count(eval_set.prompts, 'prompt')} of the corpus "
        f"`{config.data.corpus.name}`, clips of {eval_set.seconds:g} s, scored by {scored_by(config.evaluation)}."
    )


def scored_by(evaluation: EvaluationConfig) -> str:
    """What scores a study's clips: ``the judges `musicnn`, `logmel` and the built-in attribute tagger``."""
    name = evaluation.evaluator.name
    tagger = "the built-in attribute tagger" if name in TAGGERS else f"the evaluator `{name}`"
    judges = [f"`{one.name}`" for one in evaluation.judges]
    if not judges:
        return tagger
    return f"{'the judge' if len(judges) == 1 else 'the judges'} {', '.join(judges)} and {tagger}"


def evaluators(table: ResultTable) -> str:
    """The evaluators of a table with the first digits of their identities."""
    evaluation = table.newest.config.evaluation
    held = [evaluation.evaluator, *evaluation.judges]
    return ", ".join(f"`{one.name}` ({one.identity[:8]})" for one in held)


def facts(table: ResultTable) -> dict[str, str]:
    """The first columns of a study's line in the report: what its arms were trained on, and for how long."""
    return {
        "audio": table.newest.config.data.corpus.name,
        "arms": str(len(table.labels)),
        "updates": spent(table.runs),
        "seeds": str(table.seeds),
    }


def sentence(text: str) -> str:
    """``text`` with a capital at its beginning and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def ran(table: ResultTable) -> str:
    """Settings, machine, versions and command, as a list."""
    record = table.newest
    lines = [_data_line(record.config), *_training_lines(table, record.config), _machine_line(record.environment)]
    commands = dict.fromkeys(r.command for r in table.records if r.command)
    lines.append("Command: " + ", ".join(f"`{command}`" for command in commands) + f" ({record.created[:10]}).")
    return bullets(lines)


def _data_line(config: CellConfig) -> str:
    data, eval_set = config.data, config.evaluation
    against = f" against the {eval_set.reference_split} split" if eval_set.reference_split else ""
    return (
        f"Corpus `{data.corpus.name}`, representation `{data.representation.name}`, text `{data.text}`; "
        f"{count(eval_set.prompts, 'prompt')} of the {eval_set.split} split{against}, clips of {eval_set.seconds:g} s "
        f"at {eval_set.sample_rate} Hz, scored by {scored_by(eval_set)}."
    )


def _training_lines(table: ResultTable, config: CellConfig) -> list[str]:
    if config.train is None or config.model is None:
        return []
    backbone, train = config.model.backbone, config.train
    seeds = sorted({record.seed for row in table.arms for record in row.records})
    own = "; ".join(line for row in table.arms if (line := _own_backbone(row.system, row.records[0].config)))
    return [
        f"Every arm: backbone of width {backbone.d_model} with {count(backbone.n_layers, 'layer')}"
        f"{' (of their own: ' + own + ')' if own else ''}; "
        f"{count(_budget(train), 'update')} of {train.batch} × {train.seconds:g} s, "
        f"lr {train.lr:g}, EMA {train.ema_decay:g}, {train.precision}; seeds {', '.join(map(str, seeds))}.",
        *_own_training(table),
        "Samplers: " + "; ".join(dict.fromkeys(_sampler(row.records[0]) for row in table.arms)) + ".",
    ]


def _own_training(table: ResultTable) -> list[str]:
    """The settings of the optimisation that arms have of their own, ``fm lr 0.008, optimiser muon``, as one line."""
    told = []
    for row in table.arms:
        names = [key.removeprefix("train.") for key in own_train(row.records[0])]
        own = [f"{name} {getattr(row.records[0].config.train, name)}" for name in names]
        told += [f"{row.system} {', '.join(own)}"] if own else []
    return [f"Of their own in training: {'; '.join(told)}."] if told else []


def _own_backbone(system: str, config: CellConfig) -> str:
    """The settings of the backbone that an arm has of its own, ``fm d_ff 816``; empty where it has none."""
    model = config.model
    if model is None or not model.own_backbone:
        return ""
    return f"{system} " + ", ".join(f"{field} {getattr(model.backbone, field)}" for field in model.own_backbone)


def _budget(train: TrainSpec) -> str:
    """The number of updates, or the budget that buys each arm its own number (the table of costs has them)."""
    amount = train.budget.amount
    asked = {
        "tokens": f"{amount:,.0f} latent frames",
        "flops": f"{amount / 1e12:,.4g} TFLOPs",
        "wall_seconds": f"{amount:,.4g} seconds by the clock",
    }.get(train.budget.unit)
    if train.budget.by_convergence:
        over = f"the last {train.budget.over:.0%} of its updates bring less than {amount:.3g} of all improvement"
        return f"until {over} of the validation loss, at most {train.updates:,}"
    return f"a budget of {asked} each, spent in" if asked else f"{train.updates:,}"


def software(machine: Mapping[str, Any]) -> str:
    """Versions of Python, torch and the code, from a record's environment."""
    git, packages = machine.get("git", {}), machine.get("packages", {})
    revision = (git.get("revision") or "unknown")[:10] + " with uncommitted changes" * bool(git.get("dirty"))
    return f"Python {machine.get('python')}, torch {packages.get('torch')}; code {revision}"


def machine(about: Mapping[str, Any]) -> str:
    """The machine of a record's environment, in words; ``an unknown machine`` where it does not say."""
    if not about.get("cpu"):
        return "an unknown machine"
    cores, threads = (count(about.get(f"{noun}s") or "?", noun) for noun in ("core", "thread"))
    return f"{about['cpu']}, {cores}, {threads} per worker, device {about.get('device')}"


def _machine_line(about: Mapping[str, Any]) -> str:
    return f"Machine: {machine(about)}; {software(about)}."


def _sampler(record: Record) -> str:
    return f"{record.system} " + ", ".join(f"{key} {value}" for key, value in record.config.sampler.items())
