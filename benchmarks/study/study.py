"""Studies: what is compared, under which conditions, and how it is scored.

A study names its axis (what is measured), its arms (paradigms with options and samplers), its seeds, and everything
that all arms share: corpus, representation, text encoder, backbone, training, evaluation. Each axis may have a section
of its own (``AxisSettings``). ``load.py`` reads studies from YAML; the axis expands a study to cells (``sweep.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, overload

from ...common.config import later
from ...common.precision import Precision
from ...common.seeds import Noise
from ...corpora.spec import CorpusChoice
from ...training.spec import TrainSpec
from .tuning import TuningChoice


@dataclass(frozen=True)
class ArmChoice:
    """One arm of a study.

    Attributes:
        paradigm: its name, or ``package.module:Class``.
        label: its name in tables; empty: the paradigm's.
        normalisation: of the latents that it sees: by the paper's spread, by the whole corpus', or none at all.
        options, sampler: of the paradigm, beside its defaults.
        backbone: settings of the backbone that this arm alone has, in place of the study's, such as ``{d_ff: 384}`` for
            arms of equal size, or ``{time: adaln}``.
        tune: settings of ``training.tuning.TuneSpec`` by which it is tuned with a reward after training; empty: not.
        trained_on: evaluators whose scores it was trained or tuned on, beside the reward of ``tune``, by the names that
            their metrics end in; these metrics give no verdict on it (analysis/declared.py).
        train: settings of the optimisation of its own, in place of the study's (``tuning.OPTIMISATION``).
        chosen_by: how a search chose settings of it, where the study takes them from a file (chosen.py).
    """

    paradigm: str
    label: str = ""
    normalisation: Literal["paper", "global", "none"] = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    tune: dict[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    train: dict[str, Any] = field(default_factory=dict)
    chosen_by: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The label in tables and file names; of ``package.module:Class`` the class."""
        return self.label or self.paradigm.rpartition(":")[2]


@dataclass(frozen=True)
class BackboneChoice:
    """A size preset of ``bench models``, with single fields overridden."""

    preset: str = "tiny"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationChoice:
    """How cells are scored.

    Attributes:
        prompts, split: every arm answers the same ``prompts`` captions of ``split``.
        reference_split: the split of the reference set of distances; empty: other clips of ``split``.
        evaluator: the tagger, which detects what captions ask for: adherence, and the similarity of clip and caption.
        judges: evaluators that are independent of the suite; their distances are the fidelity of a table.
        references: the floors and ceilings that are measured beside the arms.
        batch: clips that are generated at once; no result depends on it.
        keep_audio: number of fixed prompts whose clips are kept beside the records.
        snapshots: measure the snapshots of the training too: all, none, or the one nearest to half of the updates
            (``half``), which shows whether an arm has stopped improving.
        reward: what else scores every clip, and tunes arms that have ``tune`` (benchmarks/evaluators/rewards.py).
        precision: number format in which arms sample.
        replication: measure the distance of every clip to the nearest training clip.
    """

    prompts: int = 64
    split: str = "test"
    reference_split: str = ""
    evaluator: str = "builtin"
    judges: tuple[str, ...] = ("musicnn", "logmel")
    references: tuple[str, ...] = (
        "real",
        "codec_continuous",
        "codec_quantised",
        "retrieved",
        "sine_chords",
        "shuffled_captions",
        "noise",
        "silence",
    )
    batch: int = 16
    keep_audio: int = 4
    snapshots: Literal[True, False, "half"] = True
    reward: str = ""
    precision: Precision = "fp32"
    replication: bool = False


class AxisSettings:
    """Base of the dataclass that is an axis' section of a study.

    Attributes:
        key: name of the section in the study's YAML.
    """

    key: ClassVar[str]


S = TypeVar("S", bound=AxisSettings)


@dataclass(frozen=True)
class Study:
    """A whole study.

    Attributes:
        train: training of every arm; its seed is replaced by the cell's, and its ``snapshots`` are measured too.
        pretraining_corpus: clips of the first ``train.pretraining`` updates; captions are not read. None: ``corpus``.
        latents: number format of cached latents (docs/data.md).
        sweep: dotted keys and the values that each takes in turn (sweep.py).
        noise: how random numbers are drawn (common/seeds.py).
        jobs: worker processes at a time on CPUs; with GPUs there is one for each.
        timeout: minutes that one worker may take, 0 for no limit.
        tuning: how ``bench tune-arms`` searches settings of the arms.
        sections: those of axes, by their keys in YAML, where they stand beside the other keys; see ``section``.
    """

    name: str
    title: str
    axis: str
    arms: tuple[ArmChoice, ...]
    seeds: tuple[int, ...] = (0,)
    corpus: CorpusChoice = field(default_factory=CorpusChoice)
    pretraining_corpus: CorpusChoice | None = later(None)  # noqa: RUF009
    representation: str = "codec_builtin"
    latents: Literal["float32", "float16", "bfloat16"] = later("float32")
    text: str = "builtin"
    backbone: BackboneChoice = BackboneChoice()
    train: TrainSpec = field(default_factory=TrainSpec)
    evaluation: EvaluationChoice = EvaluationChoice()
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    noise: Noise = "philox"
    jobs: int = 1
    timeout: float = 0.0
    tuning: TuningChoice = field(default_factory=TuningChoice)
    sections: Mapping[str, AxisSettings] = field(default_factory=dict)

    @overload
    def section(self, of: type[S]) -> S: ...

    @overload
    def section(self, of: str) -> Any: ...

    def section(self, of: type[S] | str) -> Any:
        """The settings of an axis in this study, its defaults where the study does not have the section.

        Args:
            of: the settings' class; or, for code below the axes, which cannot import it, the section's key. A key works
                for a study that was read (load.py), which holds the sections of all axes.
        """
        if isinstance(of, str):
            return self.sections[of]
        return self.sections.get(of.key) or of()

    @property
    def measured_snapshots(self) -> tuple[int, ...]:
        """The updates before the end of training at which arms are measured, in order.

        All snapshots where nobody knows beforehand how many updates make a half.
        """
        held, half = sorted(self.train.snapshots), self.train.updates / 2
        if self.evaluation.snapshots == "half" and not self.train.budget.open_ended:
            held = sorted(held, key=lambda at: abs(at - half))[:1]
        return tuple(held) if self.evaluation.snapshots else ()

    def with_section(self, settings: AxisSettings) -> Study:
        """The same study with other settings of one axis."""
        return dataclasses.replace(self, sections={**self.sections, settings.key: settings})
