"""Who listens: networks that turn audio into embeddings, class posteriors and text similarity for the metrics.

    from benchmarks.evaluators import get_evaluator, score_set

    evaluator = get_evaluator("builtin", corpus=corpus, representation=codec)
    scores = score_set(reference, generated, captions, asked, evaluator, sample_rate=16_000)

``base.py`` says what an evaluator is, ``builtin/`` is the one that ships with this project, ``panel.py`` runs every
metric of the fidelity axis on two sets of clips.
"""

from .base import EVALUATORS, Evaluator, EvaluatorOutput, get_evaluator
from .panel import PanelScores, score_set

__all__ = ["EVALUATORS", "Evaluator", "Hearing", "PanelScores", "get_evaluator", "score_set"]
