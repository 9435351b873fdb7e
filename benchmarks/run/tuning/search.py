"""Measures the trials of a study's arms, and chooses the settings of each arm by its best score.

Every trial ends as records of its cells in the search's own folder, as the cells of a study do. A trial that has ended
is not run again, and an interrupted training resumes. A trial that diverged, ran out of memory or took too long is a
result: it has no score and ranks last. Only a trial whose worker was killed is run again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....common.errors import UserError, did_you_mean
from ....common.lines import count, say
from ...analysis.records import GOOD, Record, latest, load_records
from ...metrics.catalogue import about
from ...study.axis import Context
from ...study.cells import Cell
from ...study.study import Study
from .. import runner
from .design import Trial, trials_of
from .trials import AXIS, REFERENCE_SPLIT, SPLIT, check_study, trial_cells, trial_train


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Attributes:
        cells: ids of its cells, one for each seed.
        score: mean over the seeds; None: at least one of them has none.
        reason: why there is no score.
        updates: that its model was trained for, per seed; 0: not known.
        cpu_seconds: of training, over its seeds, which all trials of one model share.
        seconds: of sampling and scoring, over its seeds.
    """

    trial: Trial
    cells: tuple[str, ...]
    score: float | None
    reason: str = ""
    updates: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        results: arm -> its trials, the best first, those without a score last.
        real: the score of real audio of the validation split, the same for all arms.
        effort: what every arm was given, as plain data.
    """

    study: Study
    results: Mapping[str, Sequence[TrialResult]]
    real: float | None
    effort: dict[str, Any]

    def chosen(self, arm: str) -> TrialResult | None:
        """The best trial of an arm; None: none of them has a score."""
        best = self.results[arm][0]
        return None if best.score is None else best

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """What a settings file tells of every arm that has a choice (``study.chosen``)."""
        found = {}
        for arm in self.results:
            best = self.chosen(arm)
            if best is not None:
                found[arm] = {
                    "settings": best.trial.values,
                    "own": {key: list(values) for key, values in self.study.tuning.own[arm].items()},
                    "score": best.score,
                    "real": self.real,
                    "failed": self.failed(arm),
                    "cpu_seconds": round(self.cpu_seconds(arm), 1),
                    "cells": list(best.cells),
                }
        return found

    def cpu_seconds(self, arm: str) -> float:
        """CPU time of training all models of an arm."""
        models = {result.trial.training: result.cpu_seconds for result in self.results[arm]}
        return sum(models.values())

    def seconds(self, arm: str) -> float:
        """Time of sampling and scoring all trials of an arm."""
        return sum(result.seconds for result in self.results[arm])

    def failed(self, arm: str) -> int:
        """Trials of an arm without a score."""
        return sum(result.score is None for result in self.results[arm])


@dataclass(frozen=True)
class Search:
    """The trials of a study, and the folder of their records and weights.

    Attributes:
        real: the cells of real audio.
        trials: of every arm, each with its cells.
    """

    study: Study
    folder: Path
    real: list[Cell]
    trials: Mapping[str, Sequence[tuple[Trial, list[Cell]]]]

    @classmethod
    def of(cls, study: Study, work: Path) -> Search:
        """The search of a study, whose records and weights are in ``work/<study>/tuning``.

        Raises:
            UserError: see ``check_study``, ``trials_of`` and ``trial_cells``.
        """
        check_study(study)
        by_arm = trials_of(study)
        real, made = trial_cells(study, [trial for own in by_arm.values() for trial in own])
        rest = iter(made)
        return cls(study, work / study.name / "tuning", real, {
            arm: [(trial, next(rest)) for trial in own] for arm, own in by_arm.items()
        })  # fmt: skip

    @property
    def cells(self) -> list[Cell]:
        """The cells of all trials."""
        return [cell for own in self.trials.values() for _, cells in own for cell in cells]

    def run(
        self, jobs: int = 0, command: str = "", timeout_s: float | None = None, retry: bool = False
    ) -> SearchResult:
        """Measure the trials that have not ended, and rank them.

        Real audio is scored first, which tells whether the evaluator gives the score at all.

        Args:
            jobs, timeout_s: as for ``runner.run``.
            retry: run trials without a score again.

        Raises:
            UserError: a score that the evaluator does not give; see ``runner.run``.
            KeyboardInterrupt: after the workers have been stopped.
        """
        context, name = Context(self.study.name, self.folder, self.folder), self.study.tuning.score

        def measure(cells: Sequence[Cell], prepare: bool) -> None:
            runner.run(
                cells, AXIS, context, jobs=jobs, cpu_jobs=self.study.jobs, command=command, timeout_s=timeout_s,
                prepare=prepare, tell=lambda record: f"  {name} {_shown(_value(record, name))}",
            )  # fmt: skip

        measure(self.real, False)
        self.check_score()
        cells, held = self.cells, latest(load_records(self.folder)[0])
        left = [cell for cell in cells if not _ended(held.get(cell.id), retry)]
        ended = f"; {count(len(cells) - len(left), 'cell')} measured already" if len(left) < len(cells) else ""
        say(f"tuning {self.study.name}: {count(len(left), 'cell')} to measure{ended}")
        measure(left, True)
        return self.result()

    def check_score(self) -> None:
        """Refuse a score that real audio does not get.

        Raises:
            UserError: naming those that it gets.
        """
        held, name = latest(load_records(self.folder, {cell.id for cell in self.real})[0]), self.study.tuning.score
        for record in held.values():
            if record.status != "ok":
                raise UserError(f"{self.study.name}: real audio cannot be scored: {record.reason}")
            if _value(record, name) is None:
                known = [one for one, m in record.metrics.items() if m.value is not None and m.better != "neither"]
                raise UserError(
                    f"{self.study.name}: tuning.score: no evaluator gives {name!r}{did_you_mean(name, known)} for "
                    f"{count(self.study.tuning.prompts, 'prompt')}; it can be {', '.join(known)}"
                )

    def result(self) -> SearchResult:
        """The trials with their scores, from their records."""
        held, name = latest(load_records(self.folder)[0]), self.study.tuning.score
        sign = 1 if about(name).better == "lower" else -1
        results = {
            arm: sorted(
                (self._result(trial, cells, held) for trial, cells in own),
                key=lambda one: (one.score is None, sign * (one.score or 0.0)),
            )
            for arm, own in self.trials.items()
        }
        real = next((_value(held[cell.id], name) for cell in self.real if cell.id in held), None)
        return SearchResult(self.study, results, real, self.effort)

    @property
    def effort(self) -> dict[str, Any]:
        """What every arm is given: arms with equal efforts were tuned alike."""
        chosen, train = self.study.tuning, trial_train(self.study)
        config = self.cells[0].config
        return {
            "score": chosen.score,
            "split": SPLIT,
            "reference_split": REFERENCE_SPLIT,
            "prompts": config["evaluation"]["prompts"],
            "corpus": config["data"]["corpus"]["name"],
            "seeds": list(chosen.seeds),
            "trainings": chosen.trainings,
            "samplings": chosen.samplings,
            "share": chosen.share,
            "updates": train.updates,
            "budget": train.budget.unit,
            "batch": train.batch,
            "searched": {key: list(values) for key, values in chosen.all.items()},
        }

    def _result(self, trial: Trial, cells: Sequence[Cell], held: Mapping[str, Record]) -> TrialResult:
        name = self.study.tuning.score
        records = [held.get(cell.id) for cell in cells]
        scores = [None if record is None else _value(record, name) for record in records]
        known = [score for score in scores if score is not None]
        training = [record.training if record else None for record in records]
        return TrialResult(
            trial,
            tuple(cell.id for cell in cells),
            sum(known) / len(known) if len(known) == len(cells) else None,
            next((_why(record) for record, score in zip(records, scores) if score is None), ""),
            max((one.updates for one in training if one), default=0),
            sum(one.cpu_seconds if one else self._spent(cell) for one, cell in zip(training, cells)),
            sum(record.timing.get("measuring_seconds", 0.0) for record in records if record),
        )

    def _spent(self, cell: Cell) -> float:
        """CPU time of a training that did not end, from its log; 0 where it has none."""
        try:
            line = (self.folder / cell.group / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
            return float(json.loads(line)["cpu_seconds"])
        except (OSError, ValueError, IndexError, KeyError):
            return 0.0


def _value(record: Record, name: str) -> float | None:
    """The score of a good record; None where it has none."""
    found = record.metrics.get(name) if record.status == "ok" else None
    return None if found is None else found.value


def _ended(record: Record | None, retry: bool) -> bool:
    """Whether a cell has its result: a score, or a failure of its own doing."""
    if record is None or record.status in GOOD:
        return record is not None
    return not retry and not record.reason.startswith(runner.LOST)


def _why(record: Record | None) -> str:
    if record is None:
        return "not run"
    return f"{record.status}: {record.reason}" if record.status != "ok" else "the score is not defined"


def _shown(score: float | None) -> str:
    return "not defined" if score is None else f"{score:.4g}"
