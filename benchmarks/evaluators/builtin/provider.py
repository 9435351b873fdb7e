"""The right built-in evaluator for a corpus: the shipped one for the built-in music, else one trained on the corpus.

An evaluator that is trained on demand is kept in the cache under a key of corpus content, codec weights and
configuration, so that changed audio never meets an old judge. Arms under comparison share it, since they share corpus
and codec.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.evaluators.builtin.evaluator import FORMAT, BuiltinEvaluator
from common.config import config_hash, to_dict
from common.files import cache_dir

if TYPE_CHECKING:
    from benchmarks.evaluators.builtin.training import EvaluatorConfig
    from corpora import Corpus
    from representations.base import Representation

SHIPPED = Path(__file__).parents[1] / "weights" / "builtin"


def builtin_evaluator(
    corpus: Corpus | None = None,
    representation: Representation | None = None,
    config: EvaluatorConfig | None = None,
    seed: int | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> BuiltinEvaluator:
    """Load or make a built-in evaluator.

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
        from corpora import load_corpus

        corpus = load_corpus("builtin")
    from benchmarks.evaluators.builtin.training import EvaluatorConfig, train_evaluator

    settings = config or EvaluatorConfig(seed=seed or 0)
    codec = "none" if representation is None else representation.fingerprint
    key = config_hash({"format": FORMAT, "corpus": corpus.fingerprint, "codec": codec, "config": to_dict(settings)})
    cached = cache_dir("evaluators", key)
    if (cached / "evaluator.json").exists():
        return BuiltinEvaluator.load(cached)
    return train_evaluator(corpus, representation, settings, cached, progress)


def _is_builtin_music(corpus: Corpus) -> bool:
    return corpus.name == "builtin"
