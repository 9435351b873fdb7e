"""The right built-in evaluator for a corpus: the shipped one for the built-in music, else one trained on the corpus.

An evaluator that is trained on demand is kept in the cache under a key of corpus content, codec weights and
configuration, so that changed audio is never judged by an old evaluator. Arms under comparison share it, since they
share corpus and codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....common.config import config_hash, to_dict
from ....common.errors import UserError
from ....common.files import cache_dir
from ....common.needs import Need, may_train
from ..base import Audio, Evaluator, EvaluatorOutput
from .evaluator import FORMAT, SHIPPED, BuiltinEvaluator

if TYPE_CHECKING:
    from ....corpora import Corpus
    from ....representations.base import Representation
    from .training import EvaluatorConfig


class UntrainedEvaluator(Evaluator):
    """Stands for an evaluator that a dry run does not train; it has an identity and judges nothing."""

    name = "builtin"

    def __init__(self, identity: str) -> None:
        self.identity, self.classes = identity, {}

    def hear(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Refused."""
        raise UserError("this evaluator is not trained yet; run the study without --dry-run")


def builtin_evaluator(
    corpus: Corpus | None = None,
    representation: Representation | None = None,
    config: EvaluatorConfig | None = None,
    seed: int | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Evaluator:
    """Load or make a built-in evaluator; a dry run (``common.needs``) gets one that is not trained.

    Args:
        corpus: what will be judged; ``None`` or the built-in music takes the shipped weights.
        representation: codec through which the arms' audio comes; a newly trained evaluator learns its sound too.
        config: settings for one trained on demand; giving them always trains (or finds) one of one's own.
        seed: the same, for one with the usual settings from another seed.
        folder: a checkpoint to load instead, whatever the corpus.

    Raises:
        UserError: the checkpoint is broken, or the corpus has nothing to learn from.
    """
    if folder is not None:
        return BuiltinEvaluator.load(folder)
    if config is None and seed is None and (corpus is None or _is_builtin_music(corpus)):
        return BuiltinEvaluator.load(SHIPPED)
    if corpus is None:
        from ....corpora import load_corpus

        corpus = load_corpus("builtin")
    from .training import EvaluatorConfig, expected_seconds, material, train_evaluator

    settings = config or EvaluatorConfig(seed=seed or 0)
    codec = "none" if representation is None else representation.fingerprint
    key = config_hash({"format": FORMAT, "corpus": corpus.fingerprint, "codec": codec, "config": to_dict(settings)})
    cached = cache_dir("evaluators", key)
    if (cached / "evaluator.json").exists():
        return BuiltinEvaluator.load(cached)
    clips, _, _ = material(corpus, settings)
    own = "" if config is None and seed is None else f" with its own settings (seed {settings.seed})"
    coded = "" if representation is None else f" and its reconstructions by {representation.spec.name}"
    why = f"it learns what clips of {corpus.name}{coded} sound like, and is kept in the cache"
    seconds = expected_seconds(clips, representation is not None, settings)
    need = Need(f"an evaluator{own} for {corpus.name}{coded}", why, seconds)
    if not may_train(need):
        return UntrainedEvaluator(need.identity)
    return train_evaluator(corpus, representation, settings, cached, progress)


def _is_builtin_music(corpus: Corpus) -> bool:
    return corpus.name == "builtin"
