"""Which settings the trials of each arm try: a balanced part of the grid, the same number for every arm.

The grid of an arm is the product of the values that the study lists. Its keys fall into two kinds: ``train`` and
``options`` need a training for each combination, while ``sampler`` settings are tried on the same weights. Every arm
trains ``trainings`` models and samples ``samplings`` times from each. Where that is the whole grid, all of it is tried.
Else a part of it in which all pairs of values, and all values, occur about equally often (a fractional factorial
design), so that no two settings change together. Combinations are chosen one after the other, each with the pairs that
occur least often so far; of many seeded attempts the most even one is taken.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .... import paradigms
from ....common.errors import UserError, did_you_mean
from ...study.study import ArmChoice, Study
from ...study.sweep import check_key
from ...study.tuning import check_optimisation

Lists = Mapping[str, Sequence[Any]]
Point = tuple[int, ...]  # the number of the value of each key
Pair = tuple[tuple[int, int], ...]  # (number of the key, number of the value), two of them or one
ATTEMPTS = 64


@dataclass(frozen=True)
class Trial:
    """One arm with one combination of settings.

    Attributes:
        values: dotted key of the arm -> value.
        training: number of the trained model, which its ``samplings`` trials share.
    """

    arm: str
    training: int
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The settings in short, e.g. ``lr 0.004 optimiser muon guidance 2.5``."""
        return " ".join(f"{key.rpartition('.')[2]} {value}" for key, value in self.values.items())


def trials_of(study: Study) -> dict[str, list[Trial]]:
    """The trials of every arm, by its name.

    Raises:
        UserError: an arm without a setting of its own, an unknown setting, a list without values or with equal ones, or
            fewer combinations than trials.
    """
    chosen = study.tuning
    names = [arm.name for arm in study.arms]
    for name in chosen.own:
        if name not in names:
            raise UserError(f"{study.name}: tuning.own: no arm {name!r}{did_you_mean(name, names)}; "
                            f"arms: {', '.join(names)}")  # fmt: skip
    return {arm.name: _trials(arm, study) for arm in study.arms}


def balanced(lists: Lists, n: int, seed: int) -> list[dict[str, Any]]:
    """``n`` combinations of the values in ``lists``, in which pairs of values and values occur about equally often."""
    grid = list(itertools.product(*(range(len(values)) for values in lists.values())))
    parts = [_greedy(grid, n, random.Random(seed * ATTEMPTS + attempt)) for attempt in range(ATTEMPTS)]
    best = min(parts, key=_unevenness)  # the first of equally balanced ones
    return [{key: values[i] for (key, values), i in zip(lists.items(), point)} for point in best]


def _greedy(grid: Sequence[Point], n: int, rng: random.Random) -> list[Point]:
    """``n`` points of a grid one after the other, the next that whose pairs of values occur least often so far."""
    left, used = rng.sample(list(grid), len(grid)), Counter[Pair]()
    chosen: list[Point] = []
    for _ in range(min(n, len(grid))):
        chosen.append(min(left, key=lambda point: sum(used[pair] for pair in _together(point, 2))))
        left.remove(chosen[-1])
        used.update(_together(chosen[-1], 2))
    return chosen


def _unevenness(points: Sequence[Point]) -> list[int]:
    """Sums of squares of how often pairs of values, and values, occur: least where all occur equally often."""
    counts = [Counter(part for point in points for part in _together(point, size)) for size in (2, 1)]
    return [sum(times**2 for times in counted.values()) for counted in counts]


def _together(point: Point, size: int) -> Iterator[Pair]:
    """The values of a point with their keys, ``size`` at a time."""
    return itertools.combinations(enumerate(point), size)


def _trials(arm: ArmChoice, study: Study) -> list[Trial]:
    chosen, where = study.tuning, f"{study.name}: tuning of arm {arm.name!r}"
    own = chosen.own.get(arm.name, {})
    if len(own) != 1:
        asked = "has no setting of its own" if not own else f"has {len(own)} settings of its own"
        raise UserError(
            f"{where}: it {asked} to search, and every arm must have one; set tuning.own, e.g. "
            f"{arm.name}: {{options.KEY: [VALUE, VALUE]}}"
        )
    lists = {**chosen.all, **own}
    for key, values in lists.items():
        _check(key, values, arm, where)
    trained = {key: values for key, values in lists.items() if not key.startswith("sampler.")}
    sampled = {key: values for key, values in lists.items() if key.startswith("sampler.")}
    for counted, n, held in (("trainings", chosen.trainings, trained), ("samplings", chosen.samplings, sampled)):
        most = math.prod(len(values) for values in held.values())
        if n > most:
            raise UserError(
                f"{where}: tuning.{counted} is {n}, but {', '.join(held) or 'nothing'} gives {most}; "
                f"lower it, or list more values"
            )
    return [
        Trial(arm.name, number, {**one, **other})
        for number, one in enumerate(balanced(trained, chosen.trainings, chosen.seeds[0]))
        for other in balanced(sampled, chosen.samplings, chosen.seeds[0] + number)
    ]


def _check(key: str, values: Sequence[Any], arm: ArmChoice, where: str) -> None:
    """Check that the arm has a setting, and that its list has values, each once."""
    kind, _, rest = key.partition(".")
    paradigm = paradigms.find(arm.paradigm)
    if kind == "train":
        check_optimisation(rest, where)
    elif kind in ("sampler", "options") and rest:
        check_key(paradigm.sampler_class if kind == "sampler" else paradigm.options_class, rest.split("."), where)
    else:
        raise UserError(f"{where}: unknown setting {key!r}; give train.KEY, options.KEY or sampler.KEY")
    if not values:
        raise UserError(f"{where}: {key} has no values; list some")
    if len({repr(value) for value in values}) < len(values):
        raise UserError(f"{where}: {key} lists a value twice; remove one")
