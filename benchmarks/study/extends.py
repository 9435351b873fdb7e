"""A study that extends another one takes over its settings, so that what studies share is stated in one file.

    extends: small_cpu                               # a packaged study, or a YAML file beside this one
    title: Flow matching by number of Euler steps
    arms:
      - fm                                           # the other study's arm, as it is
      - {arm: fm, label: fm-2, sampler: {steps: 2}}  # the same with other settings
      - {paradigm: ntp}                              # an arm of its own
    train: {updates: 400}                            # the other settings of ``train`` stay

A mapping changes the keys that it names; a list, a plain value, a ``sweep`` and a ``budget`` replace what the other
study has. Its name and title are not taken over. Without ``arms`` a study has the other's arms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...common.errors import UserError, did_you_mean
from ...common.strict_yaml import parse_yaml
from .chosen import take_chosen

STUDIES = Path(__file__).parent / "studies"  # of the packaged studies
OWN = ("name", "title")  # a study does not take these over
WHOLE = ("sweep", "budget")  # mappings that replace the other study's, since their keys belong together


def read_study(path: Path, find: Callable[[str, Path], Path], extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The plain mapping of a study's YAML file, with what it takes over from the study that it extends.

    Args:
        find: the file of the study that ``extends`` names in a file of a folder.
        extended_by: the files that were read on the way here.

    Raises:
        UserError: bad YAML, studies that extend each other, or an arm that the other study does not have.
    """
    where = path.name
    data = parse_yaml(path.read_text(encoding="utf-8"), where)
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: expected a mapping of study keys, got {type(data).__name__}")
    own = {"name": path.stem, **data}
    folders = [path.parent, STUDIES, Path()]
    if "extends" not in own:
        return take_chosen(own, folders, where)
    named = own.pop("extends")
    if not isinstance(named, str):
        raise UserError(f"{where}: extends must name one study, got {named!r}")
    base_path = find(named, path.parent).resolve()
    if base_path in (seen := (*extended_by, path.resolve())):
        raise UserError(f"{where}: extends {named!r}, which extends {path.stem!r}; remove one of the two")
    base = {key: value for key, value in read_study(base_path, find, seen).items() if key not in OWN}
    if isinstance(own.get("arms"), list):
        own["arms"] = [_arm(arm, base, named, where) for arm in own["arms"]]
    return take_chosen(merged(base, own), folders, where)


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``own``; mappings that both have are merged in the same way, but for ``WHOLE``."""
    found = dict(base)
    for key, value in own.items():
        held = None if key in WHOLE else found.get(key)
        found[key] = merged(held, value) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return found


def _arm(arm: Any, base: Mapping[str, Any], named: str, where: str) -> Any:
    """One entry of ``arms``: the other study's arm with changes, or an arm of its own."""
    changes = {"arm": arm} if isinstance(arm, str) else arm
    if not isinstance(changes, Mapping) or "arm" not in changes:
        return arm
    held = {_name(one): one for one in map(_spelled_out, base.get("arms") or []) if isinstance(one, Mapping)}
    wanted = str(changes["arm"])
    if wanted not in held:
        raise UserError(
            f"{where}: {named} has no arm {wanted!r}{did_you_mean(wanted, list(held))}; it has {', '.join(held)}; "
            f"for an arm of this study alone, write {{paradigm: {wanted}}}"
        )
    return merged(held[wanted], {key: value for key, value in changes.items() if key != "arm"})


def _spelled_out(arm: Any) -> Any:
    return {"paradigm": arm} if isinstance(arm, str) else arm


def _name(arm: Mapping[str, Any]) -> str:
    """As ``ArmChoice.name``."""
    return str(arm.get("label") or str(arm.get("paradigm", "")).rpartition(":")[2])
