"""Sweeps: a study measured once for every combination of some settings.

A study's ``sweep`` maps dotted study keys to lists of values; the points are their cartesian product:

    sweep:
      latency.batch: [1, 8, 64]           any key of the study
      arms.fm.sampler.steps: [10, 50]     one arm's sampler or options
      arms.*.sampler.guidance: [1, 3]     every arm whose sampler has that key

A cell that several points share, such as an arm that a swept key does not touch, is measured once.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...common.config import from_dict, to_dict
from ...common.errors import UserError, did_you_mean
from .cells import check_distinct
from .study import ArmChoice, Study

if TYPE_CHECKING:
    from .cells import Cell

FIXED = ("name", "title", "axis", "arms", "jobs", "timeout", "sweep")  # what names or runs a study cannot be swept


def expand(study: Study) -> list[Cell]:
    """The cells of all points of ``study``, each once; a cell is labelled by the swept values that set it apart.

    Raises:
        UserError: a swept key that the study has not, a value that its place cannot take, two arms that are the same.
    """
    from .axis import AXES

    axis = AXES.load(study.axis)()
    found: dict[tuple[str, str], list[tuple[Cell, dict[str, Any]]]] = {}
    for point, values in points(study):
        cells = axis.expand(point)
        check_distinct(cells, study.name)
        for cell in cells:
            found.setdefault((cell.id, cell.system), []).append((cell, values))
    merged = [dataclasses.replace(twins[0][0], label=_name(twins)) for twins in found.values()]
    check_distinct(merged, study.name)
    return merged


def points(study: Study) -> Iterator[tuple[Study, dict[str, Any]]]:
    """Every point of the sweep as a study without one, and the values that make it."""
    keys = list(study.sweep)
    for key in keys:
        if not study.sweep[key]:
            raise UserError(f"{study.name}: sweep {key!r} has no values; name at least one")
        if key in FIXED or key.partition(".")[0] == "sweep":
            raise UserError(f"{study.name}: sweep {key!r}: this key cannot be swept")
    plain = to_dict(dataclasses.replace(study, sweep={}))
    for values in itertools.product(*study.sweep.values()):
        data = copy.deepcopy(plain)
        for key, value in zip(keys, values):
            _assign(data, study, key, value)
        yield from_dict(Study, data, study.name), dict(zip(keys, values))


def _assign(data: dict[str, Any], study: Study, key: str, value: Any) -> None:
    if key.startswith("arms."):
        for index, parts in _arm_places(study, key):
            _put(data["arms"][index], parts, value)
        return
    parts = key.split(".")
    check_key(Study, parts, f"{study.name}: sweep {key!r}")
    _put(data, parts, value)


def _put(place: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        place = place.setdefault(part, {})
    place[parts[-1]] = value


def _arm_places(study: Study, key: str) -> list[tuple[int, list[str]]]:
    """Which arms ``arms.<label>.sampler.<key>`` means, by index, and the path inside each."""
    where, rest = f"{study.name}: sweep {key!r}", key.removeprefix("arms.")
    names = ["*", *(arm.name for arm in study.arms)]
    # Labels may hold dots, so the longest that fits is meant.
    label = max((name for name in names if rest.startswith(f"{name}.")), key=len, default=None)
    if label is None:
        wrong = rest.split(".")[0]
        raise UserError(f"{where}: no arm {wrong!r}{did_you_mean(wrong, names)}; arms: {', '.join(names[1:])}")
    parts = rest.removeprefix(f"{label}.").split(".")
    if parts[0] not in ("sampler", "options") or len(parts) < 2:
        raise UserError(f"{where}: {'.'.join(parts)!r} of an arm cannot be swept; sampler.<key> and options.<key> can")
    arms = [(i, arm) for i, arm in enumerate(study.arms) if label in ("*", arm.name)]
    having, error = [], None
    for index, arm in arms:
        try:
            check_key(_settings_class(arm, parts[0]), parts[1:], where)
            having.append((index, parts))
        except UserError as unknown:
            error = unknown
    if error is not None and not having:
        raise error
    return having


def _settings_class(arm: ArmChoice, what: str) -> type[Any]:
    from ... import paradigms

    paradigm = paradigms.find(arm.paradigm)
    chosen: type[Any] = paradigm.sampler_class if what == "sampler" else paradigm.options_class
    return chosen


def check_key(cls: type[Any], parts: list[str], where: str) -> None:
    """Follow a dotted key through nested dataclasses; below a plain mapping every key will do.

    Raises:
        UserError: a part that is no field, naming the nearest, or a key below a plain value.
    """
    here: Any = cls
    for position, part in enumerate(parts):
        if typing.get_origin(here) is dict or here is Any:
            return
        if not dataclasses.is_dataclass(here):
            raise UserError(f"{where}: {'.'.join(parts[:position])!r} is a plain value and has no {part!r}")
        fields = [field.name for field in dataclasses.fields(here)]
        if part not in fields:
            raise UserError(f"{where}: unknown key {part!r}{did_you_mean(part, fields)}; known: {', '.join(fields)}")
        here = typing.get_type_hints(here)[part]
        if typing.get_origin(here) in (typing.Union, types.UnionType):
            here = next(arg for arg in typing.get_args(here) if arg is not type(None))


def _name(twins: list[tuple[Cell, dict[str, Any]]]) -> str:
    """The axis' own label and the swept settings."""
    return " ".join(part for part in (twins[0][0].label, _label([values for _, values in twins])) if part)


def _label(points_of_cell: list[dict[str, Any]]) -> str:
    """The swept settings that are the same at all points where a cell occurs, e.g. ``batch 8 steps 10``."""
    first = points_of_cell[0]
    fixed = {key: value for key, value in first.items() if all(other[key] == value for other in points_of_cell)}
    return " ".join(f"{_short(key, first)} {value}" for key, value in fixed.items())


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """The last part of a dotted key, or all of it where two keys end alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key
