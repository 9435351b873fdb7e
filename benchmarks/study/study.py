"""Studies: YAML files that define what is compared, under which conditions, and how it is judged.

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
from typing import Any, Literal

from ...common.config import from_dict, later, to_dict
from ...common.errors import UserError, did_you_mean
from ...common.lines import say_once
from ...common.precision import Precision
from ...common.seeds import Noise
from ...common.strict_yaml import parse_yaml
from ...paradigms import names as paradigm_names
from ...training.spec import SCALED, TrainSpec, scaled_to
from ..axes.latency.tracker.stopping import StopRule

ARMLESS = ("reconstruction", "samplesize")  # axes that measure no arm
STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class ArmChoice:
    """One arm: a paradigm, its options, its sampler's settings, and the label it carries in tables.

    ``normalisation`` of the latents it sees: by the paper's spread, the whole corpus', or none at all.
    ``tune``: after training, fine-tune it by reward with these settings (``training.tuning.TuneSpec``); fidelity only.
    """

    paradigm: str
    label: str = ""
    normalisation: Literal["paper", "global", "none"] = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    tune: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The label in tables and file names; of ``package.module:Class`` the class."""
        return self.label or self.paradigm.rpartition(":")[2]


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
    leave their audio beside the records; ``snapshots`` whether those of the training are measured too; ``reward`` what
    else scores every clip (benchmarks/evaluators/rewards.py), which is also what arms with ``tune`` are tuned by; ``precision`` is
    the number format in which arms sample.
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
    snapshots: bool = True
    reward: str = ""
    precision: Precision = "fp32"


@dataclass(frozen=True)
class LatencyChoice:
    """What is timed, and how; no weights and no data are needed.

    Attributes:
        batch, seconds: clips generated at once, and their length.
        frame_rate: latent frames per second; None: the latent's own.
        text_tokens: length of the (random) text.
        device: ``auto`` takes a GPU where there is one; a GPU that is asked for and absent is an error.
        dtype: ``auto`` is fp32 on the CPU and bf16 on a GPU; ``tf32`` is fp32 whose products round their factors.
        threads: of the CPU; None: one per core.
        decoder: put the latents' decoder into the clock too.
        compile: torch.compile the backbone's blocks; compiling is timed apart.
        first_audio_seconds: how much audio a streaming paradigm must have decided to count as its first.
        peers: measure the same work by other libraries too, in turns with ours.
        stop: when there are enough samples.
    """

    batch: int = 1
    seconds: float = 10.0
    frame_rate: float | None = None
    text_tokens: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    decoder: bool = False
    compile: bool = False
    first_audio_seconds: float = 1.0
    peers: bool = False
    stop: StopRule = field(default_factory=StopRule)

    def __post_init__(self) -> None:
        for name in ("batch", "seconds", "text_tokens", "first_audio_seconds", "frame_rate", "threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"latency.{name} is {value} but must be above 0")


@dataclass(frozen=True)
class ControlsChoice:
    """Temporal controls that arms are trained with (representations/latents/controls.py), and how they are judged.

    Attributes:
        names: of the controls; none: arms have no such input.
        scenarios: what arms are given, each a cell: ``all`` controls, each alone (``single``), ``none``, or all of
            another clip (``wrong``).
        chords, melody, beats: the extractors that listen to the arms' clips.
    """

    names: tuple[str, ...] = ()
    scenarios: tuple[Literal["all", "single", "none", "wrong"], ...] = ("all", "single", "none", "wrong")
    chords: str = "templates"
    melody: str = "salience"
    beats: str = "librosa"


@dataclass(frozen=True)
class InpaintingChoice:
    """The span to fill: its length and what stays known on both sides, in seconds; None: as ``train`` has it."""

    seconds: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class FrameRateChoice:
    """What the axis ``frame_rate`` measures: every rate at each duration, and at each length of the sequence.

    The study's ``representation`` holds ``{rate}``, and what that becomes must have the rate. ``train.seconds`` is not
    read: each point trains on crops of its own duration.

    Attributes:
        rates: latent frames per second.
        seconds: durations that are held while the rate changes.
        frames: lengths that are held while the rate changes.
        window: seconds of each clip that are judged at every point alike; None: the shortest duration.
    """

    rates: tuple[float, ...] = (12.5, 25.0, 50.0, 100.0)
    seconds: tuple[float, ...] = (4.0,)
    frames: tuple[int, ...] = (100,)
    window: float | None = None

    def __post_init__(self) -> None:
        for name in ("rates", "seconds", "frames"):
            wrong = [value for value in getattr(self, name) if value <= 0]
            if wrong:
                raise UserError(f"frame_rate.{name} has {wrong[0]:g} but must be above 0")
        if not self.rates or not (self.seconds or self.frames):
            raise UserError("frame_rate: give rates, and seconds or frames to measure them at")


@dataclass(frozen=True)
class ReconstructionChoice:
    """``sample_rate`` at which clips that went through a representation are judged, whatever its own, so that what it
    cuts off counts too. What listens for chords, melody and beats: ``controls``.
    """

    sample_rate: int = 16_000


@dataclass(frozen=True)
class Study:
    """A whole study.

    Attributes:
        train: the same for every arm, its seed excepted, which is the cell's; its ``snapshots`` are measured too.
        pretraining_corpus: clips of the first ``train.pretraining`` updates; captions are not read. None: ``corpus``.
        sweep: dotted keys and the values that each takes in turn (sweep.py).
        noise: how random numbers are drawn (common/seeds.py).
        jobs: worker processes at a time on CPUs; with GPUs there is one for each.
        timeout: minutes that one worker may take, 0 for no limit.
    """

    name: str
    title: str
    axis: str
    arms: tuple[ArmChoice, ...]
    seeds: tuple[int, ...] = (0,)
    corpus: CorpusChoice = CorpusChoice()
    pretraining_corpus: CorpusChoice | None = later(None)  # noqa: RUF009
    representation: str = "codec_builtin"
    latents: Literal["float32", "float16", "bfloat16"] = later(
        "float32"
    )  # how cached latents are stored (docs/data.md)
    text: str = "builtin"
    backbone: BackboneChoice = BackboneChoice()
    train: TrainSpec = field(default_factory=TrainSpec)
    evaluation: EvaluationChoice = EvaluationChoice()
    latency: LatencyChoice = LatencyChoice()
    controls: ControlsChoice = ControlsChoice()
    inpainting: InpaintingChoice = InpaintingChoice()
    frame_rate: FrameRateChoice = FrameRateChoice()
    reconstruction: ReconstructionChoice = ReconstructionChoice()
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    noise: Noise = "philox"
    jobs: int = 1
    timeout: float = 0.0


def study_names() -> list[str]:
    """The studies that come with the suite."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def title_of(results: str) -> str:
    """Title of the packaged study whose results are in the folder of this name; empty for a user's own study."""
    if results in study_names():
        return load_study(results).title
    same = [name for name in study_names() if results.startswith(f"{name}-")]
    return f"the same as {max(same, key=len)}, on other audio" if same else ""


def load_study(
    name: str, settings: Iterable[str] = (), paradigms: Iterable[str] = (), sweeps: Iterable[str] = (),
    updates: int | None = None,
) -> Study:  # fmt: skip
    """Read the study called ``name`` (packaged) or at the path ``name``.

    Args:
        settings: ``dotted.key=value`` overrides; values are YAML. A key that the study sweeps is then swept no more.
        paradigms: keep only these arms (by label); a paradigm without an arm in the study joins with its defaults.
        sweeps: ``dotted.key=value,value`` beside the study's own, or instead of them where the key is the same.
        updates: of training, instead of the study's (``training.spec.scaled_to``); ``settings`` come after it.

    An arm may be given by its bare name; a study without a name has its file's.

    Raises:
        UserError: no such study, bad YAML, an unknown, repeated or missing key, a value of the wrong type, or
            ``updates`` for a study whose budget is not in updates.
    """
    path = _find(name)
    data = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(data, Mapping):
        raise UserError(f"{path.name}: expected a mapping of study keys, got {type(data).__name__}")
    data = {"name": path.stem, **data}
    if updates is not None:
        _train_for(data, updates, path.name)
    for setting in settings:
        _apply(data, setting)
    _sweep(data, sweeps)
    if isinstance(data.get("arms"), list):
        data["arms"] = [{"paradigm": arm} if isinstance(arm, str) else arm for arm in data["arms"]]
    wanted = list(paradigms)
    if wanted:
        arms = {arm.get("label") or arm.get("paradigm"): arm for arm in data.get("arms", [])}
        data["arms"] = [_arm(arm, arms, path.name) for arm in dict.fromkeys(wanted)]
        _drop_sweeps(data, [name for name in arms if name not in wanted])
    study = from_dict(Study, data, path.name)
    _check(study, path.name)
    return study


def _arm(name: str, arms: Mapping[str, Any], where: str) -> Any:
    """The study's arm of that label, else a paradigm's with its defaults, which is said."""
    known = [*arms, *(paradigm for paradigm in paradigm_names() if paradigm not in arms)]
    if name not in known and ":" not in name:
        told = f"unknown paradigm {name!r}{did_you_mean(name, known)}; arms here: {', '.join(arms) or 'none'}"
        raise UserError(f"{told}; paradigms: {', '.join(paradigm_names())}; or give package.module:Name")
    if name not in arms:
        say_once(f"note: {where} has no arm {name!r} (arms: {', '.join(arms)}); it is added with its defaults")
    return arms.get(name, {"paradigm": name})


def _train_for(data: dict[str, Any], updates: int, where: str) -> None:
    """Set the number of updates in a study's mapping, and scale what goes with it, values that are swept too."""
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
    return key.strip(), parse_yaml(text, f"--set {key.strip()}")


def _apply(data: dict[str, Any], setting: str) -> None:
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


def _sweep(data: dict[str, Any], sweeps: Iterable[str]) -> None:
    """Add ``key=1,8,64`` or ``key=[1, 8, 64]`` to the study's sweep."""
    for sweep in sweeps:
        key, equals, text = sweep.partition("=")
        if not equals or not key.strip() or not text.strip():
            raise UserError(f"--sweep {sweep!r}: expected KEY=VALUE,VALUE, for example latency.batch=1,8,64")
        text = text if text.strip().startswith("[") else f"[{text}]"
        held = data.setdefault("sweep", {})
        if not isinstance(held, dict):
            raise UserError(f"sweep: expected a mapping of keys to lists, got {held!r}")
        held[key.strip()] = parse_yaml(text, f"--sweep {key.strip()}")


def _drop_sweeps(data: dict[str, Any], arms: Iterable[Any]) -> None:
    """Forget the sweeps of arms that are not measured."""
    gone = tuple(f"arms.{arm}." for arm in arms)
    if isinstance(data.get("sweep"), dict):
        data["sweep"] = {key: values for key, values in data["sweep"].items() if not key.startswith(gone)}


def _check(study: Study, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", study.name):
        raise UserError(
            f"{where}: name {study.name!r} must consist of letters, digits, '_', '-' and '.', since it names a folder"
        )
    for values, key in ((study.arms, "arms"), (study.seeds, "seeds")):
        if not values and not (key == "arms" and study.axis in ARMLESS):
            raise UserError(f"{where}: {key} is empty; name at least one")
    if study.axis != "fidelity" and (study.evaluation.reward or any(arm.tune for arm in study.arms)):
        raise UserError(f"{where}: rewards and tuning work on axis fidelity only, not on {study.axis}; remove them")
    if study.evaluation.prompts < 2:
        raise UserError(f"{where}: evaluation.prompts is {study.evaluation.prompts} but must be 2 or more")
    names = [arm.name for arm in study.arms]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{where}: two arms are called {repeated[0]!r}; give one of them a label")


def with_corpus(study: Study, folder: str) -> Study:
    """The same study on another corpus; its results go to a folder of their own, ``<study>-<corpus>``."""
    path = Path(folder)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", (path.parent if path.is_file() else path).resolve().name)
    corpus = CorpusChoice(spec=folder, clips=None, seconds=None, seed=study.corpus.seed)
    return dataclasses.replace(study, name=f"{study.name}-{name}", corpus=corpus)
