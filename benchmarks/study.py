"""Studies: a YAML file that says what is compared, under which conditions, and how it is judged.

A study names its axis (what is measured), its arms (paradigms with options and samplers), its seeds, and everything
that all arms share: corpus, representation, text encoder, backbone, training, evaluation. Reading is strict: an unknown
or repeated key, or a value of the wrong type, is an error that names it. The axis expands a study to cells (cells.py).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.config import from_dict
from common.errors import UserError, did_you_mean
from training.spec import TrainSpec

STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class ArmChoice:
    """One arm: a paradigm, its options, its sampler's settings, and the label it carries in tables."""

    paradigm: str
    label: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The label in tables and file names."""
        return self.label or self.paradigm


@dataclass(frozen=True)
class CorpusChoice:
    """``spec``: ``builtin`` or a folder with a manifest; ``clips`` and ``seconds`` None: the corpus' own."""

    spec: str = "builtin"
    clips: int | None = None
    seconds: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class BackboneChoice:
    """A size preset of ``bench models``, with single fields overridden."""

    preset: str = "tiny"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationChoice:
    """How cells are judged: the same ``prompts`` captions of ``split`` for every arm, and the reference rows.

    ``batch`` is how many clips are generated at once (no result depends on it); ``keep_audio`` how many fixed prompts
    leave their audio beside the records.
    """

    prompts: int = 64
    split: str = "test"
    evaluator: str = "builtin"
    references: tuple[str, ...] = (
        "real",
        "codec_continuous",
        "codec_quantised",
        "shuffled_captions",
        "noise",
        "silence",
    )
    batch: int = 16
    keep_audio: int = 4


@dataclass(frozen=True)
class Study:
    """A whole study. ``train`` is the same for every arm, its seed excepted, which is the cell's; its ``snapshots`` are
    measured too.
    """

    name: str
    title: str
    axis: str
    arms: tuple[ArmChoice, ...]
    seeds: tuple[int, ...] = (0,)
    corpus: CorpusChoice = CorpusChoice()
    representation: str = "codec_builtin"
    text: str = "builtin"
    backbone: BackboneChoice = BackboneChoice()
    train: TrainSpec = field(default_factory=TrainSpec)
    evaluation: EvaluationChoice = EvaluationChoice()
    jobs: int = 1


def study_names() -> list[str]:
    """The studies that come with the suite."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load_study(name: str, settings: Iterable[str] = (), paradigms: Iterable[str] = ()) -> Study:
    """Read the study called ``name`` (packaged) or at the path ``name``.

    Args:
        settings: ``dotted.key=value`` overrides; values are YAML.
        paradigms: keep only these arms (by label); a paradigm without an arm in the study joins with its defaults.

    An arm may be given by its bare name; a study without a name has its file's.

    Raises:
        UserError: no such study, bad YAML, an unknown, repeated or missing key, a value of the wrong type.
    """
    path = _find(name)
    data = _parse(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(data, Mapping):
        raise UserError(f"{path.name}: expected a mapping of study keys, got {type(data).__name__}")
    data = {"name": path.stem, **data}
    for setting in settings:
        _apply(data, setting)
    if isinstance(data.get("arms"), list):
        data["arms"] = [{"paradigm": arm} if isinstance(arm, str) else arm for arm in data["arms"]]
    wanted = list(paradigms)
    if wanted:
        arms = {arm.get("label") or arm.get("paradigm"): arm for arm in data.get("arms", [])}
        data["arms"] = [arms.get(p, {"paradigm": p}) for p in dict.fromkeys(wanted)]
    study = from_dict(Study, data, path.name)
    _check(study, path.name)
    return study


def _find(name: str) -> Path:
    packaged = STUDIES / f"{name}.yaml"
    if packaged.is_file():
        return packaged
    path = Path(name)
    if path.is_file():
        return path
    known = study_names()
    raise UserError(f"no study {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}; or give a YAML file")


def parse_setting(setting: str) -> tuple[str, Any]:
    """``key=value`` with the value read as YAML.

    Raises:
        UserError: no key, no ``=``, or a value that is no YAML.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {setting!r}: expected KEY=VALUE, for example train.lr=1e-3")
    return key.strip(), _parse(text, f"--set {key.strip()}")


def _apply(data: dict[str, Any], setting: str) -> None:
    key, value = parse_setting(setting)
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UserError(f"--set {key}: {parent!r} is not a mapping in this study")
    place[last] = value


def _check(study: Study, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", study.name):
        raise UserError(f"{where}: name {study.name!r} must be letters, digits, '_', '-' and '.': it names a folder")
    for values, key in ((study.arms, "arms"), (study.seeds, "seeds")):
        if not values:
            raise UserError(f"{where}: {key} is empty; name at least one")
    if study.evaluation.prompts < 2:
        raise UserError(
            f"{where}: evaluation.prompts is {study.evaluation.prompts}; a distance between sets needs 2 or more"
        )
    names = [arm.name for arm in study.arms]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{where}: two arms are called {repeated[0]!r}; give one of them a label")


def _parse(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_strict_loader())
    except yaml.YAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if getattr(error, "problem_mark", None) else ""
        raise UserError(f"{where}: not valid YAML: {line}{getattr(error, 'problem', None) or error}") from error


def _strict_loader() -> type:
    """YAML's safe loader that refuses repeated keys and reads ``1e-3`` as the number it is in YAML 1.2."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        repeated = [key for key in keys if keys.count(key) > 1]
        if repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {repeated[0]!r} is given twice", node.start_mark
            )
        return dict(loader.construct_pairs(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    number = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)[eE][-+]?\d+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader


def with_corpus(study: Study, folder: str) -> Study:
    """The same study on another corpus; its results go to a folder of their own, ``<study>-<corpus>``."""
    path = Path(folder)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", (path.parent if path.is_file() else path).resolve().name)
    corpus = CorpusChoice(spec=folder, clips=None, seconds=None, seed=study.corpus.seed)
    return dataclasses.replace(study, name=f"{study.name}-{name}", corpus=corpus)
