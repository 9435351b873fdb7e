"""The file with the settings that a search chose for each arm, which a study takes over by its key ``tuned``.

    tuned: tuned/small_cpu.yaml          # beside the study, among the packaged studies, or in the current folder

``bench tune-arms`` writes the file. Its settings become those of the arms of the same name before another study extends
this one, so that they reach the arms of both; ``ArmChoice.chosen_by`` then says how they were chosen.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...common.errors import UserError
from ...common.files import write_text
from ...common.lines import say_once
from ...common.strict_yaml import parse_yaml

HEAD = """\
# Settings that `{command}` chose for each arm with the same effort. A study takes them over by its key
#   tuned: {name}
# or one command by --set tuned={path}. How they were found: {page}.
"""


def write_chosen(path: Path, command: str, page: str, effort: Mapping[str, Any], arms: Mapping[str, Any]) -> None:
    """Write the settings file.

    Args:
        command: that chose the settings, for the comment.
        page: name of the page beside it that shows all trials.
        effort: what every arm was given, as plain data.
        arms: label of an arm -> ``settings`` (dotted key -> value) and how they were found.
    """
    if path.is_file() and (held := read_chosen(path))["effort"] == effort:
        arms = {**held["arms"], **arms}
    head = HEAD.format(command=command, name=path.name, path=path, page=page)
    # Values as JSON, which quotes every text: the id 123456e78901 of a cell would else be read as a number.
    lines = [f"effort: {json.dumps(effort)}", "arms:"]
    for name, about in arms.items():
        lines += [f"  {json.dumps(name)}:", *(f"    {key}: {json.dumps(value)}" for key, value in about.items())]
    write_text(path, head + "\n".join(lines) + "\n")


def read_chosen(path: Path) -> dict[str, Any]:
    """``effort`` and ``arms`` of a settings file.

    Raises:
        UserError: it cannot be read, or is no such file.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    arms = data.get("arms") if isinstance(data, Mapping) else None
    held = list(arms.values()) if isinstance(arms, Mapping) and isinstance(data.get("effort"), Mapping) else [None]
    if not all(isinstance(arm, Mapping) and isinstance(arm.get("settings"), Mapping) for arm in held):
        raise UserError(f"{path}: no file of tuned settings; `bench tune-arms` writes one")
    return dict(data)


def take_chosen(data: Mapping[str, Any], folders: list[Path], where: str, replace: bool = False) -> dict[str, Any]:
    """The plain mapping of a study without its key ``tuned``, whose arms have the settings of that file.

    Args:
        folders: where the file may lie.
        where: name of the study's file, for errors.
        replace: settings that an arm states are replaced, which is said; else they are errors.

    Raises:
        UserError: no such file, or an arm that states another value.
    """
    found = {key: value for key, value in data.items() if key != "tuned"}
    named = data.get("tuned")
    if not named:
        return found
    path = next((folder / str(named) for folder in folders if (folder / str(named)).is_file()), None)
    if path is None:
        raise UserError(f"{where}: tuned: no file {str(named)!r}; `bench tune-arms {Path(where).stem}` writes one")
    chosen = read_chosen(path)
    arms = [{"paradigm": arm} if isinstance(arm, str) else arm for arm in found.get("arms") or []]
    found["arms"] = [_with(arm, chosen, f"{where}: tuned: {named}", replace) for arm in arms]
    return found


def _with(arm: Any, chosen: Mapping[str, Any], where: str, replace: bool) -> Any:
    """One arm with its settings of the file, if the file has some."""
    if not isinstance(arm, Mapping):
        return arm
    name = arm.get("label") or str(arm.get("paradigm", "")).rpartition(":")[2]
    own = chosen["arms"].get(name)
    if own is None:
        return arm
    for key, value in own["settings"].items():
        held = functools.reduce(lambda place, part: place.get(part, {}), str(key).split("."), arm)
        if held in ({}, value):
            continue
        if not replace:
            raise UserError(f"{where} sets {key} of arm {name!r} to {value}, and the study to {held}; remove it there")
        say_once(f"note: arm {name!r} takes {key} {value} from the tuned settings, instead of {held}")
    return {**put(arm, own["settings"]), "chosen_by": {"effort": chosen["effort"], **own}}


def put(arm: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain mapping of an arm with other values at dotted keys."""
    changed = copy.deepcopy(dict(arm))
    for key, value in values.items():
        *parents, last = key.split(".")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return changed
