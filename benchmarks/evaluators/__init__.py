"""Evaluators: networks that turn audio into embeddings, class posteriors and text-audio similarity, and the fidelity
panel.

    from paradigm_bench.benchmarks.evaluators import get_evaluator, score_set

    evaluator = get_evaluator("builtin", corpus=corpus, representation=codec)
    scores = score_set(reference, generated, captions, asked, evaluator, sample_rate=16_000)

``base.py`` defines the interface, ``audio.py`` how clips are prepared, ``cache.py`` keeps outputs by content.
``builtin/`` is the evaluator that ships with this project, ``pretrained.py`` has CLAP and EnCodec, ``environments/``
those whose packages need an environment of their own. ``panel.py`` computes the metrics of two sets of clips,
``folders/`` those of two folders, ``rewards.py`` the scores that models are tuned by.
"""

from .base import EVALUATORS, Evaluator, EvaluatorOutput, get_evaluator
from .panel import PanelScores, score_set

__all__ = ["EVALUATORS", "Evaluator", "EvaluatorOutput", "PanelScores", "get_evaluator", "score_set"]
