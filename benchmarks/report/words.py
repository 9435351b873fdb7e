"""How sentences name an arm, and how far what they say of it reaches.

A verdict on a paradigm needs three training seeds or more, and arms that have stopped improving. Otherwise sentences
speak of what was measured: ``this run of fm``, ``fm after 1,400 updates``. Every page and the report take an arm's name
in sentences from here, so that they all say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...common.lines import count
from ..analysis.learning import still_learning
from ..analysis.result_table import ResultTable, TableRow
from .scores import spent

SEEDS = 3  # the fewest that support a verdict on a paradigm
REACH = "Answers on this page are about the trained models that they name, not about paradigms:"


@dataclass(frozen=True)
class ArmNames:
    """The arms of one table in words.

    Attributes:
        around: system, or the label of an arm that has several rows -> the words before and after its name, as
            ``this run of `` and `` after 1,400 updates``.
        reasons: why there is no verdict on a paradigm, one line for each reason; empty where there may be one.
    """

    around: Mapping[str, tuple[str, str]]
    reasons: tuple[str, ...]

    def __getitem__(self, system: str) -> str:
        before, after = self.around.get(system, ("", ""))
        return f"{before}{system}{after}"

    def listed(self, systems: Iterable[str], scores: Mapping[str, str] | None = None, *, again: bool = False) -> str:
        """``this run of ar (0.61), fm (0.59) after 1,400 updates``: words that all arms share are said once.

        Args:
            scores: system -> what stands behind its name.
            again: the sentence has listed arms before, so that shared words are left out.
        """
        own = dict(scores or {})
        if len(set(self.around.values())) != 1:
            return ", ".join(f"{self[system]}{own.get(system, '')}" for system in systems)
        ((before, after),) = set(self.around.values())
        names = ", ".join(f"{system}{own.get(system, '')}" for system in systems)
        return names if again or not names else f"{before}{names}{after}"

    @property
    def note(self) -> list[str]:
        """The reasons as a note of a page; none where there is no reason."""
        return [f"{REACH} {'; '.join(self.reasons)}."] if self.reasons else []


def arm_names(table: ResultTable) -> ArmNames:
    """The names of a table's arms in sentences, and why they are no more than that."""
    rows = [row for row in table.arms if row.good]
    why = {row.system: still_learning(table, row) for row in rows}
    around = {row.system: (_runs(row), _updates(row) if why[row.system] else "") for row in rows}
    fewest = {row.label: row for row in sorted(rows, key=_seeds, reverse=True)}  # of several rows of one arm
    arms = {label: fewest[label] for label in table.labels if label in fewest}
    around |= {label: around[row.system] for label, row in arms.items()}
    learning = {label: why[row.system] for label, row in arms.items()}
    return ArmNames(around, (*_few_seeds(list(arms.values())), *_grouped(learning)))


def _seeds(row: TableRow) -> int:
    return len({record.seed for record in row.good})


def _runs(row: TableRow) -> str:
    seeds = _seeds(row)
    if seeds >= SEEDS:
        return ""
    return "this run of " if seeds == 1 else f"these {seeds} runs of "


def _updates(row: TableRow) -> str:
    updates = spent(row.good)
    return f" after {count(updates, 'update')}" if updates else ""


def _few_seeds(arms: list[TableRow]) -> list[str]:
    by_seeds: dict[int, list[str]] = {}
    for row in arms:
        by_seeds.setdefault(_seeds(row), []).append(row.label)
    return [
        f"{_who(systems, len(arms))}: {count(seeds, 'training seed')}, and at least {SEEDS} are needed"
        for seeds, systems in sorted(by_seeds.items())
        if seeds < SEEDS
    ]


def _grouped(learning: Mapping[str, str]) -> list[str]:
    """``fm, ar: no snapshot shows that learning has stopped``: the arms by the reason for which they still learn."""
    by_reason: dict[str, list[str]] = {}
    for system, reason in learning.items():
        if reason:
            by_reason.setdefault(reason, []).append(system)
    return [f"{_who(systems, len(learning))}: {why}" for why, systems in by_reason.items()]


def _who(systems: list[str], arms: int) -> str:
    return "All arms" if len(systems) == arms > 1 else ", ".join(systems)
