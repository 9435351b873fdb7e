"""Sweeps: a study measured once for every combination of some settings.

A study's ``sweep`` maps dotted study keys to lists of values; the points are their cartesian product:

    sweep:
      latency.batch: [1, 8, 64]           any key of the study
      arms.fm.sampler.steps: [10, 50]     one arm's sampler, options or backbone
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
from typing import Any

from ... import paradigms
from ...backbones import BackboneConfig
from ...common.errors import UserError, did_you_mean
from .axis import find_axis, settings_classes
from .cells import Cell, check_distinct
from .load import KEYS, as_mapping, study_from
from .study import ArmChoice, Study

FIXED = ("name", "title", "axis", "arms", "jobs", "timeout", "tuning", "sweep")  # keys that cannot be swept


def expand(study: Study) -> list[Cell]:
    """The cells of all points of ``study``, each once; a cell is labelled by the swept values that set it apart.

    Raises:
        UserError: a swept key that the study does not have, a value of the wrong type, or two arms that are the same.
    """
    axis = find_axis(study.axis)
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
    """Every point of the sweep: a study without a sweep, and the swept keys with their values there.

    Raises:
        UserError: a key that cannot be swept, or a value that does not fit.
    """
    keys = list(study.sweep)
    for key in keys:
        if not study.sweep[key]:
            raise UserError(f"{study.name}: sweep {key!r} has no values; name at least one")
        if key in FIXED or key.partition(".")[0] == "sweep":
            raise UserError(f"{study.name}: sweep {key!r}: this key cannot be swept")
    plain = as_mapping(dataclasses.replace(study, sweep={}))
    for values in itertools.product(*study.sweep.values()):
        data = copy.deepcopy(plain)
        for key, value in zip(keys, values):
            _assign(data, study, key, value)
        yield study_from(data, study.name), dict(zip(keys, values))


def _assign(data: dict[str, Any], study: Study, key: str, value: Any) -> None:
    if key.startswith("arms."):
        for index, parts in _arm_places(study, key):
            _put(data["arms"][index], parts, value)
        return
    parts, where = key.split("."), f"{study.name}: sweep {key!r}"
    sections = settings_classes(study.axis)
    if parts[0] in sections:
        check_key(sections[parts[0]], parts, where, 1)
    elif parts[0] not in KEYS:
        known = [*KEYS, *sections]
        raise UserError(f"{where}: unknown key {parts[0]!r}{did_you_mean(parts[0], known)}; known: {', '.join(known)}")
    else:
        check_key(Study, parts, where)
    _put(data, parts, value)


def _put(place: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        place = place.setdefault(part, {})
    place[parts[-1]] = value


def _arm_places(study: Study, key: str) -> list[tuple[int, list[str]]]:
    """Index of each arm that ``arms.<label>.sampler.<key>`` stands for, and the keys inside the arm.

    ``arms.*`` stands for the arms whose sampler or options have the key.
    """
    where, rest = f"{study.name}: sweep {key!r}", key.removeprefix("arms.")
    names = ["*", *(arm.name for arm in study.arms)]
    # Labels may hold dots, so the longest label that fits counts.
    label = max((name for name in names if rest.startswith(f"{name}.")), key=len, default=None)
    if label is None:
        wrong = rest.split(".")[0]
        raise UserError(f"{where}: no arm {wrong!r}{did_you_mean(wrong, names)}; arms: {', '.join(names[1:])}")
    parts = rest.removeprefix(f"{label}.").split(".")
    if parts[0] not in ("sampler", "options", "backbone") or len(parts) < 2:
        raise UserError(
            f"{where}: {'.'.join(parts)!r} of an arm cannot be swept; <key> of its sampler, options or backbone can"
        )
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
    if what == "backbone":
        return BackboneConfig
    paradigm = paradigms.find(arm.paradigm)
    return paradigm.sampler_class if what == "sampler" else paradigm.options_class


def check_key(cls: type[Any], parts: list[str], where: str, start: int = 0) -> None:
    """Check that a dotted key leads to a field of nested dataclasses; below a plain mapping every key is accepted.

    Args:
        start: index of the part that is a field of ``cls``.

    Raises:
        UserError: a part that is no field, naming the nearest, or a key below a plain value.
    """
    here: Any = cls
    for position, part in enumerate(parts[start:], start):
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
    """The axis' own label, and the swept settings that are the same at all points of a cell: ``batch 8 steps 10``."""
    cell, first = twins[0]
    fixed = {key: value for key, value in first.items() if all(other[key] == value for _, other in twins)}
    return " ".join([cell.label] * bool(cell.label) + [f"{_short(key, first)} {value}" for key, value in fixed.items()])


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """The last part of a dotted key, or all of it where two keys end alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key
