"""What a study's page says of how its arms were tuned: with how many trials, by which score, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ...common.config import flat
from ...common.lines import count
from ...training.spec import TrainSpec
from ..analysis.comparability import own_train
from ..analysis.records import Record
from ..analysis.result_table import ResultTable
from .markup import Table, link

PAGE = "tuning.md"  # beside the study's page, where the search wrote it
ABOUT = """\
Settings were searched on the validation split, with seeds that the study does not use. The score of a choice is the
best of its trials, so it flatters, and its model was trained for a part of the budget: it does not compare with the
scores above."""


def tuned_note(table: ResultTable) -> list[str]:
    """Whether the arms were tuned with the same effort, and in which settings of their own training they differ.

    Empty where no arm was tuned and none has settings of its own.
    """
    arms = {row.label: row.good[0] for row in table.arms if row.good}
    told = {label: _effort(record) for label, record in arms.items()}
    own = sorted({key for record in arms.values() for key in own_train(record)})
    if not own and not any(told.values()):
        return []
    differing = f" They differ in {', '.join(own)}." if own else ""
    efforts = list(told.values())
    if efforts[0] and all(effort == efforts[0] for effort in efforts):
        return [f"Every arm was tuned with the same effort: {effort_words(efforts[0])}.{differing}"]
    lines = [f"{label}: {effort_words(effort) if effort else 'not tuned'}" for label, effort in told.items()]
    return [f"The arms were not tuned with the same effort ({'; '.join(lines)}).{differing}"]


def tuned_section(table: ResultTable) -> list[str]:
    """The chosen settings of every tuned arm, where they come from, and what the search cost; as Markdown."""
    body = []
    for row in table.arms:
        about = _chosen_by(row.good[0]) if row.good else {}
        if about:
            body.append([row.system, *_row(about, row.good[0])])
    if not body:
        return []
    page, home = table.folder / PAGE, table.folder
    every = f" Every trial: {link(PAGE, page, home)}." if page.is_file() else ""
    header = ["arm", "settings", "searched by this arm alone", "score", "trials", "without a score", "CPU-min"]
    return ["## Tuning of the arms", f"{ABOUT}{every}", Table(header, body).markdown()]


def effort_words(effort: Mapping[str, Any]) -> str:
    """``24 trials (8 trainings of 350 updates, 3 samplings of each), by kad_musicnn on 64 prompts of the valid split``.

    Args:
        effort: as in a settings file (``study.chosen``).
    """
    trainings, samplings = effort.get("trainings", 0), effort.get("samplings", 0)
    seeds = len(effort.get("seeds", ()))
    repeated = f", {count(seeds, 'seed')}" if seeds > 1 else ""
    length = f"{effort.get('share', 0):.3g} of the budget"
    if effort.get("budget") == "updates":
        length = f"{count(effort.get('updates', 0), 'update')} ({length})"
    return (
        f"{count(trainings * samplings, 'trial')} ({count(trainings, 'training')} of {length}, "
        f"{count(samplings, 'sampling')} of each{repeated}), by {effort.get('score')} "
        f"on {count(effort.get('prompts', 0), 'prompt')} of the {effort.get('split')} split"
    )


def settings_words(settings: Mapping[str, Any]) -> str:
    """``lr 0.004, optimiser muon, guidance 2.5``."""
    return ", ".join(f"{key.partition('.')[2]} {_plain(value)}" for key, value in settings.items())


def _row(about: Mapping[str, Any], record: Record) -> list[str]:
    effort = about["effort"]
    train, model = record.config.train, record.cell.get("model") or {}
    held = flat({"sampler": record.cell.get("sampler"), "options": model.get("options")})
    held |= {f"train.{field.name}": getattr(train, field.name) for field in fields(TrainSpec)} if train else {}
    settings = about.get("settings", {})
    changed = [
        f"{key.partition('.')[2]} {_plain(held[key])} instead" for key, value in settings.items()
        if key in held and held[key] != value
    ]  # fmt: skip
    own = "; ".join(f"{key}: {_values(values)}" for key, values in about.get("own", {}).items())
    trials = effort.get("trainings", 0) * effort.get("samplings", 0)
    words = settings_words(settings) + (f" (here {', '.join(changed)})" if changed else "")
    return [
        words, own, f"{about.get('score', float('nan')):.4g}", str(trials), str(about.get("failed", 0)),
        f"{about.get('cpu_seconds', 0.0) / 60:.1f}",
    ]  # fmt: skip


def _values(values: Sequence[Any]) -> str:
    return ", ".join(map(_plain, values))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _chosen_by(record: Record) -> Mapping[str, Any]:
    return record.how.settings.get("chosen_by", {}) if record.how else {}


def _effort(record: Record) -> Mapping[str, Any]:
    effort: Mapping[str, Any] = _chosen_by(record).get("effort", {})
    return effort
