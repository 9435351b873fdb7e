"""The one training loop that every paradigm goes through: same clips, same crops, same optimiser, same budget.

One run: ``spec`` (its settings), ``sources`` (corpus, representation and text encoder), ``data`` and ``loader`` (which
clip is seen when), ``optimiser`` (optimisers and moving average), ``checkpoints``, ``results`` (what a run leaves
behind), ``terminal`` (progress and Ctrl-C), ``loop`` (``train``). How long it runs and what it cost: ``budget``,
``cost``. Fine-tuning by reward: ``rewards``, ``tuning`` (weights and objective), ``tuning_rounds``. ``trained`` trains
the models of a study, each once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .spec import TrainSpec

if TYPE_CHECKING:
    from .data import BatchStream
    from .loop import train
    from .results import TrainResult

__all__ = ["BatchStream", "TrainResult", "TrainSpec", "train"]

_HOMES = {
    "BatchStream": "paradigm_bench.training.data",
    "TrainResult": "paradigm_bench.training.results",
    "train": "paradigm_bench.training.loop",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use, so that studies can be read without it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
