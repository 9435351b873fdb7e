"""The one training loop that every paradigm goes through: same clips, same crops, same optimiser, same budget.

Read in this order: ``spec`` (what a training run is), ``data`` (which clip is seen when), ``optimiser`` (AdamW groups,
schedule, moving average), ``checkpoints`` (whole folders or none), ``results``, ``loop`` (``train``).
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
    """Import what needs torch only when it is asked for, so that studies can be read without it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
