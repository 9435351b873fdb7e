"""The one training loop that every paradigm goes through: same clips, same crops, same optimiser, same budget.

One run: ``spec`` (its settings), ``sources`` (corpus, representation and text encoder), ``data`` and ``loader`` (which
clip is seen when), ``optimiser`` (optimisers and moving average), ``checkpoints``, ``results`` (what a run leaves
behind), ``terminal`` (progress and Ctrl-C), ``loop`` (``train``). How long it runs and what it cost: ``budget``.
Fine-tuning by reward: ``rewards``, ``tuning`` (weights and objective), ``tuning_rounds``. ``trained`` trains
the models of a study, each once.
"""

from .spec import TrainSpec

__all__ = ["TrainSpec"]
