"""Reads studies from YAML files, and changes them by the options of the command line.

Reading is strict: an unknown or repeated key, or a value of the wrong type, is an error that names it. Options change
the plain mapping that the YAML file holds, before it is checked, so that every key can be overridden alike.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...common.config import from_dict, to_dict
from ...common.errors import UserError, did_you_mean
from ...common.lines import say_once
from ...common.strict_yaml import parse_yaml
from ...corpora.spec import CorpusChoice
from ...paradigms import names as paradigm_names
from ...training.spec import SCALED, TrainSpec, scaled_to
from .axis import find_axis, settings_classes
from .chosen import take_chosen
from .extends import STUDIES, read_study
from .study import S, Study

KEYS = tuple(f.name for f in dataclasses.fields(Study) if f.name != "sections")  # beside those of axes


def study_names() -> list[str]:
    """Names of the studies that come with the suite."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def title_of(results: str) -> str:
    """Title of the packaged study whose results are in the folder of this name; empty for a user's own study."""
    if results in study_names():
        return load_study(results).title
    same = [name for name in study_names() if results.startswith(f"{name}-")]
    return f"the same as {max(same, key=len)}, on other audio or another machine" if same else ""


def load_study(
    name: str,
    settings: Iterable[str] = (),
    paradigms: Iterable[str] = (),
    sweeps: Iterable[str] = (),
    updates: int | None = None,
) -> Study:
    """Read the packaged study called ``name``, or the YAML file at the path ``name``.

    An arm may be given by its bare name; a study without a name has its file's; a study may extend another one
    (extends.py).

    Args:
        settings: ``dotted.key=value`` overrides; values are YAML. A key that the study sweeps is then swept no more.
        paradigms: keep only these arms (by label); a paradigm without an arm in the study joins with its defaults.
        sweeps: ``dotted.key=value,value`` beside the study's own, or instead of them where the key is the same.
        updates: of training, instead of the study's (``training.spec.scaled_to``); ``settings`` come after it.

    Raises:
        UserError: no such study, bad YAML, an unknown, repeated or missing key, a value of the wrong type, an arm that
            the extended study does not have, or ``updates`` for a study whose budget is not in updates.
    """
    path = _find(name)
    data = read_study(path, _find)
    if updates is not None:
        _set_updates(data, updates, path.name)
    for setting in settings:
        _set(data, setting)
    for sweep in sweeps:
        _add_sweep(data, sweep)
    if isinstance(data.get("arms"), list):
        data["arms"] = [{"paradigm": arm} if isinstance(arm, str) else arm for arm in data["arms"]]
    if wanted := list(dict.fromkeys(paradigms)):
        _keep_arms(data, wanted, path.name)
    data = take_chosen(data, [Path(), STUDIES], path.name, replace=True)  # of --set tuned=FILE
    study = study_from(data, path.name)
    _check(study, path.name)
    _check_effect([*(setting.partition("=")[0] for setting in (*settings, *sweeps)), *study.sweep], study)
    return study


def with_corpus(study: Study, folder: str) -> Study:
    """The same study on another corpus; its results go to a folder of their own, ``<study>-<corpus>``."""
    path = Path(folder)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", (path.parent if path.is_file() else path).resolve().name)
    corpus = CorpusChoice(spec=folder, clips=None, seconds=None, seed=study.corpus.seed)
    return dataclasses.replace(study, name=f"{study.name}-{name}", corpus=corpus)


def parse_setting(setting: str) -> tuple[str, Any]:
    """``key=value`` with the value read as YAML.

    Raises:
        UserError: no key, no ``=``, or a value that is no YAML.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {setting!r}: expected KEY=VALUE, for example train.lr=1e-3")
    return key.strip(), parse_yaml(text, f"--set {key.strip()}")


def study_from(data: Mapping[str, Any], where: str) -> Study:
    """The study that a plain mapping of YAML keys describes, with the sections of all axes.

    Args:
        where: how errors call the mapping, such as the name of its file.

    Raises:
        UserError: an unknown or missing key, a value of the wrong type, or an axis that does not exist.
    """
    axis = data.get("axis")
    classes = settings_classes(axis if isinstance(axis, str) else "")
    known = [*KEYS, *classes]
    for key in data:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{did_you_mean(str(key), known)}; known: {', '.join(known)}")
    study = from_dict(Study, {key: value for key, value in data.items() if key in KEYS}, where)
    sections = {key: _section(cls, data.get(key, {}), f"{where}.{key}") for key, cls in classes.items()}
    return dataclasses.replace(study, sections=sections)


def _section(cls: type[S], data: Any, where: str) -> S:
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: expected a mapping, got {data!r}")
    return from_dict(cls, data, where)


def as_mapping(study: Study) -> dict[str, Any]:
    """The plain mapping of YAML keys that ``study_from`` reads as ``study``."""
    plain = to_dict(dataclasses.replace(study, sections={}))
    del plain["sections"]
    return {**plain, **{key: to_dict(settings) for key, settings in study.sections.items()}}


def _check(study: Study, where: str) -> None:
    """Refuse a study that no axis could measure.

    Raises:
        UserError: a bad name, no arms or seeds, too few prompts, two arms with one name, or tuning on another axis.
    """
    axis = find_axis(study.axis)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", study.name):
        raise UserError(
            f"{where}: name {study.name!r} must consist of letters, digits, '_', '-' and '.', since it names a folder"
        )
    for values, key in ((study.arms, "arms"), (study.seeds, "seeds")):
        if not values and (key == "seeds" or axis.measures_arms):
            raise UserError(f"{where}: {key} is empty; name at least one")
    if not axis.tunes and (study.evaluation.reward or any(arm.tune for arm in study.arms)):
        raise UserError(f"{where}: rewards and tuning do not work on axis {study.axis}; remove them")
    if study.evaluation.prompts < 2:
        raise UserError(f"{where}: evaluation.prompts is {study.evaluation.prompts} but must be 2 or more")
    names = [arm.name for arm in study.arms]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{where}: two arms are called {repeated[0]!r}; give one of them a label")


def _check_effect(keys: Iterable[str], study: Study) -> None:
    """Refuse a setting of ``train`` that is changed for all arms, where arms have their own.

    Raises:
        UserError: naming an arm that the change would not reach.
    """
    for key in keys:
        part, _, name = key.strip().partition(".")
        arm = next((arm for arm in study.arms if part == "train" and name in arm.train), None)
        if arm is not None:
            raise UserError(
                f"{study.name}: {key.strip()} does not reach arm {arm.name!r}, which has {arm.train[name]} of its own; "
                "change it in the arm's train"
            )


def _find(name: str, folder: Path = Path()) -> Path:
    """The file of a packaged study, or the YAML file ``name`` in ``folder``."""
    packaged, own = STUDIES / f"{name}.yaml", folder / name
    if packaged.is_file():
        return packaged
    if own.is_file():
        return own
    known = study_names()
    raise UserError(f"no study {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}; or give a YAML file")


def _set_updates(data: dict[str, Any], updates: int, where: str) -> None:
    """Set the number of training updates, and scale the settings that depend on it, swept values too."""
    train, swept = data.get("train", {}), data.get("sweep", {})
    if not isinstance(train, Mapping) or not isinstance(swept, Mapping):
        return  # reading the study names the fault
    if "budget" in train or any(key.startswith("train.budget") for key in swept):
        raise UserError(f"{where}: train.budget decides how long arms train; change it by --set instead of --updates")
    spec = from_dict(TrainSpec, train, f"{where}: train")
    data["train"] = to_dict(scaled_to(spec, updates))
    data["sweep"] = {key: values for key, values in swept.items() if key != "train.updates"}
    for name in SCALED:
        key = f"train.{name}"
        if key in data["sweep"]:
            points = [scaled_to(dataclasses.replace(spec, **{name: value}), updates) for value in swept[key]]
            data["sweep"][key] = list(dict.fromkeys(getattr(point, name) for point in points))


def _set(data: dict[str, Any], setting: str) -> None:
    key, value = parse_setting(setting)
    *parents, last = key.split(".")
    if isinstance(data.get("sweep"), dict):
        data["sweep"].pop(key, None)
    place = data
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UserError(f"--set {key}: {parent!r} is not a mapping in this study")
    place[last] = value


def _add_sweep(data: dict[str, Any], sweep: str) -> None:
    """Apply one ``--sweep``: ``key=1,8,64`` or ``key=[1, 8, 64]``."""
    key, equals, text = sweep.partition("=")
    if not equals or not key.strip() or not text.strip():
        raise UserError(f"--sweep {sweep!r}: expected KEY=VALUE,VALUE, for example latency.batch=1,8,64")
    text = text if text.strip().startswith("[") else f"[{text}]"
    held = data.setdefault("sweep", {})
    if not isinstance(held, dict):
        raise UserError(f"sweep: expected a mapping of keys to lists, got {held!r}")
    held[key.strip()] = parse_yaml(text, f"--sweep {key.strip()}")


def _keep_arms(data: dict[str, Any], wanted: list[str], where: str) -> None:
    """Keep the arms ``wanted``, and forget what is swept and searched of the others."""
    arms = {arm.get("label") or arm.get("paradigm"): arm for arm in data.get("arms", [])}
    data["arms"] = [_arm(name, arms, where) for name in wanted]
    gone = tuple(f"arms.{name}." for name in arms if name not in wanted)
    searched = data["tuning"].get("own") if isinstance(data.get("tuning"), dict) else None
    if isinstance(searched, dict):
        kept = {name: lists for name, lists in searched.items() if name in wanted or name not in arms}
        data["tuning"] = {**data["tuning"], "own": kept}
    if isinstance(data.get("sweep"), dict):
        data["sweep"] = {key: values for key, values in data["sweep"].items() if not key.startswith(gone)}


def _arm(name: str, arms: Mapping[str, Any], where: str) -> Any:
    """The study's arm of that label, else the paradigm of that name with its defaults, which is said."""
    known = [*arms, *(paradigm for paradigm in paradigm_names() if paradigm not in arms)]
    if name not in known and ":" not in name:
        told = f"unknown paradigm {name!r}{did_you_mean(name, known)}; arms here: {', '.join(arms) or 'none'}"
        raise UserError(f"{told}; paradigms: {', '.join(paradigm_names())}; or give package.module:Name")
    if name not in arms:
        say_once(f"note: {where} has no arm {name!r} (arms: {', '.join(arms)}); it is added with its defaults")
    return arms.get(name, {"paradigm": name})
