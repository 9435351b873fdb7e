"""The page of a search, ``results/<study>/tuning.md``: what was searched and chosen, every trial, the cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ...common.lines import count
from ..metrics.catalogue import about
from ..run.tuning.search import SearchResult, TrialResult
from .markup import Table, bullets, folded, write_changed
from .scores import ARROWS
from .tuned_arms import effort_words, settings_words

TRIALS = "tuning.csv"
HOW = """\
Every arm had the same number of trained models and of samplings of each. Where the product of the listed values is
larger than that, a balanced part of it was tried. Prompts are of the validation split, the reference set is of the
training split, and the test split was not read. The score of the choice is the best of its trials, so it flatters:
compare arms by the scores of the study, not by these."""
NONE = "–"


def write_tuning_page(found: SearchResult, folder: Path, command: str) -> str:
    """Write the page and the table of all trials into ``folder``; returns a summary for the terminal."""
    write_changed(folder / TRIALS, every_trial(found).csv())
    write_changed(folder / "tuning.md", tuning_page(found, command))
    return "\n".join([choices(found).plain(), *edges(found), "", total(found)])


def tuning_page(found: SearchResult, command: str) -> str:
    """The page, as Markdown."""
    searched = bullets(f"`{key}`: {', '.join(map(str, values))}" for key, values in found.effort["searched"].items())
    parts = [
        f"# {found.study.name}: how its arms were tuned",
        f"Each arm: {effort_words(found.effort)}; corpus `{found.effort['corpus']}`, seeds "
        f"{', '.join(map(str, found.effort['seeds']))}. {_real(found)}",
        HOW, "## Choice", choices(found).markdown(), bullets(edges(found)),
        "## What was searched", f"For every arm:\n\n{searched}\n\nFor one arm alone:\n\n{bullets(_own(found))}",
        "## Every trial", f"As a table for programs: [{TRIALS}]({TRIALS}).",
        *(folded(f"{arm}: {count(len(own), 'trial')}", _trials(own, found).markdown())
          for arm, own in found.results.items()),
        "## Cost", f"{total(found)} Command: `{command}`.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def choices(found: SearchResult) -> Table:
    """The chosen settings of every arm, with the score and what the search cost."""
    name = found.study.tuning.score
    header = ["arm", "chosen", name + ARROWS[about(name).better], "median", "worst", "trials", "without a score",
              "training, CPU-min", "sampling and scoring, min"]  # fmt: skip
    body = []
    for arm, own in found.results.items():
        scores = [one.score for one in own if one.score is not None]
        best = found.chosen(arm)
        body.append([
            arm, settings_words(best.trial.values) if best else f"none: {own[0].reason}",
            *([f"{value:.4g}" for value in (scores[0], median(scores), scores[-1])] if scores else [NONE] * 3),
            str(len(own)), str(found.failed(arm)), f"{found.cpu_seconds(arm) / 60:.1f}",
            f"{found.seconds(arm) / 60:.1f}",
        ])  # fmt: skip
    return Table(header, body)


def every_trial(found: SearchResult) -> Table:
    """All trials of all arms, the best of each arm first."""
    body = [
        [arm, str(rank), str(one.trial.training), settings_words(one.trial.values), *_figures(one, 6), *_cost(one),
         " ".join(one.cells), one.reason]
        for arm, own in found.results.items() for rank, one in enumerate(own, 1)
    ]  # fmt: skip
    score = found.study.tuning.score
    return Table(
        ["arm", "rank", "training", "settings", score, "updates", "cpu_seconds", "seconds", "cells", "reason"], body
    )


def edges(found: SearchResult) -> list[str]:
    """Sentences on choices at the end of a list of numbers, beyond which a better value may lie."""
    lines = []
    for arm in found.results:
        best = found.chosen(arm)
        lists = {**found.study.tuning.all, **found.study.tuning.own[arm]}
        for key, value in best.trial.values.items() if best else ():
            values = lists[key]
            if len(values) > 2 and all(_number(one) for one in values) and value in (min(values), max(values)):
                end = "highest" if value == max(values) else "lowest"
                lines.append(f"{arm}: {key} {value:g} is the {end} of its list; a better one may lie beyond it")
    return lines


def total(found: SearchResult) -> str:
    """What the whole search cost, in a sentence."""
    trials = sum(map(len, found.results.values()))
    models = sum(len({one.trial.training for one in own}) for own in found.results.values())
    training = sum(found.cpu_seconds(arm) for arm in found.results) / 60
    measuring = sum(found.seconds(arm) for arm in found.results) / 60
    return (
        f"In all {count(trials, 'trial')} of {count(models, 'trained model')}: {training:.1f} CPU-minutes of training, "
        f"{measuring:.1f} min of sampling and scoring."
    )


def _trials(own: Sequence[TrialResult], found: SearchResult) -> Table:
    """The trials of one arm, the best first."""
    keys = list(own[0].trial.values)
    header = [*keys, found.study.tuning.score, "updates", "CPU-s of training", "s of sampling and scoring", "reason"]
    body = [[*(str(one.trial.values[key]) for key in keys), *_figures(one, 4), *_cost(one), one.reason] for one in own]
    return Table(header, body)


def _figures(one: TrialResult, digits: int) -> list[str]:
    return [NONE if one.score is None else f"{one.score:.{digits}g}"]


def _cost(one: TrialResult) -> list[str]:
    return [str(one.updates or NONE), f"{one.cpu_seconds:.1f}", f"{one.seconds:.1f}"]


def _own(found: SearchResult) -> list[str]:
    return [
        f"{arm}: " + "; ".join(f"`{key}`: {', '.join(map(str, values))}" for key, values in lists.items())
        for arm, lists in found.study.tuning.own.items()
        if arm in found.results
    ]


def _real(found: SearchResult) -> str:
    real = "" if found.real is None else f"{found.real:.4g}"
    return f"Real audio of the same prompts scores {real}." if real else ""


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
