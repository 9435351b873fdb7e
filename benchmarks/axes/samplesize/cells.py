"""A sample-size study as cells: each kind of audio at one n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ....common.seeds import seed_for
from ....corpora import Clip, Corpus
from ....corpora.spec import CorpusChoice
from ...evaluators import Evaluator
from ...evaluators.cache import CachedEvaluator
from ...study.cells import Cell, CellConfig, Content, EvaluationConfig
from ...study.study import Study
from ..eval_set import check_roles, identities, load_evaluators, named_evaluators

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new
REPEATS = 24
SAMPLE_RATE = 16_000
SYSTEMS = ("real", "noise")


@dataclass(frozen=True)
class SampleSizeEvaluation(EvaluationConfig):
    """How clips are scored: ``repeats`` draws of ``n`` clips each."""

    n: int = 0
    repeats: int = 0


@dataclass(frozen=True)
class SampleSizeConfig(CellConfig):
    """The config of a cell of the axis samplesize."""

    corpus: Content = field(default_factory=Content)
    evaluation: SampleSizeEvaluation = SampleSizeEvaluation()


def expand(study: Study) -> list[Cell]:
    """One cell per kind of audio at the study's ``evaluation.prompts``, which a sweep sets to several n.

    Raises:
        UserError: no reference that this axis knows, or an n that is not below half of the corpus.
    """
    how = {"corpus": to_dict(study.corpus), **named_evaluators(study.evaluation)}
    corpus, evaluators = open_sources(how)
    check_roles(evaluators, study.evaluation)
    n, half = study.evaluation.prompts, len(eligible_clips(corpus, study.train.seconds)) // 2
    if n >= half:
        raise UserError(f"{study.name}: evaluation.prompts is {n} but must be below {half}, half of the corpus' clips")
    chosen = [name for name in study.evaluation.references if name in SYSTEMS]
    if not chosen:
        raise UserError(f"{study.name}: evaluation.references has none of {', '.join(SYSTEMS)}; name at least one")
    shared = {
        "axis": "samplesize",
        "version": VERSION,
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "evaluation": {
            "n": n,
            "repeats": REPEATS,
            "seconds": study.train.seconds,
            "sample_rate": SAMPLE_RATE,
            **identities(evaluators),
        },
    }
    return [
        Cell("samplesize", name, "reference", 0, None, "samplesize", {**shared, "reference": name}, how)
        for name in chosen
    ]


def open_sources(how: Mapping[str, Any]) -> tuple[Corpus, list[Evaluator]]:
    """The corpus, and the tagger and the judges that a cell's ``how`` names."""
    corpus = from_dict(CorpusChoice, how["corpus"], "corpus").load()
    loaded = load_evaluators(how, corpus)
    return corpus, [one if isinstance(one, CachedEvaluator) else CachedEvaluator(one) for one in loaded]


def eligible_clips(corpus: Corpus, seconds: float) -> list[Clip]:
    """Clips of all splits that last ``seconds`` (to 10 ms), by hashes of their ids."""
    every = [clip for clips in corpus.clips_by_split.values() for clip in clips if clip.seconds >= seconds - 0.01]
    return sorted(every, key=lambda clip: seed_for("samplesize", clip.id))
